"""Depthwise convolution: one filter a channel. On CPUs with gradients and a dilation of its own, which are faster.

TensorFlow's CPU kernels are slow in three places, measured by pyscripts/profile/depthwise.py: the gradient for the
input; the gradient for weights of other than three columns; and dilation, for which space_to_batch copies the features
three times. The remedies here use TensorFlow's own kernels, so that the graph can be saved and exported as any other.
"""

import tensorflow as tf


def depthwise_conv2d(x, weights, stride=1, rate=1):
  """[N, H, W, C] by [k, k, C, 1], k 3 or 5 -> [N, ceil(H / stride), ceil(W / stride), C], dilated by `rate` (stride 1).

  Zeros are padded as in `network.common.layers.Conv`: output (i, j) is centred on input (stride i, stride j).
  """
  if tf.config.list_logical_devices('GPU'):
    return plain(x, weights, stride, rate)
  if rate > 1:
    return dilated(x, weights, rate)
  return undilated(x, weights, stride)


def plain(x, weights, stride=1, rate=1):
  """The same by TensorFlow alone, gradients and dilation included."""
  if stride == 1:
    return tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], 'SAME', dilations=[rate, rate])
  half = weights.shape[0] // 2
  return tf.nn.depthwise_conv2d(padded(x, half, [half, half]), weights, [1, stride, stride, 1], 'VALID')


def padded(x, rows: int, columns):
  """[N, H, W, C] with `rows` rows of zeros above and below, and columns (left, right) of zeros."""
  return tf.pad(x, [[0, 0], [rows, rows], columns, [0, 0]])


def dilated(x, weights, rate):
  """An undilated convolution of the same memory, read as [N, H / rate, rate * (W / rate + margin), rate * C].

  Row `rate i + a`, column `rate j + b`, channel c is read as row i, column (a, j), channel (b, c): `rate` pixels apart
  there is one pixel apart here. Side by side in a row now stand `rate` images; the margin of k // 2 columns of zeros
  keeps each out of the windows of the next.
  """
  n, height, width, channels = (known or given for known, given in zip(x.shape, tf.unstack(tf.shape(x)), strict=True))
  k = weights.shape[0]
  most = max if isinstance(height, int) else tf.maximum
  rows, columns = most(-(-height // rate), k), -(-width // rate) + k // 2
  y = tf.pad(x, [[0, 0], [0, rate * rows - height], [0, rate * columns - width], [0, 0]])
  y = tf.reshape(y, [n, rows, rate * columns, rate * channels])
  y = undilated(y, tf.tile(weights, [1, 1, rate, 1]), 1)
  y = tf.reshape(y, [n, rate * rows, rate * columns, channels])
  return tf.slice(y, [0, 0, 0, 0], [n, height, width, channels])


def undilated(x, weights, stride):
  """`plain` with other gradients."""

  @tf.custom_gradient
  def convolve(x, weights):
    def gradients(g):
      return input_gradient(g, weights, stride, tf.shape(x)), weight_gradient(x, g, weights.shape, stride)

    return plain(x, weights, stride), gradients

  return convolve(x, weights)


def input_gradient(g, weights, stride, size):
  """The convolution of `g` [N, h, w, C], spread by `stride` with zeros between its pixels, by the mirrored weights."""
  if stride > 1:
    n, height, width, channels = tf.unstack(tf.shape(g))
    g = tf.pad(g[:, :, tf.newaxis], [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, (stride - 1) * g.shape[-1]]])
    g = tf.reshape(g, [n, stride * height, stride * width, channels])[:, : size[1], : size[2]]
  return tf.nn.depthwise_conv2d(g, weights[::-1, ::-1], [1, 1, 1, 1], 'SAME')


def weight_gradient(x, g, shape, stride):
  """[k, k, C, 1]. TensorFlow's kernel is fast for three columns: those of 5x5 weights are 0 to 2, and 2 to 4 again."""
  k = shape[0]
  if k == 3 and stride == 1:
    return three_columns(x, g, k, stride, 'SAME')
  if k == 3:
    return three_columns(padded(x, 1, [1, 1]), g, k, stride)
  left, right = (three_columns(padded(x, k // 2, columns), g, k, stride) for columns in ([2, 0], [0, 2]))
  return tf.concat([left, right[:, 1:]], 1)


def three_columns(x, g, rows, stride, padding='VALID'):
  """The gradient for weights [rows, 3, C, 1] of TensorFlow's convolution."""
  return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
    input=x,
    filter_sizes=[rows, 3, x.shape[-1], 1],
    out_backprop=g,
    strides=[1, stride, stride, 1],
    padding=padding,
  )
