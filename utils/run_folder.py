"""The snapshot folder of a run: who may write it, what it was started with, which checkpoints it holds.

config        the flags, as JSON
checkpoint    the newest checkpoint, for tf.train.latest_checkpoint
model.ckpt-S  the checkpoint after update S (.index and .data-*), the newest --keep and the best
best          the best validation so far, as JSON
log.csv, events.out.tfevents.*, summary.json
"""

import contextlib
import json
import os
import signal

from utils import checkpoint
from utils.errors import InputError
from utils.general import claim, write_text

# A run goes on only with the flags that decide its result; the others (paths, cadence, devices) may change.
DECISIVE = (
  'objective',
  'model',
  'backbone',
  'num_classes',
  'ignore_label',
  'batch_size',
  'iter_size',
  'input_size',
  'num_steps',
  'learning_rate',
  'power',
  'momentum',
  'weight_decay',
  'clip_norm',
  'use_global_status',
  'random_seed',
  'random_scale',
  'random_mirror',
  'random_crop',
  'kld_margin',
  'kld_lambda_1',
  'kld_lambda_2',
)


class RunFolder:
  """Opens the folder of a run (use as a context manager: it is claimed for one process at a time).

  `start` is the step to begin with, `resumed` the checkpoint's prefix to go on from or None.

  Raises:
    InputError: it holds checkpoints and neither --resume nor --overwrite is given; another process is writing it; a
      resumed run's decisive flags differ; it cannot be written.
  """

  def __init__(self, args, objective: str, chief: bool = True):
    self.folder, self.keep, self.writes = args.snapshot_dir, args.keep, chief
    self.config = {**vars(args), 'objective': objective}
    self._stack = contextlib.ExitStack()
    with self._stack:
      try:
        os.makedirs(self.folder, exist_ok=True)
      except OSError as e:
        raise InputError(f'--snapshot-dir {self.folder}: cannot be made ({e.strerror}); name another') from None
      self._stack.enter_context(claim(self.folder, 'lock'))
      steps = checkpoint.steps_in(self.folder)
      if steps and not (args.resume or args.overwrite):
        raise InputError(
          f'{self.folder}: holds {checkpoint.PREFIX}-{steps[-1]} already; give --resume, --overwrite or another folder'
        )
      if args.overwrite:
        checkpoint.clear(self.folder)
        steps = []
      checkpoint.remove_unfinished(self.folder)
      self.resumed = checkpoint.path_of(self.folder, steps[-1]) if steps else None
      self.start = steps[-1] + 1 if steps else 0
      if steps:
        self._compare_config()
      write_text(self.path('config'), json.dumps(self.config, indent=2, sort_keys=True) + '\n')
      self._stack = self._stack.pop_all()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._stack.close()

  def path(self, name: str) -> str:
    return os.path.join(self.folder, name)

  def _compare_config(self):
    path = self.path('config')
    try:
      with open(path, encoding='utf-8') as f:
        before = json.load(f)
    except FileNotFoundError:
      return  # checkpoints of elsewhere: their shapes are checked when they are read
    except (OSError, ValueError):
      raise InputError(f'{path}: cannot be read as JSON; delete it to resume with the flags given') from None
    now = json.loads(json.dumps(self.config))
    for key in DECISIVE:
      if key in before and key in now and before[key] != now[key]:
        raise InputError(
          f'{path}: the run to resume has {key} {before[key]}, not {now[key]}; give the same, or another --snapshot-dir'
        )

  def save(self, step: int, tensors: dict, best_step: int | None) -> str:
    """Writes checkpoint `step`, prunes, and returns its prefix."""
    prefix = checkpoint.path_of(self.folder, step)
    checkpoint.save(prefix, tensors)
    checkpoint.keep_newest(self.folder, self.keep, best_step)
    return prefix

  def write_best(self, step: int, miou: float) -> None:
    best = {'checkpoint': f'{checkpoint.PREFIX}-{step}', 'step': step, 'miou': miou}
    write_text(self.path('best'), json.dumps(best) + '\n')


class StopRequest:
  """Within it the first SIGINT or SIGTERM is only noted, in `signum`, so that the step can be finished and saved; a
  second one ends the process at once."""

  def __init__(self):
    self.signum = 0

  def __enter__(self):
    self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
    return self

  def __exit__(self, *exception):
    for signum, handler in self._before.items():
      signal.signal(signum, handler)

  def _handle(self, signum, frame):
    if self.signum:
      os._exit(128 + signum)
    self.signum = signum
