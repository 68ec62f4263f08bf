"""What the tests of studies share: a study of the tiny network, its scripts run in this process."""

import importlib
import json
import pathlib
import signal

import pytest

from pyscripts.study import study
from tests import tiny
from utils import errors
from utils.predict import predictor
from utils.study import run as study_run
from utils.train import loop

FLAGS = {'model': 'fcn8s', 'backbone': 'resnet_v1_14', 'num-classes': tiny.CLASSES, 'input-size': '32,32'}
FLAGS |= {'batch-size': 2, 'iter-size': 1, 'num-steps': 4, 'val-every': 2, 'learning-rate': 1e-3}
MEMORY = 123456.0  # MB, the peak of every training
SWITCHES = ['--random-crop', '--random-scale', '--random-mirror', '--deterministic']


class Scripts:
  """Stands in for `study_run.execute`: runs the scripts here, and keeps what they were called with.

  Before call number `stop_at`, it is as if Ctrl-C had been pressed.
  """

  def __init__(self):
    self.calls, self.stop_at = [], None

  def __call__(self, words, log: pathlib.Path):
    if self.stop_at == len(self.calls):
      raise KeyboardInterrupt
    path = pathlib.PurePath(words[0])
    folder = words[words.index('--snapshot-dir' if path.stem.startswith('train') else '--restore-from') + 1]
    self.calls.append((path.stem, *pathlib.PurePath(folder).parts[-2:][: 2 if 'model.ckpt' not in folder else 1]))
    main = importlib.import_module('.'.join(path.with_suffix('').parts)).main
    handlers = signal.getsignal(signal.SIGTERM)
    code = errors.run(main, list(words[1:]))
    signal.signal(signal.SIGTERM, handlers)
    log.write_text('error: something broke\n' if code else '')
    return code, MEMORY


def install(patch: pytest.MonkeyPatch) -> Scripts:
  scripts = Scripts()
  patch.setattr(study_run, 'execute', scripts)
  patch.setattr(loop, 'build', lambda model, backbone, num_classes, seed, *_: tiny.Toy(num_classes, seed))
  patch.setattr(predictor, 'build', lambda model, backbone, num_classes, output_stride: tiny.Toy(num_classes))
  return scripts


def words(data, out, *more, seeds='1,2', thin_classes='1', training=(), **changes) -> list[str]:
  """The command line of a study; `changes` are of the training's flags, None leaves one out."""
  lists = ['--data-dir', data, '--train-list', data / 'list.txt', '--val-list', data / 'val.txt']
  flags = {**FLAGS, **{key.replace('_', '-'): value for key, value in changes.items()}}
  flags = [word for key, value in flags.items() if value is not None for word in (f'--{key}', value)]
  own = ['--out-dir', out, '--seeds', seeds, '--thin-classes', thin_classes, *lists, *more]
  return [str(word) for word in (*own, '--', *flags, *SWITCHES, *training)]


def run(command) -> int:
  """The exit code of study.py."""
  try:
    return errors.run(study.main, command)
  except SystemExit as e:  # argparse
    return e.code


def content(out) -> dict:
  """study.json, of which NaN and Infinity are no part."""

  def refuse(name):
    raise AssertionError(name)

  return json.loads((out / 'study.json').read_text(), parse_constant=refuse)


def scores(out) -> dict:
  """The scores of every run, by its place."""
  return {str(path.relative_to(out)): path.read_text() for path in sorted(out.glob('seed-*/*/*.json'))
          if path.name in ('val.json', 'test.json')}  # fmt: skip
