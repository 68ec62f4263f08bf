"""Scores from confusion matrices.

A ground truth >= num_classes is void: its pixel counts nowhere. A prediction >= num_classes is wrong for the true class
and counts for no other. A confusion matrix is an integer array [C, C + 1]: rows are true classes, columns predicted
classes, the last column every prediction outside the classes. Scores are fractions in [0, 1]; a class without a score
(its denominator is 0) has NaN, which means leave out.
"""

import numpy as np

from utils.score.counting import mean as mean


def confusion(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
  """The confusion matrix, int64 [C, C + 1], of integer arrays of one shape.

  Label images are constant over long runs, so runs are counted, weighted by their lengths: several times faster than
  pixels. Noisy images are counted pixel by pixel.
  """
  width = num_classes + 1
  index = class_ids(truth, num_classes).astype(np.uint16 if width < 256 else np.uint32).ravel()
  index *= width
  index += class_ids(pred, num_classes).ravel()
  ends, lengths = np.flatnonzero(index[1:] != index[:-1]), None
  if ends.size < index.size // 8:
    ends = np.append(ends, index.size - 1)
    index, lengths = index[ends], np.diff(ends, prepend=-1)
  return np.bincount(index, lengths, width * width).astype(np.int64).reshape(width, width)[:num_classes]


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


def iou(matrix: np.ndarray) -> np.ndarray:
  """Intersection over union of each class, [C]."""
  truth, pred, both = class_pixels(matrix)
  return ratio(both, truth + pred - both)


def pixel_accuracy(matrix: np.ndarray) -> float:
  """The fraction of all counted pixels that is predicted right."""
  return float(ratio(np.trace(matrix), matrix.sum()))
