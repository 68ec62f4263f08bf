"""What a run tells: progress bar, log.csv, TensorBoard, a final summary."""

import csv
import json
import os
import resource
import sys
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models.image_reader import MEAN
from utils.datasets import class_names, colours
from utils.general import whole_file, write_text
from utils.visualisation import colour


class RunLog:
  """Writes the story of one run into its snapshot folder (`quiet`: nowhere, for workers that are not the chief).

  log.csv has a line a step: step, losses, lr, images/s, seconds waited for data, resident memory in MB.
  """

  def __init__(self, folder, args, objective, quiet: bool = False):
    self.folder, self.args, self.objective = folder, args, objective
    self.images = args.batch_size * args.iter_size
    self.begun, self.rows, self.quiet = time.time(), 0, quiet
    self.bar = tqdm(
      total=args.num_steps, initial=folder.start, unit='step', desc='training', disable=quiet, mininterval=0.5
    )
    self.events = tf.summary.create_noop_writer() if quiet else tf.summary.create_file_writer(folder.folder)
    self.names = class_names(args.num_classes)
    self.csv = self.file = None

  def step(self, s: int, metrics: dict, seconds: float, waited: float) -> None:
    """`metrics` {name: float} of step s, which took `seconds`, of which `waited` for data."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != 'darwin' else 1e6)
    row = {'step': s, **metrics, 'images_per_second': self.images / seconds, 'waited': waited, 'memory_mb': memory}
    self.rows += 1
    self.bar.set_postfix(loss=f'{metrics["loss"]:.4f}', lr=f'{metrics["lr"]:.2e}', refresh=False)
    self.bar.update()
    if self.quiet:
      return
    if self.csv is None:
      self._open_csv(list(row))
    self.csv.writerow({k: f'{v:.7g}' if isinstance(v, float) else v for k, v in row.items()})
    self.file.flush()
    if s % self.args.update_tb_every == 0:
      with self.events.as_default(step=s):
        for name, value in row.items():
          if name not in ('step', 'loss'):
            tf.summary.scalar(name, value)
        self._edge_weights()

  def _edge_weights(self):
    """The softmaxed weights of the adaptive loss, per class and size."""
    if not self.objective.trainable_variables:
      return
    for kind, weights in zip(('edge_w', 'nonedge_w'), self.objective.entry_weights(), strict=True):
      for name, row in zip(self.names, np.asarray(weights), strict=True):
        for size, value in zip(self.objective.sizes, row, strict=True):
          tf.summary.scalar(f'{kind}/{name}/size_{size}', value)

  def pictures(self, s: int, model, batch, number: int = 2) -> None:
    """Input, truth and prediction of a batch's first images, side by side, to TensorBoard."""
    images, labels = (np.asarray(x)[:number] for x in batch)
    logits = model(tf.constant(images), training=False)
    prediction = np.asarray(tf.argmax(tf.image.resize(logits, images.shape[1:3]), -1))
    palette = colours(self.args.num_classes)
    pixels = np.clip(images + MEAN, 0, 255).astype(np.uint8)
    panel = np.concatenate([pixels, colour(labels, palette), colour(prediction, palette)], 2)
    with self.events.as_default(step=s):
      tf.summary.image('input_truth_prediction', panel, max_outputs=number)

  def validation(self, s: int, miou: float, iou: np.ndarray, seconds: float) -> None:
    """The validation's mIoU and IoU per class (NaN: absent) to the console and TensorBoard."""
    classes = ', '.join(f'{n} {100 * v:.1f}' for n, v in zip(self.names, iou, strict=True) if np.isfinite(v))
    tqdm.write(f'step {s}: validation mIoU {100 * miou:.2f}% in {seconds:.0f} s ({classes})')
    with self.events.as_default(step=s):
      tf.summary.scalar('val/mIoU', miou)
      for name, value in zip(self.names, iou, strict=True):
        if np.isfinite(value):
          tf.summary.scalar(f'val/IoU/{name}', value)
    self.events.flush()

  def _open_csv(self, columns):
    """Opens log.csv; of an earlier part of the run, the lines before this part's first step are kept."""
    path = self.folder.path('log.csv')
    kept = []
    if self.folder.start and os.path.exists(path):
      with open(path, newline='', encoding='utf-8') as f:
        kept = [r for r in csv.DictReader(f) if (r.get('step') or '').isdigit() and int(r['step']) < self.folder.start]
    with whole_file(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as f:
      writer = csv.DictWriter(f, columns, extrasaction='ignore', restval='')
      writer.writeheader()
      writer.writerows(kept)
    self.file = open(path, 'a', newline='', encoding='utf-8')  # noqa: SIM115 (closed by close)
    self.csv = csv.DictWriter(self.file, columns)

  def summary(self, **facts) -> None:
    """Prints and keeps how the run ended."""
    if self.quiet:
      return
    seconds = time.time() - self.begun
    facts = {'steps_done_now': self.rows, 'seconds': round(seconds, 1), **facts}
    write_text(self.folder.path('summary.json'), json.dumps(facts, indent=2) + '\n')
    tqdm.write(', '.join(f'{k.replace("_", " ")} {v}' for k, v in facts.items() if v is not None))

  def close(self) -> None:
    self.bar.close()
    self.events.close()
    if self.file:
      self.file.close()
