"""Depthwise convolution against a slow reading of its definition, and its gradients against TensorFlow's own."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from network.common.cpu_gradients import depthwise_by_tensorflow, depthwise_conv2d

CASES = [(3, 1, 1), (5, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 1, 2), (3, 1, 6), (3, 1, 18), (5, 1, 4)]
SIZES = [(8, 8), (9, 12), (7, 5), (1, 1)]


def random_inputs(height, width, k, channels=3):
  random = np.random.default_rng(height * width * k)
  x = random.normal(size=(2, height, width, channels)).astype(np.float32)
  return x, random.normal(size=(k, k, channels, 1)).astype(np.float32)


def slow(x, weights, stride, rate):
  """Output (i, j) is the weighted sum of the pixels about (stride i, stride j), `rate` apart; outside is zero."""
  k, height, width = weights.shape[0], *x.shape[1:3]
  out = np.zeros((x.shape[0], -(-height // stride), -(-width // stride), x.shape[-1]))
  for i, j, a, b in np.ndindex(*out.shape[1:3], k, k):
    row, column = stride * i + rate * (a - k // 2), stride * j + rate * (b - k // 2)
    if 0 <= row < height and 0 <= column < width:
      out[:, i, j] += x[:, row, column] * weights[a, b, :, 0]
  return out


@pytest.mark.parametrize(('k', 'stride', 'rate'), CASES)
def test_equals_its_definition(k, stride, rate):
  for size in SIZES:
    x, weights = random_inputs(*size, k)
    np.testing.assert_allclose(depthwise_conv2d(x, weights, stride, rate), slow(x, weights, stride, rate), 1e-4, 1e-4)


def gradients(convolve, x, weights, stride, rate):
  x, weights = tf.convert_to_tensor(x), tf.convert_to_tensor(weights)
  with tf.GradientTape() as tape:
    tape.watch([x, weights])
    y = convolve(x, weights, stride, rate)
    loss = tf.reduce_sum(tf.sin(y))
  return tape.gradient(loss, [x, weights])


@pytest.mark.parametrize(('k', 'stride', 'rate'), CASES)
def test_gradients_are_those_of_tensorflow(k, stride, rate):
  """Also in a graph that does not know the size of the image."""
  eager = functools.partial(gradients, depthwise_conv2d, stride=stride, rate=rate)
  graph = tf.function(eager, input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([k, k, 3, 1])])
  for size in SIZES[:3]:
    x, weights = random_inputs(*size, k)
    expected = gradients(depthwise_by_tensorflow, x, weights, stride, rate)
    for function in (eager, graph):
      for got, want in zip(function(x, weights), expected, strict=True):
        np.testing.assert_allclose(got, want, 1e-4, 1e-4)


@pytest.mark.parametrize(('k', 'stride', 'rate'), [(3, 1, 1), (5, 2, 1), (5, 1, 2)])
def test_bfloat16_is_float32_rounded(k, stride, rate):
  x, weights = (tf.cast(value, tf.bfloat16) for value in random_inputs(9, 12, k))
  y = depthwise_conv2d(x, weights, stride, rate)
  full = depthwise_conv2d(tf.cast(x, tf.float32), tf.cast(weights, tf.float32), stride, rate)
  assert y.dtype == tf.bfloat16
  np.testing.assert_allclose(tf.cast(y, tf.float32), full, 0.05, 0.05)
