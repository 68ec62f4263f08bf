"""What the tests of prediction share: a network whose predictions follow the image, pictures, and runs of the scripts.

A test file takes over the fixtures that it needs: `checkpoint = predicted.checkpoint`.
"""

import importlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seg_models.names import build
from tests import recorded, tiny
from tests.data import trees
from utils import checkpoint as checkpoints
from utils import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = tiny.CLASSES
NETWORK = ['--model', 'fcn8s', '--backbone', 'toy', '--num-classes', str(CLASSES)]
WINDOWS = ['--input-size', '48,48', '--strides', '32,32']


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory) -> str:
  """The prefix of a checkpoint of the network above, of weights that make unlike pixels unlike."""
  return save_drawn(tmp_path_factory.mktemp('checkpoint') / 'model.ckpt-7')


def save_drawn(prefix, model='fcn8s', backbone='toy', kind='') -> str:
  """Saves a checkpoint of initial weights, and of the recorded ones where the name holds `kind`; returns its prefix."""
  values = {checkpoints.name_of(v): np.asarray(v) for v in build(model, backbone, CLASSES, seed=3).variables}
  checkpoints.save(str(prefix), {n: recorded.weights(n, v.shape) if kind in n else v for n, v in values.items()})
  return str(prefix)


def pixels(height=20, width=30, seed=0) -> np.ndarray:
  """A picture of coarse coloured blocks, uint8 [h, w, 3], of whose pixels the network gives different classes."""
  blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
  return blocks.repeat(10, 0).repeat(10, 1)[:height, :width]


def picture(path, height=20, width=30, seed=0, **options) -> str:
  return trees.save(path, pixels(height, width, seed), **options)


@pytest.fixture(scope='session')
def folder(tmp_path_factory) -> pathlib.Path:
  """Five pictures of different sizes, 0.png to 4.png."""
  folder = tmp_path_factory.mktemp('pictures')
  for i in range(5):
    picture(folder / f'{i}.png', 20 + 17 * i, 90 - 15 * i, seed=i)
  return folder


def flags(checkpoint, save_dir, *more, network=NETWORK, windows=WINDOWS) -> list[str]:
  return [*map(str, [*network, *windows, '--restore-from', checkpoint, '--save-dir', save_dir, *more])]


def run(words, script='inference.inference') -> int:
  """The exit code of a script below pyscripts/, run in this process as from the command line."""
  return errors.run(importlib.import_module(f'pyscripts.{script}').main, words)


def stopped(words, signum: int, number: int = 3) -> subprocess.CompletedProcess:
  """inference.py in a process of its own that gets a signal when class ids have been written for the `number`-th time,
  before they get their name."""
  script = str(ROOT / 'pyscripts/inference/inference.py')
  code = f"""
import itertools, os, runpy, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from tests import tiny
rename, calls = os.replace, itertools.count(1)
def replace(a, b):
  if 'gray' in str(b) and next(calls) == {number}:
    signal.pthread_kill(threading.main_thread().ident, {int(signum)})
  rename(a, b)
os.replace = replace
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may start us without it
sys.argv = {[script, *words]!r}
runpy.run_path(sys.argv[0], run_name='__main__')
"""
  return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


def files(folder) -> dict[str, bytes]:
  """Path below `folder` -> contents, of every output (classes.csv apart, which every run writes)."""
  paths = [p for p in sorted(pathlib.Path(folder).rglob('*')) if p.is_file() and p.name != 'classes.csv']
  return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def gray(save_dir, name) -> np.ndarray:
  return np.asarray(Image.open(pathlib.Path(save_dir) / 'gray' / f'{name}.png'))
