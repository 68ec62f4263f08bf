"""What the tests of training share: a network of two layers, a handful of small images, and runs of the scripts.

Importing this puts the backbone `toy` into the table, for every script and function that takes a name from there. A
test file takes over the fixtures that it needs: `data = tiny.data`.
"""

import argparse
import csv
import importlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from network.common.layers import Conv
from seg_models.names import BACKBONES, build
from utils import checkpoint, errors, runs
from utils.train import flags as train_flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
LONG = 'LONG' in os.environ
slow = pytest.mark.skipif(not LONG, reason='takes minutes; set LONG=1')
CLASSES = 3
FLAGS = {
  'model': 'fcn8s',
  'backbone': 'toy',
  'num_classes': CLASSES,
  'input_size': '32,32',
  'batch_size': 2,
  'iter_size': 1,
  'num_steps': 6,
  'learning_rate': 1e-3,
  'save_pred_every': 2,
  'random_crop': True,
  'random_scale': True,
  'random_mirror': True,
}


class ToyBackbone(tf.Module):
  """One strided convolution with batch norm, 6 channels, for the auxiliary head too; before it, the image itself."""

  def __init__(self, backbone='toy', seed=0, output_stride=8):
    super().__init__()
    self.conv = Conv(f'{backbone}/conv1', 3, 6, 3, output_stride, batch_norm_decay=0.9, seed=seed)
    self.strides = [s for s in (2, 4, 8, 16, 32) if s <= output_stride]
    self.channels = {s: 6 if s == output_stride else 3 for s in self.strides}
    self.auxiliary_stride, self.auxiliary_channels = output_stride, 6

  def __call__(self, images, training=False):
    features = self.conv(images, training)
    return {**{s: images[:, ::s, ::s] for s in self.strides[:-1]}, self.strides[-1]: features}, features


BACKBONES['toy'] = 'tests.tiny:ToyBackbone'


def toy(num_classes=CLASSES, seed=0, stride=8, auxiliary=False):
  """The network of `FLAGS`: a convolution for the backbone, and the 1x1 convolution of `fcn8s` for the head."""
  return build('fcn8s', 'toy', num_classes, seed, stride, auxiliary)


@pytest.fixture
def deterministic():
  yield
  undo_determinism()


def undo_determinism() -> None:
  """--deterministic is a switch of the whole process: here it is turned back."""
  from tensorflow.python.util import _pywrap_determinism  # TensorFlow has no public way

  _pywrap_determinism.enable(False)


@pytest.fixture(scope='session')
def data(tmp_path_factory):
  """The folder of `draw`."""
  folder = tmp_path_factory.mktemp('data')
  draw(folder)
  return folder


def draw(folder) -> None:
  """Seven small images of different sizes with labels of classes 0 to 2 and void, and list.txt."""
  rng = np.random.default_rng(0)
  lines = []
  for i in range(7):
    height, width = 40 + 4 * i, 56 - 4 * i
    label = rng.integers(0, CLASSES, (height // 8, width // 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    label[: 3 * i] = 255
    image = 80 * np.minimum(label, 2)[..., np.newaxis] + rng.integers(0, 60, (*label.shape, 3))
    Image.fromarray(image.astype(np.uint8)).save(folder / f'{i}.jpg')
    Image.fromarray(label).save(folder / f'{i}.png')
    lines.append(f'{i}.jpg {i}.png')
  (folder / 'list.txt').write_text('\n'.join(lines) + '\n')


def flags(data, snapshot, **changes) -> list[str]:
  """The command line of a short run; a change to None or False leaves the flag out."""
  values = {**FLAGS, 'data_dir': data, 'data_list': data / 'list.txt', 'snapshot_dir': snapshot, **changes}
  words = []
  for name, value in values.items():
    if value is not None and value is not False:
      words += [f'--{name.replace("_", "-")}', *([] if value is True else [str(value)])]
  return words


def arguments(data, snapshot, affinity=False, adaptive=False, **changes) -> argparse.Namespace:
  return train_flags.parse('', flags(data, snapshot, **changes), affinity, adaptive)


def train(data, snapshot, script='train', **changes) -> None:
  """Runs a training script's main in this process."""
  importlib.import_module(f'pyscripts.train.{script}').main(flags(data, snapshot, **changes))


def refusal(data, snapshot, script='train', **changes) -> str:
  """The one line with which a training script refuses these flags."""
  with pytest.raises(errors.InputError) as e:
    train(data, snapshot, script, **changes)
  return str(e.value)


def start(data, snapshot, script='train', before=None, output=subprocess.PIPE, **changes) -> subprocess.Popen:
  """Runs a training script in a process of its own, which prints to `output`; `before` is Python that runs first."""
  words = flags(data, snapshot, **changes)
  code = (
    f'import sys; sys.path.insert(0, {str(ROOT)!r})\n'
    f'from tests import tiny\n'
    f'{before or ""}\n'
    f'from utils import errors\n'
    f'from pyscripts.train import {script}\n'
    f'sys.exit(errors.run({script}.main, {words!r}))'
  )
  return subprocess.Popen([sys.executable, '-c', code], stdout=output, stderr=subprocess.STDOUT, text=True)


def batch(seed, void=0.0, size=4, side=32) -> tuple[np.ndarray, np.ndarray]:
  """Images float32 [size, side, side, 3] and labels int32; a share `void` of them is void, or one per image."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, CLASSES, [size, side, side], np.int32)
  labels[rng.random(labels.shape) < np.reshape(void, [-1, 1, 1])] = 255
  return rng.normal(0, 50, [*labels.shape, 3]).astype(np.float32), labels


def rows(path) -> list[dict]:
  """The rows of a CSV file."""
  return list(csv.DictReader(pathlib.Path(path).read_text(encoding='utf-8').splitlines()))


def contents(prefix) -> dict:
  """Every tensor of a checkpoint, read."""
  reader = checkpoint.Reader(str(prefix))
  return {name: reader.get(name) for name in reader.shapes}


def last_checkpoint(snapshot) -> dict:
  """Every tensor of a folder's newest checkpoint."""
  return contents(runs.path_of(str(snapshot), runs.steps_in(str(snapshot))[-1]))


def assert_same(one: dict, other: dict) -> None:
  """Both hold the same names and, bit for bit, the same values."""
  assert one.keys() == other.keys()
  assert not [name for name in one if not np.array_equal(one[name], other[name], equal_nan=True)]
