"""Scores of prediction files against ground truth files, counted image by image and summed over a data set.

`count(image)` and `report(sums)` here are for the confusion matrix; `instances`, `boundaries` and `cityscapes` have the
same two functions. A report may use the confusion matrix too, which is always among the sums.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import numpy as np

from utils.score import counting, metrics
from utils.score.counting import Sums
from utils.score.image import Report, ScoredImage
from utils.score.pairs import Files


def score(files: list[Files], num_classes: int, counts: Sequence[Callable[[ScoredImage], Sums]]) -> Sums:
  """What each of `counts` counts, and the confusion matrix, summed over all files."""
  return counting.summed(files, functools.partial(_count_all, num_classes, [count, *counts]))


def _count_all(num_classes: int, counts, files: Files) -> Sums:
  image = ScoredImage(files, num_classes)
  return functools.reduce(operator.or_, (count(image) for count in counts))


def merged(*reports: Report) -> Report:
  return Report(*(functools.reduce(operator.or_, dicts) for dicts in zip(*reports, strict=True)))


def count(image: ScoredImage) -> Sums:
  return {'confusion': image.confusion}


def report(sums: Sums) -> Report:
  matrix = sums['confusion']
  truth, pred, both = metrics.class_pixels(matrix)
  iou, accuracy = metrics.iou(matrix), metrics.ratio(both, truth)
  means = {
    'mean IOU': metrics.mean(iou),
    'mean Pixel Acc': metrics.pixel_accuracy(matrix),
    'mean Class Acc': metrics.mean(accuracy),
    # Each class weighted by its share of the ground truth (Long et al., CVPR 2015, section 5).
    'frequency weighted IOU': float(metrics.ratio(np.nansum(truth * iou), truth.sum())),
  }
  columns = {'iou': iou, 'accuracy': accuracy, 'truth_pixels': truth, 'predicted_pixels': pred}
  return Report(means, columns, {'confusion': matrix})
