"""Convolution of stride 1: its values and gradients are TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from network.common import cpu_gradients, layers
from tests.network.test_depthwise import gradients

CASES = [(1, 1), (3, 1), (3, 2), (3, 6), (5, 3)]


@pytest.fixture(autouse=True)
def products_for_few_channels_too(monkeypatch):
  monkeypatch.setattr(cpu_gradients, 'FEWEST', 0)


def here(x, weights, stride, rate):
  return cpu_gradients.conv2d(x, weights, rate)


def plain(x, weights, stride, rate):
  """By TensorFlow alone, with zeros between the weights: it has no gradients of dilation on every processor."""
  k, _, channels_in, channels = weights.shape
  gaps = [[0, 0], [0, rate - 1]]
  spread = tf.pad(weights[:, tf.newaxis, :, tf.newaxis], [*gaps, *gaps, [0, 0], [0, 0]])
  spread = tf.reshape(spread, [k * rate, k * rate, channels_in, channels])
  return cpu_gradients.plain(x, spread[: k * rate - rate + 1, : k * rate - rate + 1], 1)


def drawn(height, width, kernel, channels_in=3, channels=4):
  random = np.random.default_rng(height * width * kernel)
  shapes = (2, height, width, channels_in), (kernel, kernel, channels_in, channels)
  return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


@pytest.mark.parametrize('size', [(8, 8), (9, 12), (7, 5), (1, 1)])
@pytest.mark.parametrize('channels', [(3, 4), (4, 3)])
@pytest.mark.parametrize(('kernel', 'rate'), CASES)
def test_value_and_gradients_are_those_of_tensorflow(kernel, rate, channels, size):
  x, weights = drawn(*size, kernel, *channels)
  value = here(x, weights, 1, rate)
  np.testing.assert_array_equal(value, cpu_gradients.plain(x, weights, rate))
  np.testing.assert_allclose(value, plain(x, weights, 1, rate), 1e-4, 1e-4)
  expected = gradients(plain, x, weights, 1, rate)
  for got, want in zip(gradients(here, x, weights, 1, rate), expected, strict=True):
    np.testing.assert_allclose(got, want, 1e-4, 1e-4)


@pytest.mark.parametrize(('kernel', 'rate'), CASES)
def test_sizes_may_be_unknown_and_bfloat16_is_float32_rounded(kernel, rate):
  x, weights = drawn(9, 12, kernel)
  specs = [tf.TensorSpec([None, None, None, 3], tf.bfloat16), tf.TensorSpec(weights.shape, tf.bfloat16)]
  function = tf.function(lambda x, weights: gradients(here, x, weights, 1, rate)).get_concrete_function(*specs)
  short = [tf.cast(value, tf.bfloat16) for value in (x, weights)]
  expected = gradients(plain, *(tf.cast(value, tf.float32) for value in short), 1, rate)
  for got, want in zip(function(*short), expected, strict=True):
    assert got.dtype == tf.bfloat16
    error = np.linalg.norm(tf.cast(got, tf.float32) - want) / np.linalg.norm(want)
    assert error < 0.03


BY_TENSORFLOW = {'Conv2DBackpropFilter', 'Conv2DBackpropInput'}


@pytest.mark.parametrize(
  ('fewest', 'rate', 'kinds'),  # of 3 channels in and 4 out
  [
    (3, 1, {'MatMul', 'Conv2DBackpropInput'}),
    (4, 1, BY_TENSORFLOW),
    (4, 2, {'MatMul'}),  # dilated: TensorFlow without oneDNN has neither gradient
  ],
)
def test_which_gradients_are_written_here(fewest, rate, kinds, monkeypatch):
  monkeypatch.setattr(cpu_gradients, 'FEWEST', fewest)
  graph = tf.function(lambda x, w: gradients(here, x, w, 1, rate)).get_concrete_function(*drawn(8, 8, 3)).graph
  assert {op.type for op in graph.get_operations()} & (BY_TENSORFLOW | {'MatMul'}) == kinds


@pytest.mark.parametrize(('unit', 'more'), [(layers.Conv, (3, 4)), (layers.DepthwiseConv, (3,))])
def test_bfloat16_by_float32_rounds_what_the_processor_would_round(unit, more, monkeypatch):
  unit, x = unit('unit', *more, 3), tf.cast(drawn(9, 12, 3)[0], tf.bfloat16)
  results = {}
  for native in (True, False):
    monkeypatch.setattr(cpu_gradients, 'has_bfloat16', lambda native=native: native)
    y, variables = unit(x), unit.trainable_variables
    with tf.GradientTape() as tape:
      tape.watch(x)
      loss = tf.reduce_sum(unit(x) ** 2)
    results[native] = [tf.cast(v, tf.float32) for v in (y, *tape.gradient(loss, [x, *variables]))]
    assert y.dtype == tf.bfloat16
  for got, want in zip(results[False], results[True], strict=True):
    assert np.linalg.norm(got - want) < 0.01 * np.linalg.norm(want)
  rounded = tf.cast(unit.weights, tf.bfloat16)
  exact = unit.convolve(tf.cast(x, tf.float64), tf.cast(rounded, tf.float64))
  got = tf.cast(cpu_gradients.by_float32(unit.convolve, x, rounded), tf.float64)
  np.testing.assert_allclose(got, exact, rtol=2**-8, atol=1e-5)
