"""Scores of prediction files against ground truth files, summed over a data set one image at a time."""

import functools

import numpy as np

from utils import parallel
from utils.score import metrics
from utils.score.image import Metric, Report, ScoredImage
from utils.score.pairs import Files


class Confusion(Metric):
  """The confusion matrix of a data set, and the scores that follow from it."""

  def __init__(self, num_classes: int):
    self.matrix = np.zeros((num_classes, num_classes + 1), np.int64)

  def add(self, image: ScoredImage) -> None:
    self.matrix += image.confusion

  def report(self) -> Report:
    truth, pred, _ = metrics.class_pixels(self.matrix)
    iou, accuracy = metrics.iou(self.matrix), metrics.class_accuracy(self.matrix)
    means = {
      'mean IOU': metrics.mean(iou),
      'mean Pixel Acc': metrics.pixel_accuracy(self.matrix),
      'mean Class Acc': metrics.mean(accuracy),
      'frequency weighted IOU': metrics.frequency_weighted_iou(self.matrix),
    }
    columns = {'iou': iou, 'accuracy': accuracy, 'truth_pixels': truth, 'predicted_pixels': pred}
    return Report(means, columns, {'confusion': self.matrix})


class InstanceWise(Metric):
  """Instance-wise IoU: sum over images of n U / sum of n, where U is the IoU of a class in the image and n the number
  of its instances there. A class that is predicted but has no instance scores 0; one in neither has NaN."""

  def __init__(self, num_classes: int):
    self.weighted_iou, self.instances = np.zeros(num_classes), np.zeros(num_classes, np.int64)
    self.pixels = np.zeros(num_classes, np.int64)  # of ground truth and prediction

  def add(self, image: ScoredImage) -> None:
    truth, pred, _ = metrics.class_pixels(image.confusion)
    self.pixels += truth + pred
    instances = instances_by_class(image.truth, image.instances, image.num_classes)
    self.instances += instances
    self.weighted_iou += instances * np.nan_to_num(metrics.iou(image.confusion))

  def iou(self) -> np.ndarray:
    return np.where(self.pixels > 0, self.weighted_iou / np.maximum(self.instances, 1), np.nan)

  def report(self) -> Report:
    iou = self.iou()
    return Report({'mean instance-wise IOU': metrics.mean(iou)}, {'instance_iou': iou, 'instances': self.instances})


def instances_by_class(truth: np.ndarray, ids: np.ndarray, num_classes: int, void: int = 255) -> np.ndarray:
  """The number of instances of each class, [C].

  The class of an instance is the majority of the true classes under its mask (the lowest of equals). Every id is an
  instance, 0 too, except `void` and those without a pixel of any class.
  """
  keep = (truth < num_classes) & (truth >= 0) & (ids != void)
  found, index = np.unique(ids[keep], return_inverse=True)
  votes = np.bincount(index.ravel() * num_classes + truth[keep], minlength=len(found) * num_classes)
  return np.bincount(votes.reshape(-1, num_classes).argmax(axis=1), minlength=num_classes)


class Metrics:
  """Several metrics, which read every image once."""

  def __init__(self, num_classes: int, metric_types: dict):
    self.num_classes = num_classes
    self.by_name = {name: metric_type(num_classes) for name, metric_type in metric_types.items()}

  def add(self, files: Files) -> None:
    image = ScoredImage(files, self.num_classes)
    for metric in self.by_name.values():
      metric.add(image)

  def join(self, other: 'Metrics') -> None:
    for name, metric in self.by_name.items():
      metric.join(other.by_name[name])


def score(files: list[Files], num_classes: int, metric_types: dict) -> dict:
  """Name -> metric after all files. `metric_types`: name -> what makes the metric from the number of classes."""
  return parallel.accumulate(functools.partial(Metrics, num_classes, metric_types), files, 'scoring').by_name
