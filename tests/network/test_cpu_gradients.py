"""Convolutions, with gradients of their own on CPUs: values and gradients are TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from network.common import cpu_gradients, layers

DENSE = [('conv', k, 1, rate) for k, rate in ((1, 1), (3, 1), (3, 2), (3, 6), (5, 3))]
DENSE += [('conv', k, stride, 1) for k, stride in ((1, 2), (3, 2), (3, 4), (7, 2))]
DEPTHWISE = [('depthwise', k, stride, 1) for k in (3, 5) for stride in (1, 2)]
DEPTHWISE += [('depthwise', k, 1, rate) for k, rate in ((3, 2), (5, 2), (3, 6), (3, 18), (5, 4))]
SIZES = [(8, 8), (9, 12), (7, 5), (1, 1)]
CHANNELS = {'conv': [(3, 4), (4, 3)], 'depthwise': [(3, 1)]}
BY_TENSORFLOW = {'Conv2DBackpropFilter', 'Conv2DBackpropInput'}


@pytest.fixture(autouse=True)
def products_for_few_channels_too(monkeypatch):
  monkeypatch.setattr(cpu_gradients, 'FEWEST', 0)


def here(kind, x, weights, stride, rate):
  if kind == 'conv':
    return layers.conv2d(x, weights, stride, rate)
  return cpu_gradients.depthwise_conv2d(x, weights, stride, rate)


def plain(kind, x, weights, stride, rate):
  """By TensorFlow's dense convolution alone, with zeros between the weights for the dilation and zeros around x: output
  (i, j) is centred on (stride i, stride j). It has no gradients of dilation on every processor."""
  weights = weights * tf.eye(weights.shape[2]) if kind == 'depthwise' else weights
  k, _, channels_in, channels = weights.shape
  gaps, side = [[0, 0], [0, rate - 1]], (k - 1) * rate + 1
  spread = tf.pad(weights[:, tf.newaxis, :, tf.newaxis], [*gaps, *gaps, [0, 0], [0, 0]])
  spread = tf.reshape(spread, [k * rate, k * rate, channels_in, channels])[:side, :side]
  around = [side // 2, side // 2]
  return tf.nn.conv2d(tf.pad(x, [[0, 0], around, around, [0, 0]]), spread, stride, 'VALID')


def drawn(size, kernel, channels):
  random = np.random.default_rng(kernel)
  shapes = (2, *size, channels[0]), (kernel, kernel, *channels)
  return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


def value_and_gradients(convolve, case, x, weights):
  kind, _, stride, rate = case
  with tf.GradientTape() as tape:
    tape.watch([x, weights])
    y = convolve(kind, x, weights, stride, rate)
    loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
  return y, *tape.gradient(loss, [x, weights])


@pytest.mark.parametrize('case', [*DENSE, *DEPTHWISE])
def test_value_and_gradients_are_those_of_tensorflow(case):
  """Also in a graph that does not know the size of the image."""
  kind, kernel, *_ = case
  for channels in CHANNELS[kind]:
    specs = [tf.TensorSpec([None, None, None, channels[0]]), tf.TensorSpec([kernel, kernel, *channels])]
    graph = tf.function(lambda x, weights: value_and_gradients(here, case, x, weights), input_signature=specs)
    for size in SIZES:
      x, weights = drawn(size, kernel, channels)
      expected = value_and_gradients(plain, case, x, weights)
      for got in (value_and_gradients(here, case, x, weights), graph(x, weights)):
        for one, other in zip(got, expected, strict=True):
          np.testing.assert_allclose(one, other, 1e-4, 1e-4)


@pytest.mark.parametrize('case', [*DENSE, *DEPTHWISE[:4], DEPTHWISE[5]])
def test_bfloat16_is_float32_rounded(case):
  short = [tf.cast(value, tf.bfloat16) for value in drawn((9, 12), case[1], CHANNELS[case[0]][0])]
  expected = value_and_gradients(plain, case, *(tf.cast(value, tf.float32) for value in short))
  for got, want in zip(value_and_gradients(here, case, *short), expected, strict=True):
    assert got.dtype == tf.bfloat16
    assert np.linalg.norm(tf.cast(got, tf.float32) - want) < 0.03 * np.linalg.norm(want)


@pytest.mark.parametrize(('rate', 'used'), [(1, {'Conv2DBackpropInput'}), (2, set())])
def test_dilation_needs_no_gradient_of_tensorflow(rate, used):
  """Without oneDNN there is none."""
  inputs = drawn((8, 8), 3, (3, 4))
  function = tf.function(lambda *x: value_and_gradients(here, ('conv', 3, 1, rate), *x))
  operations = function.get_concrete_function(*inputs).graph.get_operations()
  assert {op.type for op in operations} & BY_TENSORFLOW == used


@pytest.mark.parametrize(('unit', 'more'), [(layers.Conv, (3, 4)), (layers.DepthwiseConv, (3,))])
def test_bfloat16_by_float32_rounds_what_the_processor_would_round(unit, more, monkeypatch):
  unit, x = unit('unit', *more, 3), tf.cast(drawn((9, 12), 3, (3, 4))[0], tf.bfloat16)
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
