"""The pass over the images of a data set that all scores share, and the scores of the confusion matrix (IoU, accuracy).

A kind of score is a module with two functions: `count(image)` gives arrays that can be added up over images, and
`report(sums)` turns their sums into scores. Here they are those of the confusion matrix; `instances`, `boundaries` and
`cityscapes` have the same two, and their reports may use the confusion matrix, which is always among the sums.
"""

import functools
import operator
from collections.abc import Callable, Sequence

from utils import metrics, parallel
from utils.errors import InputError
from utils.labels import VOID
from utils.score.image import ScoredImage, Sums
from utils.score.pairs import Files


def count_files(files: list[Files], num_classes: int, counters: Sequence[Callable[[ScoredImage], Sums]]) -> Sums:
  """The sums over all images of what the functions `counters` count, and of the confusion matrix."""
  count_image = functools.partial(_count_image, num_classes, [count, *counters])
  return parallel.accumulate(count_image, add, {}, files, 'scoring')


def _count_image(num_classes: int, counters, files: Files) -> Sums:
  image = ScoredImage(files, num_classes)
  return functools.reduce(operator.or_, (counter(image) for counter in counters))


def add(sums: Sums, more: Sums) -> Sums:
  """The sums over the images of both; `sums` is empty or has the same names."""
  return {name: sums[name] + more[name] for name in more} if sums else more


def count(image: ScoredImage) -> Sums:
  """The confusion matrix, and of an image that has them: truth values outside the classes, truth that is void only."""
  found = {value: pixels for value, pixels in image.strays.items() if value != VOID}
  return {
    'confusion': image.confusion,
    'strays': [(image.files.truth, found)] if found else [],
    'void_only': [] if image.confusion.any() else [image.files.truth],
  }


def report(sums: Sums) -> metrics.Scores:
  return metrics.of_matrix(sums['confusion'])


def check_truth(sums: Sums, num_classes: int, ignored: list[int]) -> list[str]:
  """Lines about truth that is not counted: values that are neither class nor void, and images that are void only.

  2018's rule leaves them out of the scores, so that the truth of 25 classes scored as 21 would look perfect.

  Raises:
    InputError: the truth has more classes: several such values, which take 1 % of it or are predicted too.
  """
  lines, values, files, known = [], {}, {}, int(sums['confusion'].sum())
  for path, found in sums['strays']:
    for value, (pixels, same) in found.items():
      if value not in ignored:
        before = values.get(value, (0, 0))
        values[value] = before[0] + pixels, before[1] + same
        files.setdefault(value, path)
  if values:
    total, same = (sum(column) for column in zip(*values.values(), strict=True))
    share = total / (total + known)
    shown = ', '.join(f'{value} ({values[value][0]} pixels)' for value in sorted(values)[:5])
    line = (
      f'{files[min(values)]}: the ground truth holds {shown}{", ..." if len(values) > 5 else ""}: neither a class (0 '
      f'to {num_classes - 1}) nor void (255); {100 * share:.2f} % of it. If they are classes, give --num-classes '
      f'{max(values) + 1} or convert the labels; if void, --ignore-label {" ".join(map(str, sorted(values)))}'
    )
    if len(values) > 1 and (share >= 0.01 or same):
      raise InputError(line)
    lines.append(f'warning: {line}; they are left out here')
  if sums['void_only']:
    number = len(sums['void_only'])
    lines.append(f'warning: the ground truth of {number} images is void everywhere; the first: {sums["void_only"][0]}')
  return lines
