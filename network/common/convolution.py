"""Convolution of stride 1, with gradients of its own on CPUs: the weights' by matrix products, which is faster.

oneDNN computes this gradient at half to three quarters of the speed at which it multiplies matrices, while the gradient
for the input is as fast as the convolution itself (figures: pyscripts/profile/README.md). Where TensorFlow leaves
oneDNN off (Macs, CPUs without AVX512), it has no gradients of dilated convolutions at all; these need none.
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
    kernel, _, channels_in, channels = weights.shape
    mirrored = tf.reverse(tf.reshape(weights, [kernel * kernel, channels_in, channels]), [0])
    mirrored = tf.reshape(tf.transpose(mirrored, [0, 2, 1]), [kernel, kernel, channels, channels_in])
    return plain(g, mirrored, rate)
  return tf.raw_ops.Conv2DBackpropInput(
    input_sizes=tf.shape(x),
    filter=weights,
    out_backprop=g,
    strides=[1, 1, 1, 1],
    padding='SAME',
    dilations=[1, rate, rate, 1],
  )


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
