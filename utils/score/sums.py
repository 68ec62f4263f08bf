"""What is counted in each image, summed over a data set. Loads no NumPy."""

from collections.abc import Callable

from utils import parallel
from utils.score.pairs import Files

# Name -> counts that `+` adds up: an array or a Counter; or a list of one entry an image, which `+` makes longer.
Sums = dict


def add(sums: Sums, more: Sums) -> Sums:
  """The sums over the images of both; `sums` is empty or has the same names."""
  return {name: sums[name] + more[name] for name in more} if sums else more


def over(files: list[Files], count: Callable[[Files], Sums]) -> Sums:
  """The sum of `count(file)`, computed on all cores."""
  return parallel.accumulate(count, add, {}, files, 'scoring')
