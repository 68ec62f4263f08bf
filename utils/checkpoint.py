"""Name-based checkpoints: the ones TensorFlow 1's Saver writes and reads.

A checkpoint holds tensors by variable name. It is written under another name and renamed, data before index, so that
at every moment each prefix either has a whole checkpoint or none. Reading takes the V1 (one file) and V2 (.index and
.data) formats.
"""

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from utils.errors import InputError, RunError, one_line
from utils.files import write_text
from utils.runs import PARTS, PREFIX, steps_in

WRITING = '.writing'  # the folder in which a checkpoint is written before its parts are renamed
STATE = 'training/'  # begins the names of the run's own state: step counts, loss scale, best score
AVERAGE = '/ExponentialMovingAverage'  # ends the names of the averages of --ema-decay, as in TensorFlow 1
AVERAGED = f'{STATE}averaged'  # in a stripped checkpoint: its weights are the averages
ENDING = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})$')  # of the names of a checkpoint's files
UNREADABLE = (tf.errors.OpError, ValueError, RuntimeError, LookupError, TypeError)  # what TensorFlow's reader raises


def save(prefix: str, tensors: dict) -> None:
  """Writes {name: array, tensor or variable} as a V2 checkpoint `prefix`, whole or not at all.

  Raises:
    RunError: the disk is full or the folder cannot be written.
  """
  folder, base = os.path.split(prefix)
  folder = folder or '.'
  temporary = os.path.join(folder, WRITING)
  try:
    os.makedirs(temporary, exist_ok=True)
    names = sorted(tensors)
    arrays = [np.asarray(tensors[name]) for name in names]
    tf.raw_ops.SaveV2(
      prefix=os.path.join(temporary, base), tensor_names=names, shape_and_slices=[''] * len(names), tensors=arrays
    )
    for part in PARTS:
      _sync(os.path.join(temporary, base + part))
    _remove_parts(prefix)  # of an earlier checkpoint: its index must not stand beside the new data
    for part in PARTS:
      os.replace(os.path.join(temporary, base + part), prefix + part)
    with contextlib.suppress(OSError):  # some file systems cannot
      _sync(folder)
  except (OSError, tf.errors.OpError) as e:
    raise RunError(
      f'{prefix}: the checkpoint could not be written ({one_line(e)}); the earlier ones are whole'
    ) from None
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _sync(path):
  """Waits until a file's contents, or a folder's entries, are on the disk."""
  handle = os.open(path, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)


def _remove_parts(prefix):
  """Removes one checkpoint: the index first, so that what is left is not a checkpoint."""
  for part in reversed(PARTS):
    with contextlib.suppress(FileNotFoundError):
      os.remove(prefix + part)


class Reader:
  """A checkpoint opened for reading.

  Raises:
    InputError: no such file, or it is damaged or not a checkpoint.
  """

  def __init__(self, prefix: str):
    self.prefix = prefix = ENDING.sub('', prefix)  # a file's name, completed by the shell
    if os.path.isdir(prefix):
      files = glob.glob(os.path.join(glob.escape(prefix), '*.ckpt*'))
      example = tf.train.latest_checkpoint(prefix) or ENDING.sub('', min(files, default=''))
      advice = f'name a checkpoint in it, for example {example}' if example else 'it holds no checkpoint'
      raise InputError(f'{prefix}: is a folder, not a checkpoint; {advice}')
    if not os.path.isfile(prefix) and not os.path.isfile(f'{prefix}.index'):
      similar = ENDING.sub('', min(glob.glob(glob.escape(prefix) + '*'), default=''))
      hint = f'; did you mean {similar}?' if similar else '; check --restore-from'
      fetched = re.fullmatch(r'((resnet|efficientnet)_(v1_50|v1_101|lite[012]))\.ckpt', os.path.basename(prefix))
      if fetched:
        hint = f'; fetch it with `python dataset/fetch_{fetched[2]}.py --backbone {fetched[1]}`'
      raise InputError(f'{prefix}: no such checkpoint (neither {prefix}.index nor a V1 file){hint}')
    try:
      self._reader = tf.train.load_checkpoint(prefix)
      self.shapes = {k: tuple(v) for k, v in self._reader.get_variable_to_shape_map().items()}
    except UNREADABLE as e:
      raise InputError(f'{prefix}: cannot be read as a checkpoint ({one_line(e)}); fetch or save it again') from None

  def get(self, name: str) -> np.ndarray:
    """The tensor of this name; raises an InputError if its bytes are damaged."""
    try:
      tensor = self._reader.get_tensor(name)
      return np.array(tensor, object) if isinstance(tensor, bytes) else tensor  # of tf.train.Checkpoint
    except UNREADABLE as e:
      raise InputError(f'{self.prefix}: {name} cannot be read ({one_line(e)}); the file is damaged') from None


def readable(prefix: str) -> bool:
  """Whether every tensor of a checkpoint can be read (its checksums are right)."""
  try:
    reader = Reader(prefix)
    for name in reader.shapes:
      reader.get(name)
  except InputError:
    return False
  return True


def restore(prefix: str, variables: dict, advice: str, ema: bool = False) -> None:
  """Assigns every variable of {name: variable} from the checkpoint; all are checked before the first is assigned.

  With `ema` from the averages that a training with --ema-decay keeps of them.

  Raises:
    InputError: a variable is missing, has another shape, or is not finite; `advice` says which flags help.
  """
  reader = Reader(prefix)
  if ema and AVERAGED not in reader.shapes:
    variables = {f'{name}{AVERAGE}': variable for name, variable in variables.items()}
    if not any(name in reader.shapes for name in variables):
      raise InputError(f'{prefix}: holds no averages, as it was trained without --ema-decay; leave --ema out')
  for name, variable in variables.items():
    shape = tuple(variable.shape)
    if name not in reader.shapes:
      raise InputError(f'{prefix}: lacks {name} {shape}; {_other_model(reader.shapes, advice)}')
    if reader.shapes[name] != shape:
      raise InputError(f'{prefix}: {name} is {reader.shapes[name]} there and {shape} here; {advice}')
  values = {name: reader.get(name) for name in variables}
  for name, value in values.items():
    if value.dtype == object or not np.all(np.isfinite(value)):
      raise InputError(f'{prefix}: {name} holds values that are not finite; take an earlier checkpoint')
  for name, variable in variables.items():
    variable.assign(values[name])


def _other_model(shapes, advice: str) -> str:
  """`advice` and the backbones that the checkpoint holds, for the message."""
  scopes = sorted({name.split('/')[0] for name in shapes if name.startswith(('resnet_v1_', 'efficientnet_lite'))})
  return f'{advice} (it holds {", ".join(scopes)})' if scopes else f'{advice} (it holds no backbone of these scripts)'


def name_of(variable) -> str:
  """The checkpoint's key of a variable."""
  return variable.name.split(':')[0]


def by_name(variables) -> dict:
  return {name_of(variable): variable for variable in variables}


# Folders of checkpoints.


def mark_damaged(prefix: str) -> str:
  """Renames a checkpoint to PREFIX.damaged, which no run reads; returns the new prefix."""
  for part in reversed(PARTS):
    os.replace(prefix + part, f'{prefix}.damaged{part}')
  return f'{prefix}.damaged'


def keep_newest(folder: str, keep: int, best: int) -> None:
  """Brings the `checkpoint` file up to date, then removes all but the newest `keep` checkpoints and the best one."""
  steps = steps_in(folder)
  kept = [step for step in steps if step in steps[-keep:] or step == best]
  lines = [f'model_checkpoint_path: "{PREFIX}-{steps[-1]}"']
  lines += [f'all_model_checkpoint_paths: "{PREFIX}-{step}"' for step in kept]
  write_text(os.path.join(folder, 'checkpoint'), '\n'.join(lines) + '\n')
  remove_all_but(folder, kept)


def remove_all_but(folder: str, kept: Collection[int]) -> None:
  """Removes the checkpoints of other steps, and what a run killed while it wrote or removed a checkpoint has left."""
  shutil.rmtree(os.path.join(folder, WRITING), ignore_errors=True)
  for name in sorted(os.listdir(folder), reverse=True):  # the index before the data: the rest is not a checkpoint
    part = re.fullmatch(rf'{re.escape(PREFIX)}-(\d+)({"|".join(map(re.escape, PARTS))})', name)
    if part and int(part[1]) not in kept:
      with contextlib.suppress(FileNotFoundError):  # removed from another machine
        os.remove(os.path.join(folder, name))
