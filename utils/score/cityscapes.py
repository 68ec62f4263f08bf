"""Cityscapes' own scores, IoU of categories and instance-weighted IoU, on train ids. The rules are those of the data
set's evaluation (cityscapesScripts, evalPixelLevelSemanticLabeling).
"""

import numpy as np

from utils import metrics
from utils.labels import CITYSCAPES_LABELS, CITYSCAPES_TRAIN_IDS, CITYSCAPES_TRAINED, VOID
from utils.metrics import Scores
from utils.score.scoring import ScoredImage, Sums

CATEGORIES = list(dict.fromkeys(label.category for label in CITYSCAPES_TRAINED))
_CATEGORY_OF = np.array([CATEGORIES.index(label.category) for label in CITYSCAPES_TRAINED])
# int [C + 1, K + 1]: 1 where the class (or what is outside the classes) belongs to the category (or to none).
_BELONGS = np.eye(len(CATEGORIES) + 1, dtype=int)[[*_CATEGORY_OF, len(CATEGORIES)]]
# A category has instances where all its labels do: human and vehicle.
_WITH_INSTANCES = [
  all(label.instance_size > 0 for label in CITYSCAPES_LABELS if label.category == category and label.id >= 0)
  for category in CATEGORIES
]
_SIZES = np.array([label.instance_size for label in CITYSCAPES_TRAINED])


def count(image: ScoredImage) -> Sums:
  """Weighted pixels of instances, by class, [3, C]: all, predicted as the class, predicted as a class of its category.

  Instance images hold label id * 1000 + number for single instances, and values up to 1000 elsewhere.
  """
  if not image.files.instances:
    return {}
  single = image.instances > 1000
  ids, index = np.unique(image.instances[single], return_inverse=True)
  width = image.num_classes + 1
  pred = metrics.class_ids(image.pred[single], image.num_classes)
  pixels = np.bincount(index * width + pred, minlength=len(ids) * width).reshape(-1, width)  # [instances, C + 1]
  classes = CITYSCAPES_TRAIN_IDS[np.minimum(ids.astype(np.int64) // 1000, VOID)]
  has_size = np.isin(classes, np.flatnonzero(_SIZES))
  classes, pixels = classes[has_size], pixels[has_size]
  same_class = np.take_along_axis(pixels, classes[:, None], axis=1)[:, 0]
  same_category = np.take_along_axis(pixels @ _BELONGS, _CATEGORY_OF[classes][:, None], axis=1)[:, 0]
  weights = _SIZES[classes] / pixels.sum(axis=1)
  right = (pixels.sum(axis=1), same_class, same_category)
  return {'weighted_pixels': np.stack([np.bincount(classes, weights * x, image.num_classes) for x in right])}


def report(sums: Sums) -> Scores:
  """IoU of the seven categories; with instances, iIoU = iTP / (iTP + FP + iFN) of classes and categories.

  Right and wrong pixels of an instance are weighted by the class' mean instance size / the instance's size; false
  positives are not.
  """
  matrix = sums['confusion']
  of_categories = _BELONGS[:-1, :-1].T @ matrix @ _BELONGS
  iou = metrics.iou(of_categories)
  means, more = {'mean category IOU': metrics.mean(iou)}, {'category_iou': dict(zip(CATEGORIES, iou, strict=True))}
  if 'weighted_pixels' not in sums:
    return Scores(means, {}, more)
  pixels, same_class, same_category = sums['weighted_pixels']
  class_iiou = np.where(_SIZES > 0, _weighted_iou(same_class, pixels, matrix), np.nan)
  right, pixels = (np.bincount(_CATEGORY_OF, weights, len(CATEGORIES)) for weights in (same_category, pixels))
  category_iiou = np.where(_WITH_INSTANCES, _weighted_iou(right, pixels, of_categories), np.nan)
  means |= {'mean iIOU': metrics.mean(class_iiou), 'mean category iIOU': metrics.mean(category_iiou)}
  more['category_iiou'] = dict(zip(CATEGORIES, category_iiou, strict=True))
  return Scores(means, {'iiou': class_iiou}, more)


def _weighted_iou(right: np.ndarray, pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  _, predicted, both = metrics.class_pixels(matrix)
  return metrics.ratio(right, pixels + predicted - both)
