"""What was recorded on the 2018 code: its models' variables, the weights that its values were taken with, and how close
to its values this machine's device must come."""

import pathlib
import zlib

import numpy as np

from tests.network.drawn import relative_error
from utils import devices

GOLDEN = pathlib.Path(__file__).parent / 'golden'
# Relative errors: in float32; and where a GPU cuts products to TF32, which has ten bits of mantissa in place of 23.
TOLERANCES = {
  'loss': (2e-5, 1e-3),
  'gradient': (2e-4, 1e-3),
  'logits, frozen': (2e-4, 2e-2),
  'logits, batch': (2e-3, 5e-2),
  'moving average': (5e-6, 1e-2),
}

devices.obey_tf32_override()  # as a training does


def assert_close(kind: str, name: str, got, recorded) -> None:
  """Prints the relative error (a row of gpu_check.sh's table), and holds it to the tolerance of the kind."""
  cut = devices.cuts_float32()
  error, tolerance = relative_error(got, recorded), TOLERANCES[kind][cut]
  print(f'\n| {name} | {"TF32" if cut else "float32"} | {error:.1e} | {tolerance:g} |')
  assert error <= tolerance, name


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
