"""One prediction and its ground truth, read and compared once for all metrics, and what a metric reports."""

import functools
from typing import NamedTuple

import numpy as np

from utils import image_file
from utils.score import counting, metrics
from utils.score.pairs import Files


class Report(NamedTuple):
  """What a metric has to say: scores as fractions, NaN where there is none."""

  means: dict[str, float]  # the name that is printed -> one figure for the data set
  columns: dict[str, np.ndarray]  # the column's name -> a figure for each class, [C]
  more: dict = {}  # noqa: RUF012 (never changed) - further figures, kept in JSON files only


class ScoredImage:
  """One image to score, and what several metrics look at."""

  def __init__(self, files: Files, num_classes: int):
    self.files, self.num_classes = files, num_classes
    self.pred = image_file.read_label(files.pred)
    self.truth = self._read_other(files.truth)

  def _read_other(self, path: str) -> np.ndarray:
    labels = image_file.read_label(path)
    counting.check_size(self.files.pred, self.pred.shape[::-1], path, labels.shape[::-1])
    return labels

  @functools.cached_property
  def instances(self) -> np.ndarray:
    """The instance ids, of the truth's shape."""
    return self._read_other(self.files.instances)

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    return metrics.confusion(self.pred, self.truth, self.num_classes)

  @functools.cached_property
  def regions(self) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction as maps of regions (uint8 or uint16): classes, C for void, C + 1 for outside the classes.

    Void has no shape of its own: the prediction counts as void wherever the truth is, so that nothing predicted there
    matters. A prediction outside the classes is a region that matches no class.
    """
    classes = self.num_classes
    dtype = np.uint8 if classes < 254 else np.uint16
    valid = (self.truth >= 0) & (self.truth < classes)
    inside = (self.pred >= 0) & (self.pred < classes)
    void, outside = np.int32(classes), np.int32(classes + 1)  # wider than the labels, which may be 8-bit
    truth = np.where(valid, self.truth, void).astype(dtype)
    pred = np.where(valid, np.where(inside, self.pred, outside), void).astype(dtype)
    return truth, pred
