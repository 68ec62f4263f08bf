"""The networks' layers: what convolutions hold, what batch norm computes on one device and on several."""

import numpy as np
import pytest
import tensorflow as tf

from network.common import layers
from tests.network.drawn import value_and_gradient


def normal(*shape, seed=0, mean=0.0):
  return np.random.default_rng(seed).normal(mean, size=shape).astype(np.float32)


def assert_close(a, b, tolerance=1e-5):
  np.testing.assert_allclose(a, b, tolerance, tolerance)


def test_conv_is_a_pure_function_of_seed_and_name():
  def weights(scope, seed):
    return layers.Conv(scope, 16, 32, 3, seed=seed).weights.numpy()

  np.testing.assert_array_equal(weights('a', 0), weights('a', 0))
  assert np.all(weights('a', 0) != weights('a', 1)) and np.all(weights('a', 0) != weights('b', 0))
  limit = np.sqrt(6 / (3 * 3 * 16))
  assert 0.99 * limit < np.max(np.abs(weights('a', 0))) < limit
  assert np.std(weights('a', 0)) == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_low_precision_biases_have_the_gradients_of_float32():
  conv = layers.Conv('plain', 3, 4, 1, activation=None)
  x = tf.cast(normal(4, 32, 32, 3), tf.bfloat16)
  share = tf.constant([0.1, 0.2, 0.7, 1.0])  # of 4096 pixels: far above 256, from where bfloat16 counts in steps of 2
  with tf.GradientTape() as tape:
    y = conv(x)
    loss = tf.reduce_sum(tf.cast(y, tf.float32) * share)
  assert y.dtype == tf.bfloat16
  assert_close(tape.gradient(loss, conv.biases), 4096 * share, 0.01)


def test_float16_means_do_not_overflow():
  x = tf.fill([1, 56, 56, 2], tf.constant(60, tf.float16))
  np.testing.assert_array_equal(layers.average_pool(x, 56, 1), np.full((1, 1, 1, 2), 60))


def batch_norm(channels, decay=0.9):
  norm = layers.BatchNorm('norm', channels, decay)
  norm.gamma.assign(normal(channels, seed=1, mean=1))
  norm.beta.assign(normal(channels, seed=2))
  norm.moving_mean.assign(normal(channels, seed=3))
  norm.moving_variance.assign(1 + normal(channels, seed=4) ** 2)
  return norm


def test_batch_norm_of_one_value_a_channel():
  norm = batch_norm(5)
  old = norm.moving_variance.numpy()
  y, gradient = value_and_gradient(lambda x: norm(x, training=True), normal(1, 1, 1, 5))
  assert_close(y[0, 0, 0], norm.beta)
  assert_close(norm.moving_variance, 0.9 * old)
  assert np.all(np.isfinite(gradient))


def test_low_precision_batch_norm_keeps_float32_statistics():
  norm, reference = batch_norm(5), batch_norm(5)
  x = tf.cast(normal(4, 8, 8, 5, mean=30.0), tf.bfloat16)
  y = norm(x, training=True)
  expected = reference(tf.cast(x, tf.float32), training=True)
  assert y.dtype == tf.bfloat16
  assert_close(tf.cast(y, tf.float32), expected, 0.02)
  assert_close(norm.moving_mean, reference.moving_mean, 1e-4)
  assert_close(norm.moving_variance, reference.moving_variance, 1e-4)


def norm_and_gradients(norm, x, weight):
  """y, and the gradients of sum(weight y^2) for x, gamma and beta."""
  x = tf.convert_to_tensor(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = norm(x, training=True)
    loss = tf.reduce_sum(weight * y * y)
  return y, *tape.gradient(loss, [x, norm.gamma, norm.beta])


@pytest.mark.parametrize('shares', [(2, 2), (1, 3), (2, 1, 1)])
def test_batch_norm_on_several_devices_is_that_of_the_whole_batch(mirrored, shares):
  x, weight = normal(4, 5, 6, 3, mean=10.0), normal(4, 5, 6, 3, seed=9)
  whole = batch_norm(3)
  y, d_x, *d_parameters = norm_and_gradients(whole, x, weight)
  strategy = mirrored(len(shares))
  with strategy.scope():
    norm = batch_norm(3)
  starts = np.cumsum((0, *shares))

  def share(array):
    pick = lambda context: array[slice(*starts[context.replica_id_in_sync_group :][:2])]  # noqa: E731
    return strategy.experimental_distribute_values_from_function(lambda context: tf.constant(pick(context)))

  step = tf.function(lambda *inputs: strategy.run(lambda x, weight: norm_and_gradients(norm, x, weight), inputs))
  results = [strategy.experimental_local_results(result) for result in step(share(x), share(weight))]
  assert_close(np.concatenate(results[0]), y, 1e-4)
  assert_close(np.concatenate(results[1]), d_x, 1e-3)
  for got, expected in zip(results[2:], d_parameters, strict=True):
    assert_close(sum(got), expected, 1e-3)
  for name in ('moving_mean', 'moving_variance'):
    for copy in strategy.experimental_local_results(getattr(norm, name)):
      assert_close(copy, getattr(whole, name), 1e-4)
