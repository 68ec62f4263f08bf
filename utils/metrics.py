"""Scores from confusion matrices. Loads no TensorFlow.

A ground truth outside the classes 0 .. C - 1 is void: its pixel counts nowhere. A prediction outside the classes is
wrong for the true class and counts for no other. A confusion matrix is an integer array [C, C + 1]: rows are true
classes, columns predicted classes, the last column every prediction outside the classes. Scores are fractions in
[0, 1]; a class without a score (its denominator is 0) has NaN, which means leave out.
"""

import functools
import operator
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

PIXELS_AT_ONCE = 1 << 22  # of a large image, so that the arrays beside it stay small


class Scores(NamedTuple):
  """The scores of a data set, as fractions; NaN is a missing score."""

  means: dict[str, float]  # printed name -> one score of the data set
  columns: dict[str, np.ndarray]  # column's name -> a score of each class, [C]
  more: dict = {}  # noqa: RUF012 (never changed) - what only JSON files get: arrays, or name -> score


def joined(*scores: Scores) -> Scores:
  """The means, columns and further scores of all."""
  return Scores(*(functools.reduce(operator.or_, dicts) for dicts in zip(*scores, strict=True)))


def runs(pred: np.ndarray, truth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Yields the runs over which both label arrays are constant: arrays of predictions, truths and numbers of pixels.

  Label images are constant over long runs: what is counted by runs takes a fraction of the time of pixels. In noisy
  parts of an image a run is one pixel.
  """
  pred, truth = pred.ravel(), truth.ravel()
  for start in range(0, truth.size, PIXELS_AT_ONCE):
    p, t = (labels[start : start + PIXELS_AT_ONCE] for labels in (pred, truth))
    ends = np.flatnonzero((p[1:] != p[:-1]) | (t[1:] != t[:-1]))
    if ends.size < t.size // 8:
      ends = np.append(ends, t.size - 1)
      yield p[ends], t[ends], np.diff(ends, prepend=-1)
    else:
      yield p, t, np.broadcast_to(np.int64(1), t.size)


def confusion(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
  """The confusion matrix, int64 [C, C + 1], of integer arrays of one shape."""
  return confusion_of_runs(runs(pred, truth), num_classes)


def confusion_of_runs(found: Iterable, num_classes: int) -> np.ndarray:
  """`confusion` of what `runs` yields."""
  width = num_classes + 1
  counts = np.zeros(width * width)  # exact up to 2^53
  for pred, truth, pixels in found:
    index = class_ids(truth, num_classes).astype(np.uint32) * np.uint32(width) + class_ids(pred, num_classes)
    counts += np.bincount(index, pixels, width * width)
  return counts.astype(np.int64).reshape(width, width)[:num_classes]


def class_ids(labels: np.ndarray, num_classes: int) -> np.ndarray:
  """Integer `labels` as uint8 or uint16 with C for everything outside the classes 0 to C - 1."""
  dtype = np.uint8 if num_classes < 256 else np.uint16
  unsigned = labels.astype(f'u{labels.itemsize}', copy=False)  # negative values become large ones
  return np.minimum(unsigned, dtype(num_classes)).astype(dtype, copy=False)


def iou_stats(
  pred: np.ndarray, target: np.ndarray, num_classes: int = 21, background: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """`class_pixels` of two label arrays; IoU = intersection / (true + predicted - intersection) of their sums.

  `background` has no effect: the code of 2018 passes it.
  """
  del background
  return class_pixels(confusion(pred, target, num_classes))


def class_pixels(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The pixels of each class in the ground truth, in the prediction, and in both: three arrays [C]."""
  return matrix.sum(axis=1), matrix[:, : len(matrix)].sum(axis=0), np.diagonal(matrix).copy()


def ratio(numerator, denominator) -> np.ndarray:
  """numerator / denominator, NaN where the denominator is 0."""
  numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
  return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def mean(scores) -> float:
  """The mean of the scores that are not NaN; NaN if all are."""
  scores = np.asarray(scores, float)
  return float(ratio(np.nansum(scores), np.count_nonzero(~np.isnan(scores))))


def iou(matrix: np.ndarray) -> np.ndarray:
  """Intersection over union of each class, [C]."""
  truth, pred, both = class_pixels(matrix)
  return ratio(both, truth + pred - both)


def pixel_accuracy(matrix: np.ndarray) -> float:
  """The fraction of all counted pixels that is predicted right."""
  return float(ratio(np.trace(matrix), matrix.sum()))


def of_matrix(matrix: np.ndarray) -> Scores:
  """IoU, accuracy, precision, recall and F1 of each class, their means, pixel accuracy, and the matrix itself.

  precision = both / predicted, recall = accuracy = both / truth, F1 (Dice) = 2 both / (truth + predicted). The macro
  means are over the classes; the micro ones take all classes as one, so they differ from the pixel accuracy only by
  predictions outside the classes.
  """
  truth, pred, both = class_pixels(matrix)
  columns = {'iou': iou(matrix), 'accuracy': ratio(both, truth), 'truth_pixels': truth, 'predicted_pixels': pred}
  shares = {'precision': (both, pred), 'recall': (both, truth), 'f1': (2 * both, truth + pred)}
  columns |= {name: ratio(*share) for name, share in shares.items()}
  means = {
    'mean IOU': mean(columns['iou']),
    'mean Pixel Acc': pixel_accuracy(matrix),
    'mean Class Acc': mean(columns['accuracy']),
    # Each class weighted by its share of the ground truth (Long et al., CVPR 2015, section 5).
    'frequency weighted IOU': float(ratio(np.nansum(truth * columns['iou']), truth.sum())),
  }
  for name, (right, number) in shares.items():
    means[f'macro {name}'] = mean(columns[name])
    means[f'micro {name}'] = float(ratio(right.sum(), number.sum()))
  return Scores(means, columns, {'confusion': matrix})
