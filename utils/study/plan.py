"""The runs of a study: every method with every seed. A method is a training script with flags of its own.

Loads no TensorFlow, so that wrong flags are refused at once, before the first run.
"""

import argparse
import json
import pathlib
import re
import shlex
from typing import NamedTuple

from utils.errors import InputError
from utils.lists import list_digest
from utils.study import settings
from utils.train import flags as train_flags

# Method -> its training script, and the arguments of `train_flags.parse` for that script.
METHODS = {
  'baseline': ('train', {}),
  'affinity': ('train_affinity', {'affinity': True}),
  'aaf': ('train_aaf', {'affinity': True, 'adaptive': True}),
}
SET_BY_THE_STUDY = {'--data-dir', '--data-list', '--val-list', '--snapshot-dir', '--random-seed', '--num-gpu'}
SET_BY_THE_STUDY |= {'--resume', '--overwrite', '--cluster'}
# The runs of a seed start from equal weights and see equal data for equal steps, so no method has its own value.
SHARED = {'--model', '--backbone', '--num-classes', '--ignore-label', '--batch-size', '--iter-size', '--input-size'}
SHARED |= {'--num-steps', '--random-scale', '--random-mirror', '--random-crop', '--restore-from', '--precision'}
SHARED |= {'--not-restore-classifier', '--use-global-status', '--val-every', '--val-strides'}
# With these flags of its own, a method of a seed still starts from equal weights, but its first cross-entropy differs.
CROSS_ENTROPY = ('color_jitter', 'random_rotate', 'scale_range', 'crop_max_share', 'ohem_threshold', 'ohem_min_kept')
CROSS_ENTROPY += ('class_weights', 'label_smoothing')
NETWORK_FLAGS = ('model', 'backbone', 'num_classes', 'output_stride', 'ignore_label', 'precision')


class Method(NamedTuple):
  """A line of the study's table: its name, one of METHODS, and more flags for the training script."""

  name: str
  kind: str
  flags: tuple[str, ...] = ()


class Run(NamedTuple):
  """One training and the scores that follow from it."""

  method: Method
  seed: int
  folder: pathlib.Path
  command: tuple[str, ...]  # the training script and its flags
  flags: argparse.Namespace  # the same flags, parsed
  settings: dict  # what decides the result, see `settings.of_run`
  row: dict | None = None  # of a run that another machine finished: its row in `results.study`

  @property
  def name(self) -> str:
    return f'seed {self.seed}, {self.method.name}'

  @property
  def cross_entropy_flags(self) -> tuple:
    """What the first cross-entropy depends on besides what all methods share."""
    return tuple(str(getattr(self.flags, name, None)) for name in CROSS_ENTROPY)

  @property
  def training_path(self) -> pathlib.Path:
    """Written when the training is finished."""
    return self.folder / 'training.json'

  def scores_path(self, split: str) -> pathlib.Path:
    return self.folder / f'{split}.json'

  def is_scored(self, split: str) -> bool:
    """Whether there are scores of a list ('val', 'test'), here or of another machine."""
    return bool(self.row[split]) if self.row else self.scores_path(split).exists()

  def scores(self, split: str) -> dict | None:
    """The scores of a list; None where the run has none yet."""
    path = self.scores_path(split)
    return settings.read_json(path) if path.exists() else None


def parse_methods(names: str, variants: list[str]) -> list[Method]:
  """The methods by name (`baseline,aaf`), then the variants (`NAME=METHOD FLAGS`).

  Raises:
    InputError: a name is unknown, malformed or given twice.
  """
  methods = [Method(name, name) for name in names.split(',') if name]
  for method in methods:
    if method.kind not in METHODS:
      raise InputError(f'--methods {names}: {method.kind!r} is none of {", ".join(METHODS)}')
  methods += map(_parse_variant, variants)
  if not methods:
    raise InputError('--methods is empty and there is no --variant; name what to compare')
  method_names = [method.name for method in methods]
  for name in method_names:
    if method_names.count(name) > 1:
      raise InputError(f'{name!r} is named twice by --methods and --variant; give each method its own name')
  return methods


def _parse_variant(text: str) -> Method:
  name, _, definition = text.partition('=')
  try:
    kind, *flags = shlex.split(definition)
  except ValueError:  # nothing behind the =, or an open quotation mark
    kind, flags = None, []
  if not re.fullmatch(r'[\w][\w.+-]*', name) or kind not in METHODS:
    raise InputError(
      f'--variant {text!r}: write NAME=METHOD FLAGS with a METHOD of {", ".join(METHODS)}, for example '
      "'aaf-half=aaf --kld-lambda-1 0.5 --kld-lambda-2 0.5'"
    )
  _refuse(SHARED, flags, f'--variant {name}', 'is the same for all methods; give it behind --')
  return Method(name, kind, tuple(flags))


def _refuse(flags: set[str], words, where: str, reason: str) -> None:
  """Raises InputError if one of `words` is among `flags`."""
  for word in words:
    flag = word.partition('=')[0]
    if flag in flags:
      raise InputError(f'{where}: {flag} {reason}')


def plan(args: argparse.Namespace) -> list[Run]:
  """All runs of study.py's `args`, seed by seed, so that a study stopped early has complete comparisons.

  Raises:
    InputError: flags that no run can have. (argparse itself exits with 2 for flags that the training script refuses.)
  """
  methods = parse_methods(args.methods, args.variant)
  variant_seeds = args.seeds if args.variant_seeds is None else args.variant_seeds
  for seed in variant_seeds:
    if seed not in args.seeds:
      shown = [','.join(map(str, seeds)) for seeds in (variant_seeds, args.seeds)]
      raise InputError(f'--variant-seeds {shown[0]}: seed {seed} is not among --seeds {shown[1]}')
  digests = {name: list_digest(getattr(args, name)) for name in ('train_list', 'val_list', 'curve_list')}
  variants = methods[len(methods) - len(args.variant) :]
  pairs = [(seed, method) for seed in args.seeds for method in methods]
  runs = [_plan_run(args, m, seed, digests) for seed, m in pairs if seed in variant_seeds or m not in variants]
  start = settings.checkpoint_digest(runs[0].flags.restore_from, may_be_missing=args.dry_run or args.report_only)
  for run in runs:
    run.settings['restore_from'] = start
  return runs


def class_rows(names: list[str], thin: list[str]) -> list[dict]:
  """The classes as study.json has them."""
  return [{'name': name, 'thin': name in thin} for name in names]


def with_results(runs: list[Run], paths: list[str], classes: list[dict], splits) -> list[Run]:
  """The runs, those that are finished in a study.json of another machine with their row there, if not here.

  splits: the lists to be scored ('val', 'test'); other scores of the rows are left out.

  Raises:
    InputError: a file is no such file, lacks scores, or is of other settings or `classes` (see `class_rows`).
  """
  found = {}
  for path in paths:
    try:
      content = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
      of_method = {method['name']: method['settings'] for method in content['methods']}
      found |= {(row['method'], row['seed']): (path, of_method[row['method']], row) for row in content['runs']}
      other_classes = content['classes'] != classes
    except (OSError, ValueError, KeyError, TypeError):
      raise InputError(f'--add {path}: cannot be read as the study.json of a study; check the path') from None
    if other_classes:
      raise InputError(f'--add {path}: has other classes or thin classes; give this study the same')
  added = []
  for run in runs:
    path, earlier, row = found.get((run.method.name, run.seed), ('', {}, None))
    if row:
      settings.compare({**earlier, 'random_seed': run.seed}, run, f'--add {path}: {run.name}')
    if row and not run.is_scored('val'):
      for split in splits:
        if not row[split]:
          raise InputError(f'--add {path}: {run.name} has no scores of the {split} list; make them there, by --test')
      run = run._replace(row={**row, 'test': row['test'] if 'test' in splits else None})
    added.append(run)
  return added


def _plan_run(args, method: Method, seed: int, digests: dict[str, str]) -> Run:
  script, parsing = METHODS[method.kind]
  own_flags = [*args.training, *method.flags]
  _refuse(SET_BY_THE_STUDY, own_flags, f'the flags of {method.name}', 'is set by the study itself; leave it out')
  folder = pathlib.Path(args.out_dir) / f'seed-{seed}' / method.name
  values = {'data_dir': args.data_dir, 'data_list': args.train_list, 'val_list': args.curve_list}
  values |= {'random_seed': seed, 'snapshot_dir': folder}
  if args.num_gpu:
    script += '_mgpu'
    values['num_gpu'] = args.num_gpu
  words = [*own_flags, *as_words(values), '--resume']
  flags = train_flags.parse('', words, several_gpus=bool(args.num_gpu), **parsing)
  if flags.early_stop:
    raise InputError(f'--early-stop {flags.early_stop}: a study compares runs of equal length; leave it out')
  decisive = settings.of_run(args, method.kind, flags, digests)
  return Run(method, seed, folder, (f'pyscripts/train/{script}.py', *words), flags, decisive)


def as_words(values: dict) -> list[str]:
  """{flag: value} as a command line has it."""
  return [word for flag, value in values.items() for word in (f'--{flag.replace("_", "-")}', str(value))]


def prediction_command(run: Run, split: str, data_list: str, data_dir: str) -> list[str]:
  """The prediction script and its flags, for the images of a list."""
  values = {flag: value for flag in NETWORK_FLAGS if (value := getattr(run.flags, flag)) is not None}
  values |= {'input_size': '{},{}'.format(*run.settings['window']), 'strides': '{},{}'.format(*run.settings['strides'])}
  values |= {'restore_from': run.folder / checkpoint_name(run), 'save_dir': run.folder / split}
  values |= {'data_dir': data_dir, 'data_list': data_list}
  switches = ['--skip-existing', *(['--ema'] if run.flags.ema_decay else [])]
  return ['pyscripts/inference/inference.py', *as_words(values), *switches]


def checkpoint_name(run: Run) -> str:
  """The run's last checkpoint, or with `--checkpoint best` its best by validation, as soon as there is one."""
  best = run.folder / 'best'
  if run.settings['checkpoint'] == 'best' and best.exists():
    return settings.read_json(best)['checkpoint']
  return f'model.ckpt-{run.flags.num_steps - 1}'
