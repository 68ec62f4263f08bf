"""Measure whether the affinity losses help: train every method with every seed, predict, score, and write
OUT_DIR/study.{json,csv,md} with means, standard errors and differences paired by seed.

Flags behind `--` go to every training; a --variant adds its own, as 'steady=aaf --kld-decay 1'. study.json is the
state: started again, a run whose row is there with the same settings is not run again, and a training that was stopped
goes on. Another machine or GPU takes other --seeds and another OUT_DIR; its study.json, put under another name into
this OUT_DIR, gives its rows.
"""

import csv
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import zlib
from collections import Counter
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import arguments, errors, files, labels, lists, records, runs
from utils.errors import InputError, RunError
from utils.train import flags as train_flags

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Method -> its training script, and the arguments of `train_flags.parse` for that script.
METHODS = {
  'baseline': ('train', {}),
  'affinity': ('train_affinity', {'affinity': True}),
  'aaf': ('train_aaf', {'affinity': True, 'adaptive': True}),
}
DECIDE_TOO = {'early_stop', 'val_every', 'val_strides'}  # may change on resume, but choose the checkpoint to score
CLASS_SCORES = ('iou', 'boundary_f', 'boundary_iou')


class Run(NamedTuple):
  """One training and the scores that follow."""

  row: dict  # its method, seed, flags of the method alone, settings: what decides its result, flags if not the default
  folder: pathlib.Path  # of other trainings another one
  training: list[str]  # script and flags


def key_of(row: dict) -> str:
  return json.dumps(row['settings'], sort_keys=True)


def parse(argv):
  flags = arguments.Parser(__doc__)
  add = flags.add_argument
  add('--out-dir', required=True, help='gets one folder per run, and the results')
  add('--data-dir', default='', help='the folder that the lists are relative to')
  add('--train-list', default='', help='list file of training images, `image label`')
  add('--val-list', default='', help='list file of validation images; while training those of a --val-list behind --')
  add('--test-list', default='', help='list file of test images: predicted and scored too')
  add('--methods', default='baseline,affinity,aaf', metavar='NAME,...', help='all are compared with the first')
  add('--variant', action='append', default=[], metavar="'NAME=METHOD FLAGS'", help='one more method; may be repeated')
  add('--seeds', type=_seeds, default=(1, 2, 3), metavar='N,...', help='of weights, order and augmentation')
  add('--variant-seeds', type=_seeds, metavar='N,...', help='those of the --seeds that the variants get [all]')
  add('--predict', type=shlex.split, default=[], metavar='FLAGS', help='of prediction, as --predict=--whole-image')
  add('--checkpoint', choices=('last', 'best'), default='last', help='to score: the last, or the best in validation')
  add('--thin-classes', default='', metavar='NAME,...', help='classes to mark, and to take a mIoU of their own over')
  add('--dry-run', action='store_true', help='print the commands and run none')
  words = sys.argv[1:] if argv is None else list(argv)
  cut = words.index('--') if '--' in words else len(words)
  args = flags.parse_args(words[:cut])
  args.training = words[cut + 1 :]
  args.lists = {'val': args.val_list} | ({'test': args.test_list} if args.test_list else {})
  args.thin = [name for name in dict.fromkeys(args.thin_classes.split(',')) if name]
  return args


def _seeds(text: str) -> tuple[int, ...]:
  return tuple(dict.fromkeys(map(arguments.whole(0, 2**31 - 1), text.split(','))))


def plan(args) -> list[Run]:
  """All runs, seed by seed, so that a study stopped early has complete comparisons. What can be wrong is refused here.

  Raises:
    InputError: a method that is unknown, malformed or named twice; lists or flags that no run can have.
  """
  for split, path in {'train': args.train_list, **args.lists}.items():
    if not path:
      raise InputError(f'--{split}-list is empty; give a list file: one line per image, `image label`')
    pairs = lists.read_list(path, args.data_dir, need_label=True)
    if split == 'train':
      continue
    if records.is_file(path):
      raise InputError(f'--{split}-list {path}: is a record file; give the list that it was made from')
    names = Counter(name for pair in pairs for name in (os.path.splitext(pair.image)[0], pair.label))
    [(name, number)] = names.most_common(1)
    if number > 1:
      raise InputError(f'{path}: {name} stands there {number} times; name every image and every label once')
  named = [(name, f'{name}={name}', args.seeds) for name in args.methods.split(',')]
  named += [(text.partition('=')[0], text, args.variant_seeds or args.seeds) for text in args.variant]
  names = [name for name, _, _ in named]
  for name in names:
    if names.count(name) > 1:
      raise InputError(f'{name!r} is named twice by --methods and --variant; give each method its own name')
  if alone := set(args.variant_seeds or ()) - set(args.seeds):
    raise InputError(f'--variant-seeds {min(alone)}: is none of --seeds, so nothing is compared with it; add it there')
  return [_run(args, seed, text) for seed in args.seeds for _, text, seeds in named if seed in seeds]


def _run(args, seed: int, text: str) -> Run:
  """The run of a method, `NAME=METHOD FLAGS`."""
  method, _, definition = text.partition('=')
  try:
    kind, *own_flags = shlex.split(definition) or ['']
  except ValueError as e:  # a quotation without an end
    raise InputError(f'{text!r}: {e}; see --variant') from None
  if not re.fullmatch(r'\w[\w.+-]*', method) or kind not in METHODS:
    raise InputError(f'{text!r} is not NAME=METHOD FLAGS with a METHOD of {", ".join(METHODS)}; see --variant')
  script, parsing = METHODS[kind]
  words = [*args.training, *own_flags]
  names = {word.split('=')[0] for word in words}
  for name in ('--random-seed', '--snapshot-dir', '--overwrite'):
    if name in names:
      raise InputError(f'{method}: {name} is set by the study; leave it out')
  several = '--num-gpu' in names
  words = ['--data-dir', args.data_dir, '--data-list', args.train_list, '--val-list', args.val_list, *words]
  words += ['--random-seed', str(seed), '--resume', '--snapshot-dir']
  program = f'{script}{"_mgpu" * several}.py'
  flags = train_flags.parse('', [*words, args.out_dir], several_gpus=several, prog=program, **parsing)
  classes = labels.choose_classes(flags.num_classes, flags.class_names, flags.data_list).names
  if wrong := set(args.thin) - set(classes):
    raise InputError(f'--thin-classes: {min(wrong)!r} is not one of {", ".join(classes)}')
  roles = arguments.Role.DECISIVE | arguments.Role.ORIGIN
  decisive = sorted(vars(flags).keys() & {*train_flags.names(roles), *DECIDE_TOO})
  settings = {name: value for name in decisive if (value := getattr(flags, name)) != train_flags.default_of(name)}
  settings |= {name: lists.list_digest(getattr(flags, name)) for name in ('data_list', 'val_list')}
  settings |= {'script': script, 'random_seed': None, 'restore_from': _digest(flags.restore_from, args.dry_run)}
  if os.path.isfile(flags.class_weights):
    settings['class_weights'] = _digest(flags.class_weights, args.dry_run)
  crc = zlib.crc32(key_of({'settings': settings}).encode())
  settings |= {'method': method, 'random_seed': seed, 'checkpoint': args.checkpoint, 'prediction': args.predict}
  folder = pathlib.Path(args.out_dir) / f'seed-{seed}' / f'{method}-{crc:08x}'
  command = [f'pyscripts/train/{program}', *words, str(folder)]
  return Run({'method': method, 'seed': seed, 'flags': shlex.join(own_flags), 'settings': settings}, folder, command)


def _digest(prefix: str, may_be_missing: bool) -> str:
  """The name of a checkpoint and a checksum of its .index, which holds those of all variables, or of its V1 file."""
  path = next(filter(os.path.isfile, (f'{prefix}.index', prefix)), None)
  if prefix and not path and not may_be_missing:
    raise InputError(f'--restore-from {prefix}: no such checkpoint (neither {prefix}.index nor a V1 file); check it')
  return f'{os.path.basename(prefix)}, CRC {zlib.crc32(pathlib.Path(path).read_bytes()):08x}' if path else ''


def commands(args, run: Run, split: str, step='STEP') -> tuple[list[str], list[str]]:
  """Prediction and scoring of a list: scripts and flags. The run says the rest; `step`: of its last checkpoint."""
  images, save_dir = ['--data-dir', args.data_dir or '.', '--data-list', args.lists[split]], f'{run.folder}/{split}'
  last = ['--restore-from', f'{run.folder}/model.ckpt-{step}'] if args.checkpoint == 'last' else []
  predict = ['pyscripts/inference/inference.py', '--run', str(run.folder), *last, *images, '--save-dir', save_dir]
  score = ['pyscripts/benchmark/benchmark_by_mIoU.py', '--boundary', '--json', f'{save_dir}.json', *images]
  return [*predict, *args.predict], [*score, '--pred-dir', f'{save_dir}/gray']


def finish(args, run: Run, row: dict) -> None:
  """Trains, predicts and scores what the run's `row` lacks, and puts it there. Raises RunError if a script fails."""
  if not row:
    peak = call(run, run.training, 'training')
    config = runs.recorded(str(run.folder))
    log, validation = (_columns(run.folder / name) for name in ('log.csv', 'validation.csv'))
    images = config['batch_size'] * config['iter_size']
    row |= run.row
    row['initial_weights'] = json.loads((run.folder / 'start').read_text())['weights']
    row['first_cross_entropy'] = log['seg_loss'][0]
    row['steps'] = int(log['step'][-1]) + 1
    row['seconds_per_step'] = round(statistics.median(images / speed for speed in log['images_per_second']), 4)
    row['peak_memory_mb'] = round(max(peak, *log['memory_mb']), 1)  # the log has that of earlier parts too
    row['val_curve'] = list(zip(validation['step'], validation['mIoU'], strict=True))
  for split, path in args.lists.items():
    if split not in row:
      predict, score = commands(args, run, split, row['steps'] - 1)
      call(run, predict, f'prediction of {path}')
      call(run, score, f'scores of {path}')
      found = json.loads((run.folder / f'{split}.json').read_text())
      of_classes = {f'{key}_{each["name"]}': each[key] for key in CLASS_SCORES for each in found['classes']}
      row[split] = {
        'list': lists.list_digest(path),
        'images': found['images'],
        'scores': {**found['means'], **of_classes},
      }


def _columns(path: pathlib.Path) -> dict[str, list]:
  """The columns of a run's log; None for NaN, which JSON has not."""
  with open(path, newline='', encoding='utf-8') as f:
    rows = list(csv.DictReader(f))
  return {name: [None if row[name] in ('', 'nan') else float(row[name]) for row in rows] for name in rows[0]}


def call(run: Run, command: list[str], what: str) -> float:
  """Runs a script, its output appended to FOLDER/run.log -> its peak memory in MB. Raises RunError if it fails.

  A signal that stops the study is passed on as SIGTERM, at which a training saves its state.
  """
  log = run.folder / 'run.log'
  log.parent.mkdir(parents=True, exist_ok=True)
  print(f'{log}: {what}', file=sys.stderr)
  with open(log, 'a', encoding='utf-8') as out:
    words = [sys.executable, ROOT / command[0], *command[1:]]
    streams = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': out}
    process = subprocess.Popen(words, **streams, start_new_session=True)  # else a terminal's Ctrl-C arrives twice
    try:
      _, status, usage = os.wait4(process.pid, 0)  # it alone reports the memory of this one process
    except BaseException:
      process.terminate()
      process.wait()
      raise
  process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    last = ''.join(log.read_text(encoding='utf-8', errors='replace').strip().splitlines()[-1:])[:300]
    raise RunError(f'{log}: {what} failed, exit code {process.returncode}: {last}')
  return usage.ru_maxrss * (1024 if sys.platform != 'darwin' else 1) / 1e6


def read_rows(out_dir: str) -> dict[str, dict]:
  """The rows of every JSON file in OUT_DIR by `key_of`; of two for one run the scores of both, study.json's first."""
  rows = {}
  for path in sorted(pathlib.Path(out_dir).glob('*.json'), key=lambda path: path.name == 'study.json'):
    try:
      study = json.loads(path.read_text(encoding='utf-8'))
      for row in study['runs'] + study['other_runs']:
        rows.setdefault(key_of(row), {}).update(row)
    except (OSError, ValueError, KeyError, TypeError):
      raise InputError(f'{path}: cannot be read as the JSON of a study; move it to another folder') from None
  return rows


def main(argv=None) -> None:
  args = parse(argv)
  planned = plan(args)
  if args.dry_run:
    for run in planned:
      for words in (run.training, *(words for split in args.lists for words in commands(args, run, split))):
        print(shlex.join(['python', *words]))
    return
  from pyscripts.study import tables  # SciPy, not needed for --help

  failed, keys = 0, [key_of(run.row) for run in planned]
  with files.claim(args.out_dir, 'study'):
    rows = read_rows(args.out_dir)
    for row in (rows[key] for key in keys if key in rows):
      for split, path in args.lists.items():
        if row.get(split, {}).get('list') != lists.list_digest(path):
          row.pop(split, None)  # of an earlier list: no table mixes two
    for key, run in zip(keys, planned, strict=True):
      row = rows.pop(key, {})
      try:
        finish(args, run, row)
      except RunError as e:
        failed += 1
        print(f'error: {e}', file=sys.stderr)
      rows |= {key: row} if row else {}
      others = [row for other, row in rows.items() if other not in keys]
      finished = [rows[key] for key in keys if key in rows]
      text = tables.write(args.out_dir, finished, others, planned[0].row['method'], args.thin)
  print(text)
  if failed:
    raise RunError(f'{failed} of {len(planned)} runs failed, see above; start the same command again when it is mended')


if __name__ == '__main__':
  sys.exit(errors.run(main))
