"""What was recorded on the 2018 code: its models' variables, and the weights that its values were taken with."""

import pathlib
import zlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def variables(model: str) -> dict[str, tuple[tuple, bool]]:
  """Name -> (shape, trainable) of every variable of `model`_resnet101 with 21 classes."""
  rows = [line.split('\t') for line in (GOLDEN / f'variables_{model}_resnet101.txt').read_text().splitlines()]
  return {name: (tuple(map(int, shape.split(','))), trainable == 'trainable') for name, shape, trainable in rows}


def generator(name: str):
  """NumPy's legacy generator, whose draws never change, seeded by a variable's name."""
  return np.random.RandomState(zlib.crc32(name.encode()))  # noqa: NPY002


def weights(name: str, shape: tuple) -> np.ndarray:
  """The variable's recorded value, which follows from its name and shape: a draw of NumPy's legacy generator, seeded by
  the name, scaled such that the features neither vanish nor explode."""
  random = generator(name)
  kind = name.rpartition('/')[2]
  if kind == 'weights':
    value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    if 'fc1_' in name:  # the classifier
      value = 2 * (value - value.mean((0, 1, 2), keepdims=True))
  elif kind == 'gamma':
    value = random.uniform(0.5, 1, shape) * (0.3 if '/conv3/' in name else 1)
  elif kind == 'moving_variance':
    value = random.uniform(0.75, 1.25, shape) * (7200 if name.count('/') == 3 else 1)  # the first layer sees pixels
  else:
    value = 0.05 * random.standard_normal(shape)
  return value.astype(np.float32)
