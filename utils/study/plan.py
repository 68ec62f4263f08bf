"""What a study is to run: every method with every seed, each run with its folder, its flags and its settings.

Loads no TensorFlow, so that whatever is wrong with the flags is said before the first run.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import zlib
from typing import NamedTuple

from utils import list_file
from utils.errors import InputError
from utils.train import flags as train_flags

# Method -> its training script, and what `train_flags.parse` is to know about it.
METHODS = {
  'baseline': ('train', {}),
  'affinity': ('train_affinity', {'affinity': True}),
  'aaf': ('train_aaf', {'affinity': True, 'sizes': (1, 2, 3)}),
}
OWN = ('data-dir', 'data-list', 'val-list', 'snapshot-dir', 'random-seed', 'resume', 'overwrite', 'num-gpu', 'cluster')
# What the methods of one seed must share, so that they start from equal weights and see equal data for equal steps.
SHARED = ('model', 'backbone', 'num_classes', 'ignore_label', 'batch_size', 'iter_size', 'input_size', 'num_steps')
SHARED += ('random_scale', 'random_mirror', 'random_crop', 'restore_from', 'not_restore_classifier', 'precision')
SHARED += ('use_global_status', 'val_every', 'val_strides')
# What may change between the sittings of a study: where things lie, and how often something is written.
FREE = {'data_dir', 'data_list', 'val_list', 'snapshot_dir', 'resume', 'overwrite', 'is_training', 'profile_steps'}
FREE |= {'restore_from', 'save_pred_every', 'save_minutes', 'keep', 'update_tb_every', 'worker_timeout', 'cluster'}
NOT_THERE = 'a checkpoint that is not there'


class Method(NamedTuple):
  """A line of the study's table: a name, one of METHODS, and flags of its own."""

  name: str
  kind: str
  flags: tuple[str, ...] = ()


class Run(NamedTuple):
  """One training with what follows from it."""

  method: Method
  seed: int
  folder: pathlib.Path
  words: tuple[str, ...]  # the training script and its flags
  flags: argparse.Namespace  # the same, parsed
  settings: dict  # what a result in the folder must have been made with

  @property
  def name(self) -> str:
    return f'seed {self.seed}, {self.method.name}'


def methods(names: str, variants: list[str]) -> list[Method]:
  """The methods by name (`baseline,aaf`), then the variants (`NAME=METHOD FLAGS`).

  Raises:
    InputError: a name that is unknown, malformed or given twice.
  """
  found = []
  for name in filter(None, names.split(',')):
    if name not in METHODS:
      raise InputError(f'--methods {names}: {name!r} is none of {", ".join(METHODS)}')
    found.append(Method(name, name))
  for variant in variants:
    found.append(_variant(variant))
  if not found:
    raise InputError('--methods is empty and there is no --variant; name what to compare')
  seen = set()
  for method in found:
    if method.name in seen:
      raise InputError(f'{method.name!r} is named twice by --methods and --variant; give each its own name')
    seen.add(method.name)
  return found


def _variant(text: str) -> Method:
  name, _, rest = text.partition('=')
  try:
    kind, *flags = shlex.split(rest)
  except ValueError:  # nothing behind the =, or an open quotation mark
    kind, flags = None, []
  if not re.fullmatch(r'[\w][\w.+-]*', name) or kind not in METHODS:
    raise InputError(
      f'--variant {text!r}: write NAME=METHOD FLAGS with a METHOD of {", ".join(METHODS)}, say '
      "'aaf-half=aaf --kld-lambda-1 0.5 --kld-lambda-2 0.5'"
    )
  return Method(name, kind, tuple(flags))


def plan(args: argparse.Namespace) -> list[Run]:
  """All runs in their order: seed by seed, so that what a stopped study has finished are comparisons.

  `args`: study.py's. Raises InputError (or exits, as the training scripts do) for flags that no run can have.
  """
  _check_own('after --', args.training)
  chosen = methods(args.methods, args.variant)
  files = {name: list_file.list_digest(getattr(args, name)) for name in ('train_list', 'val_list', 'curve_list')}
  runs = []
  for seed in args.seeds:
    for method in chosen:
      folder = pathlib.Path(args.out_dir) / f'seed-{seed}' / method.name
      words, flags = _command(args, method, seed, folder)
      if not runs:  # all runs share it
        files['restore_from'] = _start(flags.restore_from, needed=not (args.dry_run or args.report_only))
      runs.append(Run(method, seed, folder, words, flags, _settings(args, method, flags, files)))
  _check_shared(runs)
  return runs


def _check_own(where: str, words) -> None:
  for word in words:
    flag = word.partition('=')[0].removeprefix('--')
    if word.startswith('--') and flag in OWN:
      raise InputError(f'{where}: --{flag} is set by the study itself, for every run; leave it out')


def _command(args, method, seed, folder):
  script, traits = METHODS[method.kind]
  several = {'num-gpu': args.num_gpu} if args.num_gpu else {}
  _check_own(f'--variant {method.name}', method.flags)
  own = {'data-dir': args.data_dir, 'data-list': args.train_list, 'val-list': args.curve_list, **several}
  own |= {'random-seed': seed, 'snapshot-dir': folder}
  words = [*args.training, *method.flags, *(w for key, value in own.items() for w in (f'--{key}', str(value)))]
  flags = train_flags.parse('', [*words, '--resume'], several_gpus=bool(several), **traits)
  script = f'pyscripts/train/{script}{"_mgpu" if several else ""}.py'
  return (script, *words, '--resume'), flags


def _settings(args, method, flags, files) -> dict:
  """What decides a run's result, as json reads it back."""
  decisive = {key: value for key, value in vars(flags).items() if key not in FREE}
  windows = {'window': args.window or flags.input_size, 'strides': args.strides or flags.val_strides}
  return json.loads(json.dumps({'method': method.kind, **files, **windows, 'checkpoint': args.checkpoint, **decisive}))


def _start(prefix: str, needed: bool) -> str:
  """Tells checkpoints with other weights apart, wherever they lie: an .index holds the checksum of each of them."""
  if not prefix:
    return ''
  path = next(filter(os.path.isfile, (f'{prefix}.index', prefix)), None)
  if path is None:
    if needed:
      raise InputError(f'--restore-from {prefix}: no such checkpoint (neither {prefix}.index nor a V1 file); check it')
    return NOT_THERE
  crc = 0
  with open(path, 'rb') as f:
    while part := f.read(1 << 20):
      crc = zlib.crc32(part, crc)
  return f'{os.path.basename(prefix)}, CRC {crc:08x}'


def _check_shared(runs: list[Run]) -> None:
  first = runs[0]
  for run in runs:
    for key in SHARED:
      one, other = (getattr(each.flags, key) for each in (first, run))
      if one != other:
        raise InputError(
          f'--variant {run.method.name}: --{key.replace("_", "-")} {other} is not the {one} of {first.method.name}; '
          'methods are compared from equal weights, on equal data, over equal steps'
        )


def check_settings(run: Run, path: pathlib.Path) -> None:
  """Raises InputError if what lies at `path` was begun with other settings."""
  try:
    before = dict(json.loads(path.read_text(encoding='utf-8')))
  except (FileNotFoundError, NotADirectoryError):
    return
  except (OSError, ValueError, TypeError):
    raise InputError(f'{path}: cannot be read as JSON; remove {run.folder} to do this run again') from None
  for key in sorted(before.keys() | run.settings.keys()):
    one, other = (settings.get(key) for settings in (before, run.settings))
    if one != other and other != NOT_THERE:
      raise InputError(
        f'{path}: the run there has {key.replace("_", "-")} {_said(one)}, not {_said(other)}; give that, or another '
        '--out-dir'
      )


def inference(run: Run, split: str, data_list: str, data_dir: str) -> list[str]:
  """The words of the prediction script."""
  network = [f'--{key.replace("_", "-")}={getattr(run.flags, key)}' for key in ('model', 'backbone', 'num_classes')]
  network += [f'--ignore-label={run.flags.ignore_label}', f'--precision={run.flags.precision}']
  sizes = ['{},{}'.format(*run.settings[key]) for key in ('window', 'strides')]
  words = ['pyscripts/inference/inference.py', *network, '--input-size', sizes[0], '--strides', sizes[1]]
  words += ['--restore-from', str(run.folder / checkpoint(run)), '--save-dir', str(run.folder / split)]
  return [*words, '--data-dir', data_dir, '--data-list', data_list, '--skip-existing']


def checkpoint(run: Run) -> str:
  """The name of the run's last checkpoint, or of its best by validation."""
  best = run.folder / 'best'
  if run.settings['checkpoint'] == 'best' and best.exists():
    return json.loads(best.read_text(encoding='utf-8'))['checkpoint']
  return f'model.ckpt-{run.flags.num_steps - 1}'


def _said(value) -> str:
  return ','.join(map(str, value)) if isinstance(value, list) else str(value)
