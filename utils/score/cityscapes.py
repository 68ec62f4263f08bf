"""Cityscapes' own scores, IoU of categories and instance-weighted IoU, on train ids. The rules are those of the data
set's evaluation (cityscapesScripts, evalPixelLevelSemanticLabeling).
"""

import numpy as np

from utils.data.labels import CITYSCAPES_LABELS, CITYSCAPES_TRAINED
from utils.score import metrics
from utils.score.image import Report, ScoredImage
from utils.score.scoring import Confusion

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


class Categories(Confusion):
  """IoU of the seven categories."""

  def report(self) -> Report:
    iou = metrics.iou(by_category(self.matrix))
    more = {'category_iou': dict(zip(CATEGORIES, iou, strict=True))}
    return Report({'mean category IOU': metrics.mean(iou)}, {}, more)


class InstanceWeighted(Confusion):
  """iIoU = iTP / (iTP + FP + iFN) of classes and categories: right and wrong pixels of an instance are weighted by the
  class' mean instance size / the instance's size; false positives are not.

  Instance images hold label id * 1000 + number for single instances, and values up to 1000 elsewhere.
  """

  def __init__(self, num_classes: int):
    super().__init__(num_classes)
    # Weighted pixels of instances, by class: all; predicted as the class; predicted as any class of its category.
    self.all, self.same_class, self.same_category = (np.zeros(num_classes) for _ in range(3))

  def add(self, image: ScoredImage) -> None:
    super().add(image)
    width = self.matrix.shape[1]
    single = image.instances > 1000
    ids, index = np.unique(image.instances[single], return_inverse=True)
    pred = metrics.class_ids(image.pred[single], width - 1)
    counts = np.bincount(index * width + pred, minlength=len(ids) * width).reshape(-1, width)
    for label_id, pixels in zip((ids.astype(np.int64) // 1000).tolist(), counts, strict=True):
      c = _CLASS_OF.get(label_id)
      if c is not None and _SIZES[c]:
        weight = _SIZES[c] / pixels.sum()
        self.all[c] += weight * pixels.sum()
        self.same_class[c] += weight * pixels[c]
        self.same_category[c] += weight * pixels[:-1][_CATEGORY_OF[c] == _CATEGORY_OF].sum()

  def report(self) -> Report:
    iou = np.where(_SIZES > 0, _weighted_iou(self.same_class, self.all, self.matrix), np.nan)
    right, total = (np.bincount(_CATEGORY_OF, sums, len(CATEGORIES)) for sums in (self.same_category, self.all))
    category_iou = np.where(_WITH_INSTANCES, _weighted_iou(right, total, by_category(self.matrix)), np.nan)
    means = {'mean iIOU': metrics.mean(iou), 'mean category iIOU': metrics.mean(category_iou)}
    return Report(means, {'iiou': iou}, {'category_iiou': dict(zip(CATEGORIES, category_iou, strict=True))})


def _weighted_iou(right: np.ndarray, total: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  _, predicted, both = metrics.class_pixels(matrix)
  return metrics.ratio(right, total + predicted - both)
