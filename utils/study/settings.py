"""What decides the result of a run, and the check that a folder's earlier runs were made with the same settings.

The check protects a study that is started again with other flags or lists: without it, runs of two settings would
stand in one table.
"""

import argparse
import json
import os
import pathlib
import zlib

from utils.errors import InputError
from utils.lists import list_digest
from utils.train import flags as train_flags

# Flags that may change when a study is started again: paths, and how often something is written. Lists and the first
# checkpoint are compared by their contents instead.
MAY_CHANGE = {'data_dir', 'data_list', 'val_list', 'snapshot_dir', 'config', 'resume', 'overwrite', 'is_training'}
MAY_CHANGE |= {'profile_steps', 'save_pred_every', 'save_minutes', 'keep', 'update_tb_every'}
MAY_CHANGE |= {'worker_timeout', 'cluster'}


def of_run(args: argparse.Namespace, method: str, flags: argparse.Namespace, digests: dict[str, str]) -> dict:
  """The settings of a run in the types that JSON reads back.

  args: of study.py; flags: of the training script; digests: of the lists of images.
  """
  scoring = {
    'window': args.window or flags.input_size,
    'strides': args.strides or flags.val_strides,
    'checkpoint': args.checkpoint,
  }
  training = {key: value for key, value in vars(flags).items() if key not in MAY_CHANGE}
  return json.loads(json.dumps({'method': method, **digests, **scoring, **training}))


def checkpoint_digest(prefix: str, may_be_missing: bool) -> str | None:
  """The name and a checksum of a checkpoint, wherever it lies; '' without a checkpoint, None if it is missing.

  The checksum is of the .index file, which holds those of all variables, or of the one file of the V1 format.

  Raises:
    InputError: it is missing and may not be.
  """
  if not prefix:
    return ''
  for path in (f'{prefix}.index', prefix):
    if os.path.isfile(path):
      return f'{os.path.basename(prefix)}, CRC {zlib.crc32(pathlib.Path(path).read_bytes()):08x}'
  if may_be_missing:
    return None
  raise InputError(f'--restore-from {prefix}: no such checkpoint (neither {prefix}.index nor a V1 file); check it')


def check(run, lists: dict[str, str]) -> None:
  """Raises InputError if the folder of a `plan.Run` was begun with other settings, or scored on other `lists`."""
  for split, data_list in lists.items():
    scores, digest = run.scores(split), list_digest(data_list)
    if scores and scores['list'] != digest:
      raise InputError(
        f'{run.scores_path(split)}: is of a list of {scores["list"]}, but {data_list} has {digest}; give the earlier '
        f'list, or remove {run.folder / split} and the scores'
      )
  path = run.folder / 'settings.json'
  if path.exists():
    compare(read_json(path), run, f'{path}: the run there')


def compare(earlier: dict, run, what: str) -> None:
  """Raises InputError if `earlier` settings are not those of a `plan.Run`. `what` has them.

  A flag that did not exist then counts as its default.
  """
  defaults = {key: train_flags.default_of(key) for key in vars(run.flags).keys() & run.settings.keys()}
  earlier = {**json.loads(json.dumps(defaults)), **earlier}
  for key in sorted(earlier.keys() | run.settings.keys()):
    values = earlier.get(key), run.settings.get(key)
    missing_checkpoint = key == 'restore_from' and values[1] is None
    if values[0] != values[1] and not missing_checkpoint:
      before, now = (','.join(map(str, value)) if isinstance(value, list) else value for value in values)
      raise InputError(f'{what} has {key.replace("_", "-")} {before}, not {now}; give that, or another --out-dir')


def read_json(path: pathlib.Path) -> dict:
  """A file of a run's folder."""
  try:
    return dict(json.loads(path.read_text(encoding='utf-8')))
  except (OSError, ValueError, TypeError):
    raise InputError(f'{path}: cannot be read as JSON; remove {path.parent} to do this run again') from None
