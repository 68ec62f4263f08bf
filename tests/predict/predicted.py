"""What the tests of prediction share: a network whose predictions follow the image, pictures, and runs of the scripts.

A test file takes over the fixtures that it needs: `checkpoint = predicted.checkpoint`.
"""

import importlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from seg_models.models import build
from tests import recorded
from utils import checkpoint as checkpoints
from utils import errors

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = 3
NETWORK = ['--model', 'fcn8s', '--backbone', 'resnet_v1_14', '--num-classes', str(CLASSES)]
WINDOWS = ['--input-size', '48,48', '--strides', '32,32']


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory) -> str:
  """The prefix of a checkpoint of the network above, of weights that make unlike pixels unlike."""
  return save_drawn('fcn8s', tmp_path_factory.mktemp('checkpoint') / 'model.ckpt-7')


def save_drawn(model: str, prefix) -> str:
  """Saves a checkpoint of `model` on the small ResNet, of the recorded weights; returns its prefix."""
  model = build(model, 'resnet_v1_14', CLASSES)
  shapes = {checkpoints.name_of(v): v.shape for v in model.variables}
  checkpoints.save(str(prefix), {name: recorded.weights(name, shape) for name, shape in shapes.items()})
  return str(prefix)


LIGHT = ['--model', 'deeplabv3plus', '--backbone', 'efficientnet_lite0', '--num-classes', str(CLASSES)]


@pytest.fixture(scope='session')
def light_checkpoint(tmp_path_factory) -> str:
  """The prefix of a checkpoint of DeepLabv3+ on EfficientNet-Lite0, of drawn weights."""
  prefix = str(tmp_path_factory.mktemp('light') / 'model.ckpt-7')
  variables = build('deeplabv3plus', 'efficientnet_lite0', CLASSES, seed=3).variables
  values = {checkpoints.name_of(v): np.asarray(v) for v in variables}
  checkpoints.save(prefix, {n: recorded.weights(n, v.shape) if 'BatchNorm' in n else v for n, v in values.items()})
  return prefix


def pixels(height=20, width=30, seed=0) -> np.ndarray:
  """A picture of coarse coloured blocks, uint8 [h, w, 3], of whose pixels the network gives different classes."""
  blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
  return blocks.repeat(10, 0).repeat(10, 1)[:height, :width]


def picture(path, height=20, width=30, seed=0, **options) -> str:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels(height, width, seed)).save(path, **options)
  return str(path)


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
  main = importlib.import_module(f'pyscripts.{script}').main
  try:
    return errors.run(main, words)
  except SystemExit as e:  # argparse
    return e.code


def start(words, script='inference/inference.py', before='') -> subprocess.Popen:
  """A script in a process of its own; `before` is Python that it runs first."""
  path = ROOT / 'pyscripts' / script
  code = (
    'import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n'  # shells may start us without it
    f'import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = {[str(path), *words]!r}\n{before}\n'
    f'runpy.run_path({str(path)!r}, run_name="__main__")'
  )
  return subprocess.Popen(
    [sys.executable, '-c', code],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )


def start_slowly(words, save_dir) -> subprocess.Popen:
  """A prediction that would last a while, once it has written something."""
  before = (
    'import time; from utils.predict.outputs import Outputs; write = Outputs.write\n'
    'Outputs.write = lambda *a: (time.sleep(0.05), write(*a))'
  )
  process, limit = start(words, before=before), time.time() + 120
  while not list(pathlib.Path(save_dir).glob('gray/[!.]*.png')):
    assert process.poll() is None and time.time() < limit, process.communicate()
    time.sleep(0.02)
  return process


def files(folder) -> dict[str, bytes]:
  """Path below `folder` -> contents, of every output (classes.csv apart, which every run writes)."""
  paths = [p for p in sorted(pathlib.Path(folder).rglob('*')) if p.is_file() and p.name != 'classes.csv']
  return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def gray(save_dir, name) -> np.ndarray:
  return np.asarray(Image.open(pathlib.Path(save_dir) / 'gray' / f'{name}.png'))
