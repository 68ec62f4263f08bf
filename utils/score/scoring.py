"""Scores of prediction files against truth files, summed over a data set one image at a time."""

import functools

import numpy as np

from utils import parallel
from utils.score import metrics
from utils.score.image import Report, ScoredImage
from utils.score.pairs import Files


class Confusion:
  """The confusion matrix of a data set, and all scores that follow from it."""

  def __init__(self, num_classes: int):
    self.matrix = np.zeros((num_classes, num_classes + 1), np.int64)

  def add(self, image: ScoredImage) -> None:
    self.matrix += image.confusion

  def join(self, other: 'Confusion') -> None:
    self.matrix += other.matrix

  def report(self) -> Report:
    truth, pred, _ = metrics.parts(self.matrix)
    iou, accuracy = metrics.iou(self.matrix), metrics.class_accuracy(self.matrix)
    means = {
      'mean IOU': metrics.mean(iou),
      'mean Pixel Acc': metrics.pixel_accuracy(self.matrix),
      'mean Class Acc': metrics.mean(accuracy),
      'frequency weighted IOU': metrics.frequency_weighted_iou(self.matrix),
    }
    columns = {'iou': iou, 'accuracy': accuracy, 'truth_pixels': truth, 'predicted_pixels': pred}
    return Report(means, columns, {'confusion': self.matrix})


class InstanceWise:
  """Instance-wise IoU: sum over images of n U / sum of n, where U is a class' IoU in the image and n the number of its
  instances there; 0 for a class without instances that is predicted, NaN for one with neither truth nor prediction."""

  def __init__(self, num_classes: int):
    self.weighted, self.number = np.zeros(num_classes), np.zeros(num_classes, np.int64)
    self.pixels = np.zeros(num_classes, np.int64)  # of truth and prediction

  def add(self, image: ScoredImage) -> None:
    truth, pred, _ = metrics.parts(image.confusion)
    self.pixels += truth + pred
    number = instances_by_class(image.truth, image.instances, image.num_classes)
    self.number += number
    self.weighted += np.where(number > 0, number * np.nan_to_num(metrics.iou(image.confusion)), 0)

  def join(self, other: 'InstanceWise') -> None:
    self.number += other.number
    self.weighted += other.weighted
    self.pixels += other.pixels

  def iou(self) -> np.ndarray:
    return np.where(self.pixels > 0, self.weighted / np.maximum(self.number, 1), np.nan)

  def report(self) -> Report:
    means = {'mean instance-wise IOU': metrics.mean(self.iou())}
    return Report(means, {'instance_iou': self.iou(), 'instances': self.number})


def instances_by_class(truth: np.ndarray, ids: np.ndarray, num_classes: int, void: int = 255) -> np.ndarray:
  """The number of instances of each class, [C].

  An instance's class is the majority of the truth's classes under its mask (the lowest of equals). Id `void` and
  instances without a pixel of any class are no instances; every other id, 0 too, is one.
  """
  keep = (truth < num_classes) & (truth >= 0) & (ids != void)
  found, index = np.unique(ids[keep], return_inverse=True)
  votes = np.bincount(index.ravel() * num_classes + truth[keep], minlength=len(found) * num_classes)
  return np.bincount(votes.reshape(-1, num_classes).argmax(axis=1), minlength=num_classes)


class Metrics:
  """Several metrics fed with the same images, in one pass over the files."""

  def __init__(self, num_classes: int, makers: dict):
    self.num_classes, self.parts = num_classes, {name: maker(num_classes) for name, maker in makers.items()}

  def add(self, files: Files) -> None:
    image = ScoredImage(files, self.num_classes)
    for part in self.parts.values():
      part.add(image)

  def join(self, other: 'Metrics') -> None:
    for name, part in self.parts.items():
      part.join(other.parts[name])


def score(files: list[Files], num_classes: int, makers: dict) -> dict:
  """Each of `makers` (name -> a function of the number of classes that makes a metric) after all the files."""
  return parallel.accumulate(functools.partial(Metrics, num_classes, makers), files, 'scoring').parts
