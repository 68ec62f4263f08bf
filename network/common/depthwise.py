"""Depthwise convolution: one filter a channel. On CPUs the gradients and the dilation are written here, for speed.

TensorFlow's CPU kernels are slow in three places, measured by pyscripts/profile/depthwise.py: the gradient of the
input; the gradient of weights that are not three columns wide; and dilation, for which space_to_batch copies the
features three times. The code here calls other kernels of TensorFlow, so the graph can be saved and exported.
"""

import tensorflow as tf


def depthwise_conv2d(x, weights, stride=1, rate=1):
  """[N, H, W, C] by [k, k, C, 1], k 3 or 5 -> [N, ceil(H / stride), ceil(W / stride), C], dilated by `rate` (stride 1).

  Zeros are padded as in `network.common.layers.Conv`: output (i, j) is centred on input (stride i, stride j).
  """
  if tf.config.list_logical_devices('GPU'):
    return by_tensorflow(x, weights, stride, rate)
  return dilated(x, weights, rate) if rate > 1 else with_fast_gradients(x, weights, stride)


def by_tensorflow(x, weights, stride=1, rate=1):
  """The same convolution by TensorFlow alone, gradients and dilation included."""
  if stride == 1:
    return tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], 'SAME', dilations=[rate, rate])
  half = weights.shape[0] // 2
  return tf.nn.depthwise_conv2d(zero_pad(x, half, [half, half]), weights, [1, stride, stride, 1], 'VALID')


def zero_pad(x, rows: int, columns):
  """[N, H, W, C] with `rows` rows of zeros above and below, and `columns` (left, right) of zeros beside."""
  return tf.pad(x, [[0, 0], [rows, rows], columns, [0, 0]])


def dilated(x, weights, rate):
  """A dilated convolution as an undilated one of the features reshaped to [N, rows, rate * columns, rate * C].

  Pixel (rate i + a, rate j + b), channel c moves to row i, column (a, j), channel (b, c), so pixels that are `rate`
  apart become neighbours. A row then holds `rate` images side by side; k // 2 columns of zeros keep them apart.
  """
  dynamic = tf.unstack(tf.shape(x))
  n, height, width, channels = (x.shape[i] or dynamic[i] for i in range(4))
  k = weights.shape[0]
  maximum = max if isinstance(height, int) else tf.maximum
  rows, columns = maximum(-(-height // rate), k), -(-width // rate) + k // 2
  y = tf.pad(x, [[0, 0], [0, rate * rows - height], [0, rate * columns - width], [0, 0]])
  y = tf.reshape(y, [n, rows, rate * columns, rate * channels])
  y = with_fast_gradients(y, tf.tile(weights, [1, 1, rate, 1]), 1)
  y = tf.reshape(y, [n, rate * rows, rate * columns, channels])
  return tf.slice(y, [0, 0, 0, 0], [n, height, width, channels])


def with_fast_gradients(x, weights, stride):
  """The undilated convolution, with the gradients below instead of TensorFlow's."""

  @tf.custom_gradient
  def convolve(x, weights):
    def gradients(g):
      return input_gradient(g, weights, stride, tf.shape(x)), weight_gradient(x, g, weights.shape, stride)

    return by_tensorflow(x, weights, stride), gradients

  return convolve(x, weights)


def input_gradient(g, weights, stride, size):
  """The output's gradient `g` [N, h, w, C], with stride - 1 zeros between pixels, convolved with mirrored weights."""
  if stride > 1:
    n, height, width, channels = tf.unstack(tf.shape(g))
    g = tf.pad(g[:, :, tf.newaxis], [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, (stride - 1) * g.shape[-1]]])
    g = tf.reshape(g, [n, stride * height, stride * width, channels])[:, : size[1], : size[2]]
  return tf.nn.depthwise_conv2d(g, weights[::-1, ::-1], [1, 1, 1, 1], 'SAME')


def weight_gradient(x, g, shape, stride):
  """[k, k, C, 1]. TensorFlow's kernel is fast for three columns, so columns 0-2 and 2-4 of 5x5 weights go apart."""
  k = shape[0]
  if k == 3 and stride == 1:
    return three_column_gradient(x, g, k, stride, 'SAME')
  if k == 3:
    return three_column_gradient(zero_pad(x, 1, [1, 1]), g, k, stride)
  left, right = (three_column_gradient(zero_pad(x, k // 2, columns), g, k, stride) for columns in ([2, 0], [0, 2]))
  return tf.concat([left, right[:, 1:]], 1)


def three_column_gradient(x, g, rows, stride, padding='VALID'):
  """TensorFlow's gradient of weights [rows, 3, C, 1]."""
  return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
    input=x,
    filter_sizes=[rows, 3, x.shape[-1], 1],
    out_backprop=g,
    strides=[1, stride, stride, 1],
    padding=padding,
  )
