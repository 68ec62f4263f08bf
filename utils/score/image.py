"""What all scores share: the image that is scored."""

import functools

import numpy as np

from utils import images, metrics
from utils.errors import InputError
from utils.score.pairs import Files

# Name -> counts that `+` adds up: arrays, or a list of entries, which `+` makes longer.
Sums = dict


class ScoredImage:
  """Prediction and ground truth of one image, read and compared once for all scores."""

  def __init__(self, files: Files, num_classes: int):
    self.files, self.num_classes = files, num_classes
    self.pred = images.read_label(files.pred)
    self.truth = self.of_same_size(files.truth)

  def of_same_size(self, path: str) -> np.ndarray:
    """Another label image; raises an InputError if it differs in size."""
    labels = images.read_label(path)
    if labels.shape != self.pred.shape:
      sizes = ['{1} x {0}'.format(*shape) for shape in (self.pred.shape, labels.shape)]
      raise InputError(
        f'{self.files.pred}: is {sizes[0]} while {path} is {sizes[1]} (width x height); predict at the size of the '
        'ground truth'
      )
    return labels

  @functools.cached_property
  def instances(self) -> np.ndarray:
    """The instance ids, of the ground truth's shape."""
    return self.of_same_size(self.files.instances)

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    """The confusion matrix, int64 [C, C + 1]."""
    return metrics.confusion(self.pred, self.truth, self.num_classes)

  @functools.cached_property
  def strays(self) -> dict[int, tuple[int, int]]:
    """Truth values outside the classes -> their pixels, and those of them that are predicted as that value."""
    outside = self.truth >= self.num_classes
    values, index = np.unique(self.truth[outside], return_inverse=True)
    index = index.ravel()
    same = np.bincount(index, self.pred[outside] == self.truth[outside], len(values)).astype(int)
    pixels = np.bincount(index, minlength=len(values))
    return dict(zip(values.tolist(), zip(pixels.tolist(), same.tolist(), strict=True), strict=True))

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
