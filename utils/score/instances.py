"""Instance-wise IoU: sum over images of n U / sum of n, where U is the IoU of a class in the image and n the number of
its instances there. A class that is predicted but has no instance scores 0; one in neither has NaN.
"""

import numpy as np

from utils import metrics
from utils.labels import VOID
from utils.metrics import Scores
from utils.score.scoring import ScoredImage, Sums


def count(image: ScoredImage) -> Sums:
  """n and n U of one image, by class: two arrays [C].

  The class of an instance is the majority of the true classes under its mask (the lowest of equals). Every id is an
  instance, 0 too, except void and those without a pixel of any class.
  """
  truth, ids, num_classes = image.truth, image.instances, image.num_classes
  keep = (truth < num_classes) & (truth >= 0) & (ids != VOID)
  found, index = np.unique(ids[keep], return_inverse=True)
  votes = np.bincount(index.ravel() * num_classes + truth[keep], minlength=len(found) * num_classes)
  number = np.bincount(votes.reshape(-1, num_classes).argmax(axis=1), minlength=num_classes)
  return {'instances': number, 'weighted_iou': number * np.nan_to_num(metrics.iou(image.confusion))}


def report(sums: Sums) -> Scores:
  truth, pred, _ = metrics.class_pixels(sums['confusion'])
  iou = np.where(truth + pred > 0, sums['weighted_iou'] / np.maximum(sums['instances'], 1), np.nan)
  columns = {'instance_iou': iou, 'instances': sums['instances']}
  return Scores({'mean instance-wise IOU': metrics.mean(iou)}, columns)
