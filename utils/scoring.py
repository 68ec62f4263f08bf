"""Scores of prediction files against truth files, summed over a data set one image at a time."""

import functools

import numpy as np

from utils import counting, forked, general, metrics
from utils.pairs import Files


class Image:
  """One image to score: what every metric looks at."""

  def __init__(self, files: Files, num_classes: int):
    self.files, self.num_classes = files, num_classes
    self.pred, self.truth = general.read_label(files.pred), general.read_label(files.truth)
    counting.check_size(files.pred, self.pred.shape[::-1], files.truth, self.truth.shape[::-1])

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    return metrics.confusion(self.pred, self.truth, self.num_classes)

  @functools.cached_property
  def instances(self) -> np.ndarray:
    """The instance ids, of the truth's shape."""
    ids = general.read_label(self.files.instances)
    counting.check_size(self.files.pred, self.pred.shape[::-1], self.files.instances, ids.shape[::-1])
    return ids


class Confusion:
  """The confusion matrix of a data set."""

  def __init__(self, num_classes: int):
    self.matrix = np.zeros((num_classes, num_classes + 1), np.int64)

  def add(self, image: Image) -> None:
    self.matrix += image.confusion

  def join(self, other: 'Confusion') -> None:
    self.matrix += other.matrix


class InstanceWise:
  """Instance-wise IoU: sum over images of n U / sum of n, where U is a class' IoU in the image and n the number of its
  instances there."""

  def __init__(self, num_classes: int):
    self.weighted, self.number = np.zeros(num_classes), np.zeros(num_classes, np.int64)

  def add(self, image: Image) -> None:
    number = instances_by_class(image.truth, image.instances, image.num_classes)
    self.number += number
    self.weighted += np.where(number > 0, number * np.nan_to_num(metrics.iou(image.confusion)), 0)

  def join(self, other: 'InstanceWise') -> None:
    self.number += other.number
    self.weighted += other.weighted

  def iou(self) -> np.ndarray:
    return metrics.ratio(self.weighted, self.number)


def instances_by_class(truth: np.ndarray, ids: np.ndarray, num_classes: int, void: int = 255) -> np.ndarray:
  """The number of instances of each class, [C].

  An instance's class is the majority of the truth's classes under its mask (the lowest of equals). Id `void` and
  instances without a pixel of any class are no instances; every other id, 0 too, is one.
  """
  keep = (truth < num_classes) & (truth >= 0) & (ids != void)
  found, index = np.unique(ids[keep], return_inverse=True)
  votes = np.bincount(index.ravel() * num_classes + truth[keep], minlength=len(found) * num_classes)
  return np.bincount(votes.reshape(-1, num_classes).argmax(axis=1), minlength=num_classes)


class Scores:
  """Several metrics fed with the same images: the one pass over the files."""

  def __init__(self, num_classes: int, **parts):
    self.num_classes, self.parts = num_classes, parts

  def add(self, files: Files) -> None:
    image = Image(files, self.num_classes)
    for part in self.parts.values():
      part.add(image)

  def join(self, other: 'Scores') -> None:
    for name, part in self.parts.items():
      part.join(other.parts[name])


def score(files: list[Files], num_classes: int, makers: dict) -> dict:
  """Each of `makers` (name -> a function of the number of classes that makes a metric) after all the files."""
  make = lambda: Scores(num_classes, **{name: maker(num_classes) for name, maker in makers.items()})  # noqa: E731
  return forked.total(make, files, 'scoring').parts
