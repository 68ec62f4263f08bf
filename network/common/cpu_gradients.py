"""Convolutions with gradients of their own on CPUs, for speed; on GPUs they are TensorFlow's.

Convolution of stride 1: oneDNN computes the gradient of the weights at half to three quarters of the speed at which it
multiplies matrices, while the gradient for the input is as fast as the convolution itself (figures:
pyscripts/profile/README.md). So it is matrix products here. Where TensorFlow leaves oneDNN off (Macs, CPUs without
AVX512), it has no gradients of dilated convolutions at all; these need none.

Depthwise convolution, one filter per channel: TensorFlow's CPU kernels are slow in three places: the gradient of the
input; the gradient of weights that are not three columns wide; and dilation, for which space_to_batch copies the
features three times. The code here calls other kernels of TensorFlow, so the graph can be saved and exported.
"""

import functools
import pathlib

import tensorflow as tf

FEWEST = 256  # channels, in and out, with which k x k products are faster than oneDNN's gradient; 1 x 1 are always


def conv2d(x, weights, rate=1):
  """[N, H, W, in] by [k, k, in, out], k odd -> [N, H, W, out], dilated by `rate`, on (k - 1) / 2 * rate zeros."""
  kernel, _, channels_in, channels = weights.shape
  few = kernel > 1 and min(channels_in, channels) < FEWEST
  if tf.config.list_logical_devices('GPU') or (few and rate == 1):
    return plain(x, weights, rate)

  @tf.custom_gradient
  def convolve(x, weights):
    def gradients(g):
      return input_gradient(x, weights, g, rate), weight_gradient(x, g, kernel, rate)

    return plain(x, weights, rate), gradients

  return convolve(x, weights)


def plain(x, weights, rate):
  """The same by TensorFlow alone, gradients included."""
  return tf.nn.conv2d(x, weights, 1, 'SAME', dilations=rate)


def input_gradient(x, weights, g, rate):
  """The gradient of `x`. Of a dilated convolution: `g` convolved with the weights mirrored and transposed."""
  if rate > 1:
    return plain(g, tf.transpose(tf.reverse(weights, [0, 1]), [0, 1, 3, 2]), rate)
  return tf.nn.conv2d_transpose(g, weights, tf.shape(x), strides=1, padding='SAME')


def weight_gradient(x, g, kernel, rate):
  """[k, k, in, out]: for each weight the features that it met, [in, pixels], times g, [pixels, out].

  In float32 the smaller of the two is the one to transpose, so with more channels in than out [out, in] is computed.
  """
  channels_in, channels = x.shape[-1], g.shape[-1]
  margin = kernel // 2 * rate
  _, height, width, _ = tf.unstack(tf.shape(g))
  padded = tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]]) if margin else x
  flat = tf.reshape(g, [-1, channels])
  turned = x.dtype == tf.float32 and channels_in > channels
  products = []
  for i in range(0, kernel * rate, rate):
    for j in range(0, kernel * rate, rate):
      met = padded[:, i : i + height, j : j + width] if margin else padded
      met = tf.reshape(met, [-1, channels_in])
      products.append(tf.matmul(flat, met, transpose_a=True) if turned else tf.matmul(met, flat, transpose_a=True))
  products = tf.transpose(products, [0, 2, 1]) if turned else tf.stack(products)
  return tf.reshape(products, [kernel, kernel, channels_in, channels])


@functools.cache
def has_bfloat16() -> bool:
  """Whether the processor multiplies bfloat16: GPUs, and CPUs with AVX512-BF16 or AMX (as bashscripts/precision.sh)."""
  if tf.config.list_logical_devices('GPU'):
    return True
  flags = pathlib.Path('/proc/cpuinfo')
  return flags.exists() and bool({'avx512_bf16', 'amx_bf16'} & set(flags.read_text().split()))


def by_float32(convolve, x, weights):
  """`convolve(x, weights)` of bfloat16 by products of float32, rounded at the end, as processors with bfloat16 do it.

  For the others: TensorFlow's kernels for bfloat16 are several times slower there than those for float32.
  """
  return tf.cast(convolve(tf.cast(x, tf.float32), tf.cast(weights, tf.float32)), tf.bfloat16)


def depthwise_conv2d(x, weights, stride=1, rate=1):
  """[N, H, W, C] by [k, k, C, 1], k 3 or 5 -> [N, ceil(H / stride), ceil(W / stride), C], dilated by `rate` (stride 1).

  Zeros are padded as in `network.common.layers.Conv`: output (i, j) is centred on input (stride i, stride j).
  """
  if tf.config.list_logical_devices('GPU'):
    return depthwise_by_tensorflow(x, weights, stride, rate)
  return depthwise_dilated(x, weights, rate) if rate > 1 else depthwise_with_fast_gradients(x, weights, stride)


def depthwise_by_tensorflow(x, weights, stride=1, rate=1):
  """The same convolution by TensorFlow alone, gradients and dilation included."""
  if stride == 1:
    return tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], 'SAME', dilations=[rate, rate])
  half = weights.shape[0] // 2
  return tf.nn.depthwise_conv2d(zero_pad(x, half, [half, half]), weights, [1, stride, stride, 1], 'VALID')


def zero_pad(x, rows: int, columns):
  """[N, H, W, C] with `rows` rows of zeros above and below, and `columns` (left, right) of zeros beside."""
  return tf.pad(x, [[0, 0], [rows, rows], columns, [0, 0]])


def depthwise_dilated(x, weights, rate):
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
  y = depthwise_with_fast_gradients(y, tf.tile(weights, [1, 1, rate, 1]), 1)
  y = tf.reshape(y, [n, rate * rows, rate * columns, channels])
  return tf.slice(y, [0, 0, 0, 0], [n, height, width, channels])


def depthwise_with_fast_gradients(x, weights, stride):
  """The undilated convolution, with the gradients below instead of TensorFlow's."""

  @tf.custom_gradient
  def convolve(x, weights):
    def gradients(g):
      d_x = depthwise_input_gradient(g, weights, stride, tf.shape(x))
      return d_x, depthwise_weight_gradient(x, g, weights.shape, stride)

    return depthwise_by_tensorflow(x, weights, stride), gradients

  return convolve(x, weights)


def depthwise_input_gradient(g, weights, stride, size):
  """The output's gradient `g` [N, h, w, C], with stride - 1 zeros between pixels, convolved with mirrored weights."""
  if stride > 1:
    n, height, width, channels = tf.unstack(tf.shape(g))
    g = tf.pad(g[:, :, tf.newaxis], [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, (stride - 1) * g.shape[-1]]])
    g = tf.reshape(g, [n, stride * height, stride * width, channels])[:, : size[1], : size[2]]
  return tf.nn.depthwise_conv2d(g, weights[::-1, ::-1], [1, 1, 1, 1], 'SAME')


def depthwise_weight_gradient(x, g, shape, stride):
  """[k, k, C, 1]. TensorFlow's kernel is fast for three columns, so columns 0-2 and 2-4 of 5x5 weights go apart."""
  k, _, channels, _ = shape
  of_tensorflow = functools.partial(
    tf.raw_ops.DepthwiseConv2dNativeBackpropFilter,
    filter_sizes=[k, 3, channels, 1],
    out_backprop=g,
    strides=[1, stride, stride, 1],
  )
  if k == 3 and stride == 1:
    return of_tensorflow(input=x, padding='SAME')
  if k == 3:
    return of_tensorflow(input=zero_pad(x, 1, [1, 1]), padding='VALID')
  left, right = (of_tensorflow(input=zero_pad(x, k // 2, columns), padding='VALID') for columns in ([2, 0], [0, 2]))
  return tf.concat([left, right[:, 1:]], 1)
