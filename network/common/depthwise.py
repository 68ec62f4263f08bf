"""Depthwise convolution: one filter a channel."""

import tensorflow as tf


def depthwise_conv2d(x, weights, stride=1, rate=1):
  """[N, H, W, C] by [k, k, C, 1] -> [N, ceil(H / stride), ceil(W / stride), C], dilated by `rate` (at stride 1 alone).

  Zeros are padded as in `network.common.layers.Conv`: output (i, j) is centred on input (stride i, stride j).
  """
  if stride == 1:
    return tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], 'SAME', dilations=[rate, rate])
  padding = weights.shape[0] - 1
  pad = [padding // 2, padding - padding // 2]
  return tf.nn.depthwise_conv2d(tf.pad(x, [[0, 0], pad, pad, [0, 0]]), weights, [1, stride, stride, 1], 'VALID')
