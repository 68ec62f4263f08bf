"""Convolution of stride 1: its values and gradients are TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from network.common import convolution
from tests.network.test_depthwise import gradients

CASES = [(1, 1), (3, 1), (3, 2), (3, 6), (5, 3)]


@pytest.fixture(autouse=True)
def products_for_few_channels_too(monkeypatch):
  monkeypatch.setattr(convolution, 'FEWEST', 0)


def here(x, weights, stride, rate):
  return convolution.conv2d(x, weights, rate)


def plain(x, weights, stride, rate):
  return convolution.plain(x, weights, rate)


def drawn(height, width, kernel, channels_in=3, channels=4):
  random = np.random.default_rng(height * width * kernel)
  shapes = (2, height, width, channels_in), (kernel, kernel, channels_in, channels)
  return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


@pytest.mark.parametrize('size', [(8, 8), (9, 12), (7, 5), (1, 1)])
@pytest.mark.parametrize('channels', [(3, 4), (4, 3)])
@pytest.mark.parametrize(('kernel', 'rate'), CASES)
def test_value_and_gradients_are_those_of_tensorflow(kernel, rate, channels, size):
  x, weights = drawn(*size, kernel, *channels)
  np.testing.assert_array_equal(here(x, weights, 1, rate), plain(x, weights, 1, rate))
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


def test_the_weight_gradient_is_a_matrix_product(monkeypatch):
  kinds = set()
  for fewest in (3, 4):  # of 3 channels in and 4 out
    monkeypatch.setattr(convolution, 'FEWEST', fewest)
    graph = tf.function(lambda x, w: gradients(here, x, w, 1, 1)).get_concrete_function(*drawn(8, 8, 3)).graph
    kinds.add(tuple(sorted({op.type for op in graph.get_operations()} & {'MatMul', 'Conv2DBackpropFilter'})))
  assert kinds == {('MatMul',), ('Conv2DBackpropFilter',)}
