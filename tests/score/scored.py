"""What the tests of the benchmarks share: random label images, files of them, and one image for the metrics."""

import pathlib

import numpy as np
from PIL import Image

from utils.score import pairs
from utils.score.image import ScoredImage

VOID = 255


def blobs(rng: np.random.Generator, height: int, width: int, values) -> np.ndarray:
  """uint8 [H, W] of `values` in regions a few pixels wide, as labels are."""
  small = rng.choice(np.asarray(values, np.uint8), [height // 5 + 1, width // 5 + 1])
  return np.kron(small, np.ones([5, 5], np.uint8))[:height, :width]


def spoiled(rng: np.random.Generator, labels: np.ndarray, values, share: float = 0.1) -> np.ndarray:
  """`labels` with a share of the pixels drawn anew."""
  return np.where(rng.random(labels.shape) < share, rng.choice(np.asarray(values, labels.dtype), labels.shape), labels)


def save(path: pathlib.Path, labels: np.ndarray) -> str:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(labels).save(path)
  return str(path)


def image(pred: np.ndarray, truth: np.ndarray, num_classes: int, instances: np.ndarray | None = None) -> ScoredImage:
  """What the metrics look at, without files."""
  made = object.__new__(ScoredImage)
  made.files, made.num_classes, made.pred, made.truth = pairs.Files('', '', ''), num_classes, pred, truth
  if instances is not None:
    made.instances = instances
  return made


def fed(metric, images):
  """`metric` after the images, half of them through another one that is joined to it."""
  other = type(metric)(images[0].num_classes)
  for i, image in enumerate(images):
    (metric if i % 2 else other).add(image)
  metric.join(other)
  return metric
