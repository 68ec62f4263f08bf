"""Cityscapes' own scores: IoU of categories, and IoU in which instances count by their size. The rules are those of the
data set's evaluation (cityscapesScripts, evalPixelLevelSemanticLabeling), on train ids.
"""

import numpy as np

from utils.data.labels import CITYSCAPES_LABELS, CITYSCAPES_TRAINED
from utils.score import metrics
from utils.score.image import Report, ScoredImage

CATEGORIES = list(dict.fromkeys(label.category for label in CITYSCAPES_TRAINED))
_CATEGORY_OF = np.array([CATEGORIES.index(label.category) for label in CITYSCAPES_TRAINED])
# A category has instances where all its labels do: human and vehicle.
_WITH_INSTANCES = [
  all(label.instance_size > 0 for label in CITYSCAPES_LABELS if label.category == category and label.id >= 0)
  for category in CATEGORIES
]
_CLASS_OF = {label.id: label.train_id for label in CITYSCAPES_TRAINED}
_SIZES = np.array([label.instance_size for label in CITYSCAPES_TRAINED])


def by_category(matrix: np.ndarray) -> np.ndarray:
  """The confusion matrix [C, C + 1] of train ids as one of categories, [K, K + 1]."""
  number = len(CATEGORIES)
  summed = np.zeros((number, number + 1), matrix.dtype)
  np.add.at(summed, (_CATEGORY_OF[:, None], np.append(_CATEGORY_OF, number)[None]), matrix)
  return summed


class Categories:
  """IoU of the seven categories."""

  def __init__(self, num_classes: int):
    self.matrix = np.zeros((num_classes, num_classes + 1), np.int64)

  def add(self, image: ScoredImage) -> None:
    self.matrix += image.confusion

  def join(self, other: 'Categories') -> None:
    self.matrix += other.matrix

  def report(self) -> Report:
    iou = metrics.iou(by_category(self.matrix))
    return Report(
      {'mean category IOU': metrics.mean(iou)}, {}, {'category_iou': dict(zip(CATEGORIES, iou, strict=True))}
    )


class InstanceWeighted(Categories):
  """iIoU = iTP / (iTP + FP + iFN) of classes and categories: right and wrong pixels of an instance are weighted by the
  class' mean instance size / the instance's size; false positives are not.

  Instance images hold label id * 1000 + number where instances are told apart, and smaller values elsewhere.
  """

  def __init__(self, num_classes: int):
    super().__init__(num_classes)
    # weighted pixels of instances, by class: all; those predicted as the class; as any class of its category
    self.all, self.right, self.related = (np.zeros(num_classes) for _ in range(3))

  def add(self, image: ScoredImage) -> None:
    super().add(image)
    width = self.matrix.shape[1]
    told_apart = image.instances > 1000
    ids, index = np.unique(image.instances[told_apart], return_inverse=True)
    pred = np.minimum(metrics.clip(image.pred[told_apart], width - 1), width - 1)
    counts = np.bincount(index * width + pred, minlength=len(ids) * width).reshape(-1, width)
    for label_id, pixels in zip((ids.astype(np.int64) // 1000).tolist(), counts, strict=True):
      if label_id in _CLASS_OF and _SIZES[_CLASS_OF[label_id]]:
        c = _CLASS_OF[label_id]
        weight = _SIZES[c] / pixels.sum()
        self.all[c] += weight * pixels.sum()
        self.right[c] += weight * pixels[c]
        self.related[c] += weight * pixels[:-1][_CATEGORY_OF[c] == _CATEGORY_OF].sum()

  def join(self, other: 'InstanceWeighted') -> None:
    super().join(other)
    self.all += other.all
    self.right += other.right
    self.related += other.related

  def report(self) -> Report:
    iou = np.where(_SIZES > 0, _iou(self.right, self.all, self.matrix), np.nan)
    number = len(CATEGORIES)
    right, everything = (np.bincount(_CATEGORY_OF, x, number) for x in (self.related, self.all))
    by_kind = np.where(_WITH_INSTANCES, _iou(right, everything, by_category(self.matrix)), np.nan)
    means = {'mean iIOU': metrics.mean(iou), 'mean category iIOU': metrics.mean(by_kind)}
    return Report(means, {'iiou': iou}, {'category_iiou': dict(zip(CATEGORIES, by_kind, strict=True))})


def _iou(right: np.ndarray, everything: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  _, predicted, both = metrics.parts(matrix)
  return metrics.ratio(right, everything + predicted - both)
