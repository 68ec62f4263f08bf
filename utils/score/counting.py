"""Counts of each image, summed over a data set, and IoU by Pillow alone, which saves the time to load NumPy.

Conventions as in `utils.score.metrics`, whose confusion matrices give the same scores and more.
"""

from collections import Counter
from collections.abc import Callable

from PIL import Image, ImageChops

from utils import image_file, parallel
from utils.errors import InputError
from utils.score.pairs import Files

EIGHT_BIT = ('L', 'P')
ZERO_ONLY = [255] + [0] * 255  # table for `point`: 255 where a difference is 0

# Name -> counts that `+` adds up: an array or a Counter; or a list of one entry an image, which `+` makes longer.
Sums = dict


def summed(files: list[Files], count: Callable[[Files], Sums]) -> Sums:
  """The sum of `count(file)` over all files, computed on all cores."""
  return parallel.accumulate(count, add, {}, files, 'scoring')


def add(sums: Sums, more: Sums) -> Sums:
  """The sums over the images of both; `sums` is empty or has the same names."""
  return {name: sums[name] + more[name] for name in more} if sums else more


def class_counts(files: Files, num_classes: int) -> Sums:
  """Counters of the pixels of each class in the ground truth, in the prediction and in both."""
  with image_file.open_label(files.pred) as pred:
    pred.load()  # before the ground truth is opened: a decoding error then names the prediction
    with image_file.open_label(files.truth) as truth:
      truth.load()
      check_size(files.pred, pred.size, files.truth, truth.size)
      counted = count_8_bit if pred.mode in EIGHT_BIT and truth.mode in EIGHT_BIT else count_16_bit
      pixels = counted(pred, truth, num_classes)
  return {name: Counter(dict(enumerate(x))) for name, x in zip(('truth', 'pred', 'both'), pixels, strict=True)}


def iou(sums: Sums, num_classes: int) -> list[float]:
  """The IoU of each class from the sums of `class_counts`, NaN where neither ground truth nor prediction has it."""
  truth, pred, both = sums['truth'], sums['pred'], sums['both']
  return [ratio(both[c], truth[c] + pred[c] - both[c]) for c in range(num_classes)]


def pixel_accuracy(sums: Sums) -> float:
  return ratio(sum(sums['both'].values()), sum(sums['truth'].values()))


def count_8_bit(pred: Image.Image, truth: Image.Image, num_classes: int) -> list[list[int]]:
  """Pixels of each class in the ground truth, in the prediction and in both, of two 8-bit images of one size."""
  if (num_classes + 1) ** 2 <= 256:
    return _count_pairs(pred, truth, num_classes)
  valid = truth.point([255] * num_classes + [0] * (256 - num_classes), 'L')
  same = ImageChops.difference(truth, pred).point(ZERO_ONLY, 'L')
  return [counts[:num_classes] for counts in (truth.histogram(), pred.histogram(valid), truth.histogram(same))]


def _count_pairs(pred, truth, num_classes):
  """As `count_8_bit`, from one histogram instead of three: each grey level stands for a pair of classes."""
  width = num_classes + 1
  rows = truth.point([min(i, num_classes) * width for i in range(256)], 'L')
  columns = pred.point([min(i, num_classes) for i in range(256)], 'L')
  pixels = ImageChops.add_modulo(rows, columns).histogram()
  matrix = [pixels[c * width : (c + 1) * width] for c in range(num_classes)]
  in_pred = [sum(column) for column in zip(*matrix, strict=True)][:num_classes]
  return [[sum(row) for row in matrix], in_pred, [row[c] for c, row in enumerate(matrix)]]


def count_16_bit(pred: Image.Image, truth: Image.Image, num_classes: int) -> list[list[int]]:
  """As `count_8_bit` for 16-bit and 32-bit images, by NumPy."""
  from utils.score import metrics

  return [c.tolist() for c in metrics.iou_stats(*map(image_file.label_array, (pred, truth)), num_classes)]


def check_size(pred: str, pred_size, other: str, other_size) -> None:
  if pred_size != other_size:
    sizes = ['{} x {}'.format(*size) for size in (pred_size, other_size)]
    raise InputError(
      f'{pred}: is {sizes[0]} while {other} is {sizes[1]} (width x height); predict at the size of the ground truth'
    )


def ratio(numerator: float, denominator: float) -> float:
  """numerator / denominator, NaN where the denominator is 0."""
  return numerator / denominator if denominator else float('nan')


def mean(scores) -> float:
  """The mean of the scores that are not NaN; NaN if all are."""
  scores = [score for score in scores if score == score]
  return ratio(sum(scores), len(scores))
