"""What is counted in each image, summed over a data set. Loads no NumPy."""

import functools
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
  return parallel.accumulate(functools.partial(_Total, count), files, 'scoring').sums


class _Total:
  """The interface that `parallel.accumulate` asks for."""

  def __init__(self, count: Callable[[Files], Sums]):
    self.count, self.sums = count, {}

  def add(self, files: Files) -> None:
    self.sums = add(self.sums, self.count(files))

  def join(self, other: '_Total') -> None:
    self.sums = add(self.sums, other.sums)
