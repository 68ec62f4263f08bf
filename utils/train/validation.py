"""Validation while training: scores on a list, by the single-scale prediction of the inference scripts."""

import contextlib
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models.image_reader import read_image
from utils import checkpoint, devices, metrics
from utils.checks import as_seen
from utils.errors import InputError, RunError, one_line
from utils.images import read_label
from utils.predict.outputs import class_map
from utils.predict.windows import probability_function, scores, windows_at_once

PICTURES = 3  # that a validation keeps: the first of the list


class Validation(NamedTuple):
  """What a validation found.

  miou: a fraction. iou: [C], NaN for classes with neither truth nor prediction. loss: see `cross_entropy`.
  pictures: (image uint8 [h, w, 3], truth [h, w], predicted classes [h, w]) of the first images.
  """

  miou: float
  iou: np.ndarray
  loss: float
  pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]]


class Validator:
  """Scores the model on `pairs`, one image at a time, every worker its share."""

  def __init__(self, strategy, model, pairs, args):
    rank, workers = devices.worker(strategy)
    self.strategy, self.pairs, self.args = strategy, pairs[rank::workers], args
    self.quiet = rank > 0
    self.probabilities = probability_function(model, args.input_size)
    at_once = min(windows_at_once(), max(4, args.batch_size // strategy.num_replicas_in_sync))  # as memory has room for
    self.windows = {'window': args.input_size, 'strides': args.val_strides, 'batch_size': at_once}

  def __call__(self, stop) -> Validation | None:
    """None if `stop.signum` cut it off."""
    classes = self.args.num_classes
    matrix, loss, pictures = np.zeros((classes, classes + 1), np.int64), 0.0, []
    images = itertools.takewhile(lambda _: not stop.signum, map(read, self.pairs))
    found = scores(images, self.probabilities, **self.windows)
    bar = tqdm(found, 'validation', len(self.pairs), leave=False, disable=self.quiet, mininterval=0.5, unit='image')
    for pair, image, score in bar:
      truth, predicted = read_truth(pair), class_map(score)
      matrix += metrics.confusion(predicted, truth, classes)
      loss += cross_entropy(score, truth)
      if len(pictures) < PICTURES:
        pictures.append((image, truth, predicted))
    found = np.array([*matrix.ravel(), loss, stop.signum > 0], np.float64)  # counts below 2^53 are exact
    *matrix, loss, cut_off = devices.sum_over_workers(self.strategy, found)
    if cut_off:
      return None
    matrix = np.reshape(matrix, [classes, classes + 1]).astype(np.int64)
    iou = metrics.iou(matrix)
    return Validation(metrics.mean(iou), iou, float(metrics.ratio(loss, matrix.sum())), pictures)


def cross_entropy(score: np.ndarray, truth: np.ndarray) -> float:
  """The sum over the pixels that are not void of -ln p, in nats: p is the probability of the true class there.

  Over the number of these pixels it is the mean cross-entropy of the prediction, `loss` in validation.csv: at the size
  of the image, of probabilities averaged over the windows, while training's `seg_loss` is at the size of the logits.

  score: probabilities float32 [h, w, C]; truth: integers [h, w], void where >= C. A probability of 0 counts as the
  smallest number above it, 87 nats.
  """
  classes = score.shape[-1]
  probability = np.take_along_axis(score, np.minimum(truth, classes - 1)[..., np.newaxis], -1)[..., 0]
  nats = -np.log(np.maximum(probability[truth < classes], np.finfo(np.float32).tiny))
  return float(nats.sum(dtype=np.float64))


@contextlib.contextmanager
def reading(path: str):
  """Turns what reading a file raises that was sound at the start of the run into a RunError."""
  try:
    yield
  except (InputError, OSError, tf.errors.OpError) as e:
    raise RunError(f'{path}: cannot be read any more ({one_line(e)[:200]}); fix it and --resume') from None


def read(pair):
  """-> (pair, its image)."""
  with reading(pair.image):
    return pair, read_image(pair.image)


def read_truth(pair) -> np.ndarray:
  """The label [h, w] as its photo is seen: turned with it where only that fits, as the reader of training does."""
  with reading(pair.label):
    return as_seen(read_label(pair.label), pair.image)


class ValidationHistory:
  """The last and the best validation of a run; every checkpoint holds it, so that a resumed run knows its best.

  `last` is the step last validated, `best_step` and `best_miou` the best one; step -1: none yet.
  """

  def __init__(self):
    self.last, self.best_step, self.best_miou = -1, -1, float('nan')

  def add(self, step: int, miou: float) -> bool:
    """Records a validation; True if it is the best so far (a mIoU of NaN never is)."""
    self.last = step
    better = miou > self.best_miou or (self.best_step < 0 and np.isfinite(miou))
    if better:
      self.best_step, self.best_miou = step, miou
    return better

  def without_gain(self, every: int) -> int:
    """How many validations have followed the best one, or the start if none was finite, in a run that validates after
    each `every`-th step."""
    return max(self.last, 0) // every - max(self.best_step, 0) // every

  def saved(self) -> dict:
    return {
      f'{checkpoint.STATE}validated_step': np.int64(self.last),
      f'{checkpoint.STATE}best_step': np.int64(self.best_step),
      f'{checkpoint.STATE}best_miou': np.float64(self.best_miou),
    }

  def restore(self, prefix: str) -> None:
    reader = checkpoint.Reader(prefix)
    last, step, miou = (reader.get(name) for name in self.saved())
    self.last, self.best_step, self.best_miou = int(last), int(step), float(miou)
