"""Convolution of stride 1. On CPUs with a gradient for the weights by matrix products, which is faster.

oneDNN computes this gradient at half to three quarters of the speed at which it multiplies matrices, while the gradient
for the input is as fast as the convolution itself (figures: pyscripts/profile/README.md).
"""

import tensorflow as tf

FEWEST = 256  # channels, in and out, with which k x k products are faster than oneDNN's gradient; 1 x 1 are always


def conv2d(x, weights, rate=1):
  """[N, H, W, in] by [k, k, in, out], k odd -> [N, H, W, out], dilated by `rate`, on (k - 1) / 2 * rate zeros."""
  kernel, _, channels_in, channels = weights.shape
  if tf.config.list_logical_devices('GPU') or (kernel > 1 and min(channels_in, channels) < FEWEST):
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
