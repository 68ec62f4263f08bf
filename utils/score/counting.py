"""Class counts of label images, by Pillow alone: the quick way to IoU. Loads no NumPy, which takes longer to load than
a small validation set takes to count.

Conventions as in `utils.score.metrics`, whose confusion matrices give the same figures and more.
"""

from PIL import Image, ImageChops

from utils import image_file
from utils.errors import InputError

EIGHT_BIT = ('L', 'P')
EQUAL = [255] + [0] * 255  # as a table for `point`: the pixels where a difference is 0


class Counts:
  """The pixels of each class in the truth, in the prediction and in both, over a data set."""

  def __init__(self, num_classes: int):
    self.truth, self.pred, self.both = ([0] * num_classes for _ in range(3))

  def add(self, files) -> None:
    """Counts one image; `files` has the paths `pred` and `truth`."""
    with image_file.open_label(files.pred) as pred:
      pred.load()  # here, so that what fails is said of this file
      with image_file.open_label(files.truth) as truth:
        truth.load()
        check_size(files.pred, pred.size, files.truth, truth.size)
        if pred.mode in EIGHT_BIT and truth.mode in EIGHT_BIT:
          self._sum(count(pred, truth, len(self.truth)))
        else:
          self._sum(count_deep(files, len(self.truth)))

  def join(self, other: 'Counts') -> None:
    self._sum((other.truth, other.pred, other.both))

  def _sum(self, counts) -> None:
    for mine, more in zip((self.truth, self.pred, self.both), counts, strict=True):
      mine[:] = map(int.__add__, mine, more)

  def iou(self) -> list[float]:
    """The IoU of each class, NaN where neither truth nor prediction has it."""
    return [ratio(b, t + p - b) for t, p, b in zip(self.truth, self.pred, self.both, strict=True)]

  def pixel_accuracy(self) -> float:
    return ratio(sum(self.both), sum(self.truth))


def count(pred: Image.Image, truth: Image.Image, num_classes: int) -> list[list[int]]:
  """Pixels of each class in the truth, in the prediction and in both, of two 8-bit label images of one size."""
  if (num_classes + 1) ** 2 <= 256:
    return _count_by_code(pred, truth, num_classes)
  in_truth = truth.histogram()
  void = any(in_truth[num_classes:])
  valid = truth.point([255] * num_classes + [0] * (256 - num_classes), 'L') if void else None
  same = ImageChops.difference(truth, pred).point(EQUAL, 'L')
  return [counts[:num_classes] for counts in (in_truth, pred.histogram(valid), truth.histogram(same))]


def _count_by_code(pred, truth, num_classes):
  """The same where one grey level can stand for both classes of a pixel: one histogram instead of three."""
  width = num_classes + 1
  rows = truth.point([min(i, num_classes) * width for i in range(256)], 'L')
  columns = pred.point([min(i, num_classes) for i in range(256)], 'L')
  code = ImageChops.add_modulo(rows, columns).histogram()
  matrix = [code[c * width : (c + 1) * width] for c in range(num_classes)]
  in_pred = [sum(column) for column in zip(*matrix, strict=True)][:num_classes]
  return [[sum(row) for row in matrix], in_pred, [row[c] for c, row in enumerate(matrix)]]


def count_deep(files, num_classes: int) -> list[list[int]]:
  """The same for 16-bit and other images, by NumPy."""
  from utils.score import metrics

  counts = metrics.iou_stats(image_file.read_label(files.pred), image_file.read_label(files.truth), num_classes)
  return [c.tolist() for c in counts]


def check_size(pred: str, pred_size, other: str, other_size) -> None:
  if pred_size != other_size:
    sizes = ['{} x {}'.format(*size) for size in (pred_size, other_size)]
    raise InputError(
      f'{pred}: is {sizes[0]} while {other} is {sizes[1]} (width x height); a prediction has the size of its truth'
    )


def ratio(numerator: float, denominator: float) -> float:
  return numerator / denominator if denominator else float('nan')


def mean(scores) -> float:
  """The mean of the scores that are not NaN; NaN where there is none."""
  scores = [score for score in scores if score == score]
  return ratio(sum(scores), len(scores))
