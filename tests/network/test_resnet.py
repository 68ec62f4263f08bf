"""ResNet v1: its features lie on every eighth pixel, and its variables have TF-Slim's names."""

import numpy as np
import pytest
import tensorflow as tf

from network.common.resnet_v1 import ResNet
from tests import recorded


def names(variables):
  return {variable.name.removesuffix(':0') for variable in variables}


@pytest.fixture(scope='module')
def network():
  """All kinds of layers in their order, with biases that hide no padding error."""
  network = ResNet('resnet_v1_14')
  for variable in network.variables:
    if variable.name.endswith(('beta:0', 'moving_mean:0')):
      variable.assign(recorded.weights(variable.name, tuple(variable.shape)))
  return network


@pytest.mark.parametrize('size', [(8, 8), (40, 56), (33, 47)])
def test_features_have_an_eighth_of_the_size(network, size):
  shape = network(tf.zeros([2, *size, 3])).shape
  assert shape == (2, -(-size[0] // 8), -(-size[1] // 8), network.channels)


def test_an_image_and_its_mirror_image_have_mirrored_features(network):
  """At an odd multiple of 8 plus 1 the first and the last feature lie on the first and the last pixel, so mirrored
  weights give the mirrored features; with any other padding than a symmetric one they would not."""
  image = np.random.default_rng(0).normal(scale=50, size=(1, 41, 57, 3)).astype(np.float32)
  features = network(image)
  kernels = [v for v in network.trainable_variables if v.shape.rank == 4 and v.shape[0] > 1]
  for kernel in kernels:
    kernel.assign(kernel[::-1, ::-1])
  mirrored = network(image[:, ::-1, ::-1])[:, ::-1, ::-1]
  for kernel in kernels:
    kernel.assign(kernel[::-1, ::-1])
  np.testing.assert_allclose(mirrored, features, 1e-3, 1e-3 * float(tf.math.reduce_std(features)))


def test_an_image_moved_by_eight_pixels_moves_its_features_by_one(network):
  image = np.zeros([1, 256, 256, 3], np.float32)
  image[:, 96:152, 96:152] = np.random.default_rng(0).normal(scale=50, size=(1, 56, 56, 3))
  features = network(image).numpy()
  moved = network(np.roll(image, (8, 16), (1, 2))).numpy()
  inside = slice(10, 22)  # the receptive field of these ends before the border
  np.testing.assert_allclose(
    np.roll(moved, (-1, -2), (1, 2))[:, inside, inside], features[:, inside, inside], 1e-3, 1e-3
  )


def test_resnet_50_has_the_names_of_resnet_101_up_to_six_units_in_block_3():
  listed = recorded.variables('fcn8s')
  expected = {name.replace('101', '50', 1) for name in listed if 'block5' not in name}
  beyond = [f'/block3/unit_{unit}/' for unit in range(7, 24)]
  assert names(ResNet('resnet_v1_50').variables) == {n for n in expected if not any(part in n for part in beyond)}


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
