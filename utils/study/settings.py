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

# May change when a study is started again: paths, and how often something is written. (The data count by their lists'
# contents, the start by its weights.)
FREE = {'data_dir', 'data_list', 'val_list', 'snapshot_dir', 'resume', 'overwrite', 'is_training', 'profile_steps'}
FREE |= {'save_pred_every', 'save_minutes', 'keep', 'update_tb_every', 'worker_timeout', 'cluster'}


def of_run(args: argparse.Namespace, method: str, flags: argparse.Namespace, digests: dict[str, str]) -> dict:
  """The settings of a run in the types that JSON reads back.

  args: of study.py; flags: of the training script; digests: of the lists of images.
  """
  scoring = {
    'window': args.window or flags.input_size,
    'strides': args.strides or flags.val_strides,
    'checkpoint': args.checkpoint,
  }
  training = {key: value for key, value in vars(flags).items() if key not in FREE}
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


def check(run) -> None:
  """Raises InputError if the folder of a `plan.Run` was begun with other settings."""
  path = run.folder / 'settings.json'
  if not path.exists():
    return
  earlier = read_json(path)
  for key in sorted(earlier.keys() | run.settings.keys()):
    before, now = earlier.get(key), run.settings.get(key)
    missing = key == 'restore_from' and now is None
    if before != now and not missing:
      raise InputError(
        f'{path}: the run there has {key.replace("_", "-")} {_as_text(before)}, not {_as_text(now)}; give that, or '
        'another --out-dir'
      )


def _as_text(value) -> str:
  return ','.join(map(str, value)) if isinstance(value, list) else str(value)


def read_json(path: pathlib.Path) -> dict:
  """A file of a run's folder."""
  try:
    return dict(json.loads(path.read_text(encoding='utf-8')))
  except (OSError, ValueError, TypeError):
    raise InputError(f'{path}: cannot be read as JSON; remove {path.parent} to do this run again') from None
