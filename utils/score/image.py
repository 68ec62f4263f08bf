"""What all scores share: the image that is scored, and the form in which scores are reported."""

import functools
from typing import NamedTuple

import numpy as np

from utils import image_file
from utils.score import counting, metrics
from utils.score.pairs import Files


class ScoredImage:
  """Prediction and ground truth of one image, read and compared once for all scores."""

  def __init__(self, files: Files, num_classes: int):
    self.files, self.num_classes = files, num_classes
    self.pred = image_file.read_label(files.pred)
    self.truth = self._read_same_size(files.truth)

  def _read_same_size(self, path: str) -> np.ndarray:
    labels = image_file.read_label(path)
    counting.check_size(self.files.pred, self.pred.shape[::-1], path, labels.shape[::-1])
    return labels

  @functools.cached_property
  def instances(self) -> np.ndarray:
    """The instance ids, of the ground truth's shape."""
    return self._read_same_size(self.files.instances)

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    """The confusion matrix, int64 [C, C + 1]."""
    return metrics.confusion(self.pred, self.truth, self.num_classes)

  @functools.cached_property
  def regions(self) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction as region maps (uint8 or uint16): classes, C for void, C + 1 for outside the classes.

    The prediction is void wherever the ground truth is, so that nothing predicted there matters. A prediction outside
    the classes is a region that matches no class.
    """
    void, outside = self.num_classes, self.num_classes + 1
    dtype = np.uint8 if outside < 255 else np.uint16  # `boundaries.band` needs one more value
    truth, pred = (metrics.class_ids(labels, void).astype(dtype) for labels in (self.truth, self.pred))
    pred[pred == void] = outside
    pred[truth == void] = void
    return truth, pred


class Report(NamedTuple):
  """The scores of a data set, as fractions; NaN is a missing score."""

  means: dict[str, float]  # printed name -> one score of the data set
  columns: dict[str, np.ndarray]  # column's name -> a score of each class, [C]
  more: dict = {}  # noqa: RUF012 (never changed) - what only JSON files get: arrays, or name -> score
