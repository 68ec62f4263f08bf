"""The log of a run: progress bar, log.csv, validation.csv, TensorBoard, summary.json."""

import contextlib
import json
import resource
import sys
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from network.common.layers import MEAN, resize_bilinear
from utils import memory
from utils.atomic import write_text
from utils.data.datasets import colours
from utils.data.labels import class_names
from utils.data.visualisation import colour
from utils.train.csv_log import CsvLog


class RunLog:
  """Writes the log of one run into its snapshot folder (`quiet`: nowhere, for workers that are not the chief).

  log.csv has a line a step: step, losses, lr, images/s, seconds waited for data, resident memory in MB. validation.csv
  has a line a validation: step, mIoU and IoU per class in percent. A resumed run drops the rows after step `validated`,
  since it repeats these validations.
  """

  def __init__(self, folder, args, objective, validated: int = -1, quiet: bool = False):
    self.folder, self.args, self.objective = folder, args, objective
    self.images = args.batch_size * args.iter_size
    self.begun, self.rows, self.quiet = time.time(), 0, quiet
    self.bar = tqdm(
      total=args.num_steps, initial=folder.start, unit='step', desc='training', disable=quiet, mininterval=0.5
    )
    self.events = tf.summary.create_noop_writer() if quiet else tf.summary.create_file_writer(folder.folder)
    self.names = class_names(args.num_classes)
    self.steps = CsvLog(folder.path('log.csv'), folder.start)
    self.validations = CsvLog(folder.path('validation.csv'), validated + 1)
    self.profiling, self.early_end = False, {}

  def step(self, s: int, metrics: dict, seconds: float, waited: float) -> None:
    """`metrics` {name: float} of step s, which took `seconds`, of which `waited` for data."""
    speed = {'images_per_second': self.images / seconds, 'waited': waited, 'memory_mb': resident_memory()}
    row = {'step': s, **metrics, **speed}
    self.rows += 1
    self.bar.set_postfix(loss=f'{metrics["loss"]:.4f}', lr=f'{metrics["lr"]:.2e}', refresh=False)
    self.bar.update()
    if self.quiet:
      return
    self.steps.write(row)
    if s % self.args.update_tb_every == 0:
      with self.events.as_default(step=np.int64(s)):
        for name, value in row.items():
          if name not in ('step', 'loss'):
            scalar(name, value)
        self._edge_weights()

  def _edge_weights(self):
    """The softmaxed weights of the adaptive loss, per class and size."""
    if not self.objective.trainable_variables:
      return
    for kind, weights in zip(('edge_w', 'nonedge_w'), self.objective.entry_weights(), strict=True):
      for name, row in zip(self.names, np.asarray(weights), strict=True):
        for size, value in zip(self.objective.sizes, row, strict=True):
          scalar(f'{kind}/{name}/size_{size}', value)

  def pictures(self, s: int, model, batch, number: int = 2) -> None:
    """Input, truth and prediction of a batch's first images, side by side, to TensorBoard."""
    images, labels = (np.asarray(x)[:number] for x in batch)
    logits = model(tf.constant(images), training=False)
    prediction = np.asarray(tf.argmax(resize_bilinear(logits, images.shape[1:3]), -1))
    palette = colours(self.args.num_classes)
    pixels = np.clip(images + MEAN, 0, 255).astype(np.uint8)
    panel = np.concatenate([pixels, colour(labels, palette), colour(prediction, palette)], 2)
    with self.events.as_default(step=np.int64(s)):
      tf.summary.image('input_truth_prediction', panel, max_outputs=number)

  def validation(self, s: int, miou: float, iou: np.ndarray, seconds: float) -> None:
    """The validation's mIoU and IoU per class (NaN: absent) to the console, validation.csv and TensorBoard."""
    classes = ', '.join(f'{n} {100 * v:.1f}' for n, v in zip(self.names, iou, strict=True) if np.isfinite(v))
    tqdm.write(f'step {s}: validation mIoU {100 * miou:.2f}% in {seconds:.0f} s ({classes})')
    percent = {name: f'{100 * v:.4f}' for name, v in zip(self.names, iou, strict=True)}
    self.validations.write({'step': s, 'mIoU': f'{100 * miou:.4f}', **percent})
    with self.events.as_default(step=np.int64(s)):
      scalar('val/mIoU', miou)
      for name, value in zip(self.names, iou, strict=True):
        if np.isfinite(value):
          scalar(f'val/IoU/{name}', value)
    self.events.flush()

  def profile(self, s: int) -> None:
    """To be called before step s: starts and stops TensorBoard's profiler around the steps of --profile-steps."""
    first, last = self.args.profile_steps or (None, None)
    if s == first and not self.quiet:
      tf.profiler.experimental.start(self.folder.folder)
      self.profiling = True
    elif self.profiling and s > last:
      self._stop_profile()

  def _stop_profile(self):
    tf.profiler.experimental.stop()
    self.profiling = False

  def stopped_early(self, last: int, best: int) -> None:
    """--early-stop ends the run after the validation of step `last`; that of step `best` was the best (-1: none)."""
    self.early_end = {'stopped_early_after_step': last}
    if not self.quiet:
      tqdm.write(f'stopped early after step {last}: no validation since step {max(best, 0)} brought a gain')

  def summary(self, **results) -> None:
    """Prints how the run ended and writes summary.json."""
    if self.quiet:
      return
    self.events.flush()
    seconds = time.time() - self.begun
    results = {'steps_done_now': self.rows, 'seconds': round(seconds, 1), **results, **self.early_end}
    write_text(self.folder.path('summary.json'), json.dumps(results, indent=2) + '\n')
    tqdm.write(', '.join(f'{k.replace("_", " ")} {v}' for k, v in results.items() if v is not None))

  def close(self) -> None:
    if self.profiling:
      self._stop_profile()
    self.bar.close()
    with contextlib.suppress(tf.errors.OpError):  # a full disk was reported when the events were flushed
      self.events.close()
    self.steps.close()
    self.validations.close()


def scalar(name: str, value: float) -> None:
  """One entry, as a NumPy number: TensorFlow caches every Python number that it turns into a tensor, for ever."""
  tf.summary.scalar(name, np.float32(value))


def resident_memory() -> float:
  """Resident memory of this process in MB; where the system does not report it, the largest so far."""
  try:
    return memory.resident()
  except OSError:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != 'darwin' else 1e6)
