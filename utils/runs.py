"""A run describes itself: what prediction, export and tools read in a snapshot folder. Loads no TensorFlow.

A run folder holds `config` (every flag of its training, JSON), `classes.csv`, `best` (the best validation, JSON) and
checkpoints `model.ckpt-STEP`. Checkpoints without a `config` beside them (of 2018, say) take flags alone.
"""

import argparse
import contextlib
import os
import re
from typing import NamedTuple

from utils import arguments, labels
from utils.errors import InputError

PREFIX = 'model.ckpt'  # of checkpoints; -STEP follows
PARTS = ('.data-00000-of-00001', '.index')  # of a checkpoint, in the order in which they are put in place


class Run(NamedTuple):
  """What a run's folder says.

  `config`: the flags of the training by name, `_` for `-`. `classes`: None where the folder has no file of them.
  `checkpoint`: the prefix to read. `ema`: whether the checkpoints hold averages of the weights, which were validated.
  """

  folder: str
  config: dict
  classes: labels.Classes | None
  checkpoint: str
  ema: bool

  @property
  def window(self) -> tuple[int, int]:
    """The training's crop (height, width)."""
    return tuple(self.config.get('input_size') or (336, 336))

  def strides(self, window: tuple[int, int]) -> tuple[int, int]:
    """Of prediction: the validation's for its window, for another one two thirds of it."""
    given = self.config.get('val_strides')
    return tuple(given) if given and tuple(window) == self.window else tuple(max(1, side * 2 // 3) for side in window)


def read(path) -> Run | None:
  """The run in a folder, or of a checkpoint `FOLDER/model.ckpt-N`; None if that has no `config` beside it.

  Of a folder the checkpoint is the one of the best validation, the newest where nothing was validated.

  Raises:
    InputError: a folder without `config` or checkpoint; a file that cannot be read.
  """
  path = os.fspath(path)
  is_folder = os.path.isdir(path)
  folder = path if is_folder else os.path.dirname(path)
  config = recorded(folder)
  if not config:
    if is_folder:
      raise InputError(f'{path}: holds no config, so it is no run of these scripts; name a checkpoint: --restore-from')
    return None
  classes = labels.classes_beside(os.path.join(folder, ''))
  return Run(folder, config, classes, _checkpoint(path) if is_folder else path, config.get('ema_decay') is not None)


def recorded(folder: str) -> dict:
  """What the run in `folder` was started with; nothing if it has no config.

  Raises:
    InputError: it is not JSON.
  """
  path = os.path.join(folder, 'config')
  return arguments.read_config(path) if os.path.isfile(path) else {}


def _checkpoint(folder: str) -> str:
  """The prefix of the best checkpoint, else of the newest whole one."""
  steps = steps_in(folder)
  if os.path.isfile(best := os.path.join(folder, 'best')):
    step = arguments.read_config(best).get('step')
    if step in steps:
      return path_of(folder, step)
  if not steps:
    raise InputError(f'{folder}: holds no checkpoint yet; wait for the first, or name another --run')
  return path_of(folder, steps[-1])


def path_of(folder: str, step: int) -> str:
  """The prefix of checkpoint `step`."""
  return os.path.join(folder, f'{PREFIX}-{step}')


def steps_in(folder: str) -> list[int]:
  """Steps of the whole checkpoints in a folder, ascending; none where there is no such folder."""
  pattern = re.compile(re.escape(PREFIX) + r'-(\d+)\.index')
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    found = (pattern.fullmatch(name) for name in os.listdir(folder))
    steps = sorted(int(match[1]) for match in found if match)
    return [step for step in steps if os.path.exists(path_of(folder, step) + PARTS[0])]
  return []


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
  """The argument `checkpoint` of tools, or --run in its place."""
  group, path = parser.add_mutually_exclusive_group(required=True), arguments.checked(None, str, bool, 'a path')
  group.add_argument('checkpoint', nargs='?', type=path, help='such as SNAPSHOTS/model.ckpt-30000')
  group.add_argument('--run', type=path, metavar='DIR', help="a training's folder: its best checkpoint")


def named(argv) -> Run | None:
  """The run that a command line, or its --config, names by --run or --restore-from. The words are those of
  `parse_args`."""
  given = arguments.words_for(argv, '--run', '--restore-from', '--config')
  from_config = given.config and not (given.run or given.restore_from)  # the command line has the last word
  config = arguments.read_config(given.config) if from_config else {}
  folder = given.run or config.get('run')
  checkpoint = given.restore_from or config.get('restore_from')
  run = of_flag(folder) if folder else read(checkpoint) if checkpoint else None
  return run._replace(checkpoint=checkpoint) if run and checkpoint else run


def of_flag(path: str) -> Run:
  """The run that --run names."""
  run = read(path)
  if run is None:
    raise InputError(f'--run {path}: is no folder of a training, which holds `config`; check the path')
  return run
