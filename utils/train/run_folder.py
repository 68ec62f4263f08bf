"""The snapshot folder of a run: who may write it, what it was started with, which checkpoints it holds, and its logs.

config        the flags, as JSON
classes.csv   names and colours of the classes
start         a checksum of the weights of the first step, as JSON
checkpoint    the newest checkpoint, for tf.train.latest_checkpoint
model.ckpt-S  the checkpoint after update S (.index and .data-*), the newest --keep and the best
best          the best validation so far, as JSON
nonfinite/    the checkpoint of a run that stopped because something was not finite; no run goes on from it
log.csv, validation.csv, events.out.tfevents.*, summary.json
"""

import contextlib
import csv
import glob
import itertools
import json
import os
import re
import resource
import shutil
import sys
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from network.common.layers import MEAN, resize_bilinear
from utils import checkpoint, runs
from utils.arguments import FACTS, Role
from utils.errors import InputError, RunError
from utils.files import write_csv, write_text
from utils.labels import choose_classes, classes_beside, colour, write_classes
from utils.lists import list_digest
from utils.train import flags

OF_ONE_RUN = ('start', 'checkpoint', 'best', 'log.csv', 'validation.csv', 'summary.json')  # a new run removes these
PANEL_HEIGHT = 512  # pixels, of a picture in TensorBoard
FORECAST_AFTER = 20  # steps that are timed, after the first, which TensorFlow compiles


class RunFolder:
  """The folder of a run; its `chief` has claimed it, and alone writes.

  `start` is the step to begin with, `resumed` the checkpoint's prefix to go on from or None.

  Raises:
    InputError: it holds checkpoints and neither --resume nor --overwrite is given, or a resumed run's decisive flags
      differ.
  """

  def __init__(self, args, objective, chief: bool):
    self.folder, self.keep, self.writes = args.snapshot_dir, args.keep, chief
    self.flags = vars(args)
    contents = [list_digest(path) if path else None for path in (args.data_list, args.val_list)]
    facts = (type(objective).__name__, objective.options.class_weights, *contents)
    self.config = {**self.flags, **dict(zip(FACTS, facts, strict=True))}
    steps = runs.steps_in(self.folder)
    if steps and not (args.resume or args.overwrite):
      raise InputError(
        f'{self.folder}: holds {runs.PREFIX}-{steps[-1]} already; give --resume, --overwrite or another folder'
      )
    steps = [] if args.overwrite else self._whole(steps)
    self.resumed = runs.path_of(self.folder, steps[-1]) if steps else None
    self.start = steps[-1] + 1 if steps else 0
    if steps:
      self._compare_config()
    moved = steps and not classes_beside(args.data_list)  # the list, without its classes: the run has them
    self.classes = choose_classes(args.num_classes, args.class_names, self.folder if moved else args.data_list)

  def begin(self, weights: str) -> None:
    """Makes the folder this run's, once it is sure that the run can start: nothing is removed or written before. A new
    run notes the checksum of its `weights`."""
    if not self.writes:
      return
    if self.flags['overwrite']:
      shutil.rmtree(self.path('nonfinite'), ignore_errors=True)
      for path in glob.glob(os.path.join(glob.escape(self.folder), 'events.out.tfevents.*')):
        os.remove(path)
    for name in OF_ONE_RUN if not self.resumed else ():
      with contextlib.suppress(FileNotFoundError):
        os.remove(self.path(name))
    checkpoint.remove_all_but(self.folder, runs.steps_in(self.folder) if self.resumed else [])
    write_text(self.path('config'), json.dumps(self.config, indent=2, sort_keys=True) + '\n')
    write_classes(self.folder, self.classes)
    if not self.resumed:
      write_text(self.path('start'), json.dumps({'weights': weights}) + '\n')

  def _whole(self, steps: list[int]) -> list[int]:
    """The steps without the newest checkpoints that are damaged (disk errors, broken copies); these are renamed."""
    prefixes = {step: runs.path_of(self.folder, step) for step in steps}
    damaged = list(itertools.takewhile(lambda step: not checkpoint.readable(prefixes[step]), reversed(steps)))
    if steps and len(damaged) == len(steps):
      raise InputError(f'{self.folder}: none of its checkpoints can be read; give --overwrite or another folder')
    for step in damaged if self.writes else ():
      print(f'{checkpoint.mark_damaged(prefixes[step])}: is damaged and was renamed')
    return steps[: len(steps) - len(damaged)]

  def path(self, name: str) -> str:
    return os.path.join(self.folder, name)

  def _compare_config(self):
    path = self.path('config')
    before = runs.recorded(self.folder)
    if not before:
      return  # checkpoints of elsewhere: their shapes are checked when they are read
    before = {**{key: flags.default_of(key) for key in self.flags}, **before}
    before, now = json.loads(json.dumps([before, self.config]))
    if None in (before.get('val_list_contents'), now['val_list_contents']):
      # Validation may begin and end. The best of two lists would not compare.
      self.config['val_list_contents'] = before.pop('val_list_contents', None) or now['val_list_contents']
    if now['class_weight_values'] and now['class_weight_values'] == before.get('class_weight_values'):
      before['class_weights'] = now['class_weights']  # a file of them may move, as lists may
    for key in sorted({*flags.names(Role.DECISIVE), *FACTS} & now.keys()):
      if key in before and before[key] != now[key] and not (key == 'num_steps' and self._may_grow(before, now)):
        name = f'--{key.replace("_", "-")}' if key in self.flags else key.replace('_', ' ')
        advice = 'give that, or another --snapshot-dir'
        if key == 'num_steps' and now[key] > before[key]:
          advice = f'its rates are planned to end there. Train on as a new run: --restore-from {self.resumed} '
          advice += f'--num-steps {now[key] - before[key]} --snapshot-dir NEW, without --resume'
        raise InputError(f'{path}: the run to resume has {name} {before[key]}, not {now[key]}; {advice}')

  def _may_grow(self, before: dict, now: dict) -> bool:
    """Whether a run may get more steps: where no rate and no loss depends on their number, the steps done are those of
    the longer run."""
    constant = before['schedule'] == 'constant' and before.get('kld_decay', 1) == 1
    return constant and now['num_steps'] > before['num_steps']

  def tidy(self, history) -> None:
    """Brings the files `best` and `checkpoint` up to date and removes the checkpoints that --keep does not keep."""
    best = history.best_step
    if best >= 0:
      record = {'checkpoint': f'{runs.PREFIX}-{best}', 'step': best, 'miou': history.best_miou}
      write_text(self.path('best'), json.dumps(record) + '\n')
    checkpoint.keep_newest(self.folder, self.keep, best)


class RunLog:
  """Writes the log of one run into its snapshot folder (`quiet`: nowhere, for workers that are not the chief).

  log.csv has one line per step: step, losses, lr, images/s, seconds waited for data, resident memory in MB.
  validation.csv has one line per validation: step, mIoU in percent, loss in nats, IoU per class in percent. A resumed
  run drops the rows after step `validated`, since it repeats these validations.
  """

  def __init__(self, folder, args, objective, validated: int = -1, quiet: bool = False):
    self.folder, self.args, self.objective = folder, args, objective
    self.images = args.batch_size * args.iter_size
    self.begun, self.rows, self.quiet = time.time(), 0, quiet
    self.bar = tqdm(
      total=args.num_steps, initial=folder.start, unit='step', desc='training', disable=quiet, mininterval=0.5
    )
    self.events = tf.summary.create_noop_writer() if quiet else tf.summary.create_file_writer(folder.folder)
    names, self.palette = folder.classes
    unique = len({'step', 'mIoU', 'loss', *names}) == 3 + len(names)  # columns of validation.csv
    self.names = names if unique else [f'{name} {i}' for i, name in enumerate(names)]
    self.steps = CsvLog(folder.path('log.csv'), folder.start)
    self.validations = CsvLog(folder.path('validation.csv'), validated + 1)
    self.profiling = False

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
    self._forecast(s)
    if s % self.args.update_tb_every == 0:
      with self.events.as_default(step=np.int64(s)):
        for name, value in row.items():
          if name not in ('step', 'loss'):
            scalar(name, value)
        self._edge_weights()

  def _forecast(self, s: int) -> None:
    """Says once, a few steps after the start, how long a step takes here and when the run will end."""
    if self.rows == 1:
      self.first_step = time.time()
    elif self.rows == 1 + FORECAST_AFTER:
      seconds, left = (time.time() - self.first_step) / FORECAST_AFTER, self.args.num_steps - s - 1
      end = time.strftime('%a %H:%M', time.localtime(time.time() + seconds * left))
      tqdm.write(
        f'{seconds:.2f} s per step, measured over {FORECAST_AFTER} steps: the {left} left take '
        f'{seconds * left / 60:.0f} minutes, until {end}, validations not counted'
      )

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
    pixels = np.clip(images + MEAN, 0, 255).astype(np.uint8)
    with self.events.as_default(step=np.int64(s)):
      tf.summary.image('input_truth_prediction', self._panel(pixels, labels, prediction), max_outputs=number)

  def _panel(self, pixels, labels, prediction) -> np.ndarray:
    """[N, h, w, 3] and two [N, h, w] side by side, every k-th pixel where that keeps the height below PANEL_HEIGHT."""
    panel = np.concatenate([pixels, colour(labels, self.palette), colour(prediction, self.palette)], 2)
    every = -(-panel.shape[1] // PANEL_HEIGHT)
    return panel[:, ::every, ::every]

  def validation(self, s: int, found, seconds: float) -> None:
    """A `Validation` to the console, validation.csv and TensorBoard, its pictures as `pictures` shows them."""
    iou = dict(zip(self.names, found.iou, strict=True))
    classes = ', '.join(f'{name} {100 * value:.1f}' for name, value in iou.items() if np.isfinite(value))
    scores = f'mIoU {100 * found.miou:.2f}%, loss {found.loss:.4f}'
    tqdm.write(f'step {s}: validation {scores} in {seconds:.0f} s ({classes})')
    percent = {name: f'{100 * value:.4f}' for name, value in iou.items()}
    self.validations.write({'step': s, 'mIoU': f'{100 * found.miou:.4f}', 'loss': found.loss, **percent})
    with self.events.as_default(step=np.int64(s)):
      scalar('val/mIoU', found.miou)
      scalar('val/loss', found.loss)
      for name, value in iou.items():
        if np.isfinite(value):
          scalar(f'val/IoU/{name}', value)
      for i, picture in enumerate(found.pictures):
        tf.summary.image(f'val/image_truth_prediction/{i}', self._panel(*(x[np.newaxis] for x in picture)))
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

  def summary(self, last_checkpoint: str, history, stopped_early: bool) -> None:
    """Prints how the run ended and writes summary.json."""
    if self.quiet:
      return
    self.events.flush()
    results = {'steps_done_now': self.rows, 'seconds': round(time.time() - self.begun, 1)}
    results |= {'last_checkpoint': last_checkpoint, 'best_checkpoint': None, 'best_miou': None}
    if history.best_step >= 0:
      results['best_checkpoint'] = runs.path_of(self.folder.folder, history.best_step)
      results['best_miou'] = round(history.best_miou, 6)
    if stopped_early:
      results['stopped_early_after_step'] = history.last
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
  """Resident memory of this process in MB; where the system does not report it, as Linux does, the largest so far."""
  try:
    with open('/proc/self/statm', encoding='ascii') as f:
      return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
  except OSError:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != 'darwin' else 1e6)


class CsvLog:
  """Appends rows {column: value} with a column `step` to a CSV file, each written at once.

  The rows of steps before `first` are kept. Later rows were written after the checkpoint that the run resumed from, and
  those steps are done again. The first row opens the file; its keys are the columns.
  """

  def __init__(self, path: str, first: int):
    self.path, self.first = path, first
    self.file = self.writer = None

  def write(self, row: dict) -> None:
    """Raises RunError if the disk is full."""
    try:
      if self.file is None:
        self._open(list(row))
      self.writer.writerow({k: f'{v:.7g}' if isinstance(v, float) else v for k, v in row.items()})
      self.file.flush()
    except OSError as e:
      raise RunError(f'{self.path}: cannot be written ({e.strerror}); make room and go on with --resume') from None

  def _open(self, columns):
    kept = []
    if self.first and os.path.exists(self.path):
      # What a crash of the machine damaged is left out.
      with open(self.path, newline='', encoding='utf-8', errors='replace') as f, contextlib.suppress(csv.Error):
        for row in csv.DictReader(f):
          if re.fullmatch(r'\d{1,18}', row.get('step') or '') and int(row['step']) < self.first:
            kept.append(row)
    write_csv(self.path, [columns, *([row.get(name) for name in columns] for row in kept)], plain=True)
    self.file = open(self.path, 'a', newline='', encoding='utf-8')  # noqa: SIM115 (closed by close)
    self.writer = csv.DictWriter(self.file, columns, lineterminator='\n')

  def close(self) -> None:
    if self.file:
      with contextlib.suppress(OSError):  # a full disk was reported when the row was written
        self.file.close()
