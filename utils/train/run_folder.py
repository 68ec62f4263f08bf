"""The snapshot folder of a run: who may write it, what it was started with, which checkpoints it holds.

config        the flags, as JSON
start         a checksum of the weights of the first step, as JSON
checkpoint    the newest checkpoint, for tf.train.latest_checkpoint
model.ckpt-S  the checkpoint after update S (.index and .data-*), the newest --keep and the best
best          the best validation so far, as JSON
nonfinite/    the checkpoint of a run that stopped because something was not finite; no run goes on from it
log.csv, validation.csv, events.out.tfevents.*, summary.json
"""

import contextlib
import glob
import itertools
import json
import os
import shutil

from utils.atomic import make_folder, remove_unfinished, write_text
from utils.engine import checkpoint
from utils.errors import InputError
from utils.list_file import list_digest
from utils.locks import claim
from utils.train import flags

LOGS = ('best', 'log.csv', 'validation.csv', 'summary.json')  # besides checkpoints and events


def recorded_config(folder: str) -> dict:
  """What the run in `folder` was started with; nothing if it has no config.

  Raises:
    InputError: it is not JSON.
  """
  path = os.path.join(folder, 'config')
  try:
    with open(path, encoding='utf-8') as f:
      return dict(json.load(f))
  except FileNotFoundError:
    return {}
  except (OSError, ValueError, TypeError):
    raise InputError(f'{path}: cannot be read as JSON; delete it to resume with the flags given') from None


class RunFolder:
  """Opens the folder of a run (use as a context manager: it is claimed for one process at a time).

  `start` is the step to begin with, `resumed` the checkpoint's prefix to go on from or None.

  Raises:
    InputError: it holds checkpoints and neither --resume nor --overwrite is given; another process is writing it; a
      resumed run's decisive flags differ; it cannot be written.
  """

  def __init__(self, args, objective, chief: bool = True):
    self.folder, self.keep, self.writes = args.snapshot_dir, args.keep, chief
    self.flags = vars(args)
    self.config = {
      **self.flags,
      'objective': type(objective).__name__,
      'class_weight_values': objective.options.class_weights,
      'data_list_contents': list_digest(args.data_list),
    }
    self._stack = contextlib.ExitStack()
    with self._stack:
      if chief:
        self._claim()
      steps = checkpoint.steps_in(self.folder)
      if steps and not (args.resume or args.overwrite):
        raise InputError(
          f'{self.folder}: holds {checkpoint.PREFIX}-{steps[-1]} already; give --resume, --overwrite or another folder'
        )
      steps = [] if args.overwrite else self._whole(steps)
      self.resumed = checkpoint.path_of(self.folder, steps[-1]) if steps else None
      self.start = steps[-1] + 1 if steps else 0
      if steps:
        self._compare_config()
      self._stack = self._stack.pop_all()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._stack.close()

  def _claim(self):
    make_folder('--snapshot-dir', self.folder)
    self._stack.enter_context(claim(self.folder, 'lock'))

  def begin(self, weights) -> None:
    """Makes the folder this run's, once it is sure that the run can start: nothing is removed or written before.

    `weights()`: the digest of the model's, asked for where a run begins.
    """
    if not self.writes:
      return
    if self.flags['overwrite']:
      self._clear()
    checkpoint.remove_unfinished(self.folder)
    remove_unfinished(map(self.path, ('config', 'start', 'checkpoint', *LOGS)))
    write_text(self.path('config'), json.dumps(self.config, indent=2, sort_keys=True) + '\n')
    if not self.resumed:
      write_text(self.path('start'), json.dumps({'weights': weights()}) + '\n')

  def _whole(self, steps: list[int]) -> list[int]:
    """The steps without the newest checkpoints that are damaged (disk errors, broken copies); these are renamed."""
    prefixes = {step: checkpoint.path_of(self.folder, step) for step in steps}
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
    before = recorded_config(self.folder)
    if not before:
      return  # checkpoints of elsewhere: their shapes are checked when they are read
    before = {**{key: flags.default_of(key) for key in self.flags}, **before}
    before, now = json.loads(json.dumps([before, self.config]))
    for key in sorted(now.keys() - flags.MAY_CHANGE):
      if key in before and before[key] != now[key]:
        name = f'--{key.replace("_", "-")}' if key in self.flags else key.replace('_', ' ')
        raise InputError(
          f'{path}: the run to resume has {name} {before[key]}, not {now[key]}; give that, or another --snapshot-dir'
        )

  def _clear(self):
    """Removes what an earlier run wrote here."""
    checkpoint.clear(self.folder)
    shutil.rmtree(self.path('nonfinite'), ignore_errors=True)
    events = glob.glob(os.path.join(glob.escape(self.folder), 'events.out.tfevents.*'))
    for path in [*events, *map(self.path, ('start', *LOGS))]:
      with contextlib.suppress(FileNotFoundError):
        os.remove(path)

  def save(self, step: int, tensors: dict, history) -> str:
    """Writes checkpoint `step`, tidies up (see there), and returns its prefix."""
    prefix = checkpoint.path_of(self.folder, step)
    checkpoint.save(prefix, tensors)
    self.tidy(history)
    return prefix

  def tidy(self, history) -> None:
    """Brings the files `best` and `checkpoint` up to date and removes the checkpoints that --keep does not keep."""
    best = history.best_step
    if best >= 0:
      record = {'checkpoint': f'{checkpoint.PREFIX}-{best}', 'step': best, 'miou': history.best_miou}
      write_text(self.path('best'), json.dumps(record) + '\n')
    checkpoint.keep_newest(self.folder, self.keep, best)
