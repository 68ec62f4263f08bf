"""Scores from confusion matrices. NumPy alone.

Conventions: a truth >= num_classes is void and its pixel counts nowhere; a prediction >= num_classes is wrong for the
truth's class and counts for no other. A confusion matrix is an integer array [C, C + 1]: rows are the truth's class,
columns the predicted class, the last column every prediction outside the classes. Scores are fractions in [0, 1]; NaN
stands for a class that has no score (nothing to divide by), and means pass it over.
"""

import numpy as np


def confusion(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
  """The confusion matrix, int64 [C, C + 1], of integer arrays of one shape."""
  width = num_classes + 1
  return histogram(truth, pred, width, width)[:num_classes]


def histogram(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> np.ndarray:
  """int64 [height, width]: how often rows == i and columns == j; values beyond count in the last row or column.

  Label images are flat over long runs, so the runs are counted, each with its length: several times faster than to
  count pixels. Noise is counted pixel by pixel.
  """
  rows, columns = clip(rows, height - 1), clip(columns, width - 1)
  code, bits = (np.uint16, 8) if rows.itemsize == columns.itemsize == 1 else (np.uint32, 16)
  code = rows.astype(code)
  code <<= bits
  code |= columns
  code = code.ravel()
  ends, lengths = np.flatnonzero(code[1:] != code[:-1]), None
  if ends.size < code.size // 8:
    ends = np.append(ends, code.size - 1)
    code, lengths = code[ends], np.diff(ends, prepend=-1)
  index = np.minimum(code >> bits, height - 1) * np.int64(width) + np.minimum(code & ((1 << bits) - 1), width - 1)
  return np.bincount(index, lengths, height * width).astype(np.int64).reshape(height, width)


def clip(values: np.ndarray, top: int) -> np.ndarray:
  """`values` as uint8 or uint16; those of deeper images that exceed `top` (< 2^16), or are negative, become `top`."""
  if values.dtype == np.uint8:
    return values
  unsigned = values.astype(f'u{values.itemsize}', copy=False)
  return np.minimum(unsigned, top).astype(np.uint8 if top < 256 else np.uint16)


def iou_stats(
  pred: np.ndarray, target: np.ndarray, num_classes: int = 21, background: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Pixels of each class in the truth, in the prediction and in both: three arrays [C] to sum over a data set.

  IoU = both / (truth + prediction - both). `background` has no effect; callers of long ago pass it.
  """
  del background
  return parts(confusion(pred, target, num_classes))


def parts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The pixels of each class in the truth, in the prediction, and in both, of a confusion matrix."""
  num_classes = len(matrix)
  return matrix.sum(axis=1), matrix[:, :num_classes].sum(axis=0), np.diagonal(matrix).copy()


def ratio(numerator, denominator) -> np.ndarray:
  """numerator / denominator, NaN where the denominator is 0."""
  numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
  return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def mean(scores: np.ndarray) -> float:
  """The mean of the scores that are not NaN; NaN where there is none."""
  scores = np.asarray(scores, float)
  return float(ratio(np.nansum(scores), np.sum(~np.isnan(scores))))


def iou(matrix: np.ndarray) -> np.ndarray:
  """Intersection over union of each class, [C]."""
  truth, pred, both = parts(matrix)
  return ratio(both, truth + pred - both)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
  """The share of each class' pixels that is predicted right (recall), [C]."""
  truth, _, both = parts(matrix)
  return ratio(both, truth)


def pixel_accuracy(matrix: np.ndarray) -> float:
  """The share of all counted pixels that is predicted right."""
  truth, _, both = parts(matrix)
  return float(ratio(both.sum(), truth.sum()))


def frequency_weighted_iou(matrix: np.ndarray) -> float:
  """The mean IoU with each class weighted by its share of the truth's pixels (Long et al., CVPR 2015, section 5)."""
  truth = matrix.sum(axis=1)
  return float(ratio(np.nansum(truth * iou(matrix)), truth.sum()))
