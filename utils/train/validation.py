"""Validation while training: mIoU on a list, by the single-scale prediction of the inference scripts."""

import itertools

import numpy as np
import tensorflow as tf

from seg_models.image_reader import read_image
from utils import checkpoint, devices, metrics
from utils.errors import InputError, RunError, one_line
from utils.images import read_label
from utils.predict.outputs import class_map
from utils.predict.windows import probability_function, scores, windows_at_once


class Validator:
  """Scores the model on `pairs`, one image at a time, every worker its share."""

  def __init__(self, strategy, model, pairs, args):
    rank, workers = devices.worker(strategy)
    self.strategy, self.pairs, self.args = strategy, pairs[rank::workers], args
    self.probabilities = probability_function(model, args.input_size)
    self.windows = {'window': args.input_size, 'strides': args.val_strides, 'batch_size': windows_at_once()}

  def __call__(self, stop) -> tuple[float, np.ndarray] | None:
    """-> (mIoU, IoU [C] with NaN for classes with neither truth nor prediction); None if `stop.signum` cut it off."""
    classes = self.args.num_classes
    matrix = np.zeros((classes, classes + 1), np.int64)
    images = itertools.takewhile(lambda _: not stop.signum, map(read, self.pairs))
    for pair, score in scores(images, self.probabilities, **self.windows):
      matrix += metrics.confusion(class_map(score), read_label(pair.label), classes)
    cut_off = stop.signum > 0
    *matrix, cut_off = devices.sum_over_workers(self.strategy, np.append(matrix, cut_off))
    if cut_off:
      return None
    iou = metrics.iou(np.reshape(matrix, [classes, classes + 1]))
    return metrics.mean(iou), iou


def read(pair):
  """-> (pair, its image)."""
  try:
    return pair, read_image(pair.image)
  except (InputError, OSError, tf.errors.OpError) as e:
    raise RunError(f'{pair.image}: cannot be read any more ({one_line(e)[:200]}); fix it and --resume') from None


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

  def summary(self, folder) -> dict:
    if self.best_step < 0:
      return {'best_checkpoint': None, 'best_miou': None}
    return {
      'best_checkpoint': checkpoint.path_of(folder.folder, self.best_step),
      'best_miou': round(self.best_miou, 6),
    }
