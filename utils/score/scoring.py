"""The pass over the images of a data set that all scores share, and the scores of the confusion matrix (IoU, accuracy).

A kind of score is a module with two functions: `count(image)` gives arrays that can be added up over images, and
`report(sums)` turns their sums into scores. Here they are those of the confusion matrix; `instances`, `boundaries` and
`cityscapes` have the same two, and their reports may use the confusion matrix, which is always among the sums.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import numpy as np

from utils.score import counting, metrics
from utils.score.counting import Sums
from utils.score.image import Report, ScoredImage
from utils.score.pairs import Files


def count_files(files: list[Files], num_classes: int, counters: Sequence[Callable[[ScoredImage], Sums]]) -> Sums:
  """The sums over all images of what the functions `counters` count, and of the confusion matrix."""
  return counting.summed(files, functools.partial(_count_image, num_classes, [count, *counters]))


def _count_image(num_classes: int, counters, files: Files) -> Sums:
  image = ScoredImage(files, num_classes)
  return functools.reduce(operator.or_, (counter(image) for counter in counters))


def joined(*reports: Report) -> Report:
  """One report with the means, columns and further scores of all."""
  return Report(*(functools.reduce(operator.or_, dicts) for dicts in zip(*reports, strict=True)))


def count(image: ScoredImage) -> Sums:
  return {'confusion': image.confusion}


def report(sums: Sums) -> Report:
  """IoU and accuracy of each class, their means, pixel accuracy, and the confusion matrix itself."""
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
