"""What the tests of the benchmarks share: random label images, what a script says, and one image for the metrics."""

import functools
import re

import numpy as np

from utils import errors
from utils.score import pairs, scoring
from utils.score.scoring import ScoredImage, Sums

VOID = 255


def blobs(rng: np.random.Generator, height: int, width: int, values) -> np.ndarray:
  """uint8 [H, W] of `values` in regions a few pixels wide, as labels are."""
  small = rng.choice(np.asarray(values, np.uint8), [height // 5 + 1, width // 5 + 1])
  return np.kron(small, np.ones([5, 5], np.uint8))[:height, :width]


def spoiled(rng: np.random.Generator, labels: np.ndarray, values, share: float = 0.1) -> np.ndarray:
  """`labels` with a share of the pixels drawn anew."""
  return np.where(rng.random(labels.shape) < share, rng.choice(np.asarray(values, labels.dtype), labels.shape), labels)


def outcome(script, argv, capsys) -> tuple[int, str, str]:
  """Exit code, standard output and standard error of a script, without progress bars."""
  code, captured = errors.run(script.main, [str(a) for a in argv]), capsys.readouterr()
  return code, captured.out, ''.join(line for line in re.split(r'(?<=\n)|\r', captured.err) if '%|' not in line)


def image(pred: np.ndarray, truth: np.ndarray, num_classes: int, instances: np.ndarray | None = None) -> ScoredImage:
  """An image to score, without files."""
  made = object.__new__(ScoredImage)
  made.files = pairs.Files('', '', 'truth', None if instances is None else 'instances')
  made.num_classes, made.pred, made.truth, made.instances = num_classes, pred, truth, instances
  return made


def counted(images, *counts) -> Sums:
  """What the counting functions count, and the confusion matrix, summed over the images."""
  each = ({name: x for count in (scoring.count, *counts) for name, x in count(image).items()} for image in images)
  return functools.reduce(scoring.add, each, {})
