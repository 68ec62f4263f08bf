"""ResNet v1 (He et al. 2016, arXiv 1512.03385) at output stride 8, with TF-Slim's variable names.

The stride sits in the last unit of a block, on its 3x3 convolution. Blocks 3 and 4 keep the resolution and dilate by 2
and 4 instead (Chen et al. 2017, arXiv 1606.00915).
"""

import tensorflow as tf

from .layers import Conv, max_pool_stem, subsample

DECAY = 0.9997  # of the backbone's moving averages

UNITS = {  # backbone -> units of its four blocks
  'resnet_v1_101': (3, 4, 23, 3),
  'resnet_v1_50': (3, 4, 6, 3),
  'resnet_v1_14': (1, 1, 1, 1),
}
BLOCKS = ((64, 2, 1), (128, 1, 1), (256, 1, 2), (512, 1, 4))  # base depth, stride of the last unit, rate


class Bottleneck(tf.Module):
  """1x1, 3x3 and 1x1 convolution to 4 * depth channels, plus the shortcut, ReLU."""

  def __init__(self, scope, channels_in, depth, stride, rate, seed):
    super().__init__()
    self.stride = stride
    settings = {'batch_norm_decay': DECAY, 'seed': seed}
    self.shortcut = None
    if channels_in != 4 * depth:
      self.shortcut = Conv(f'{scope}/shortcut', channels_in, 4 * depth, 1, stride, relu=False, **settings)
    self.conv1 = Conv(f'{scope}/conv1', channels_in, depth, 1, **settings)
    self.conv2 = Conv(f'{scope}/conv2', depth, depth, 3, stride, rate, **settings)
    self.conv3 = Conv(f'{scope}/conv3', depth, 4 * depth, 1, relu=False, **settings)

  def __call__(self, x, training=False):
    shortcut = subsample(x, self.stride) if self.shortcut is None else self.shortcut(x, training)
    x = self.conv3(self.conv2(self.conv1(x, training), training), training)
    return tf.nn.relu(x + shortcut)


class ResNet(tf.Module):
  """[N, H, W, 3] RGB minus the mean -> features [N, ceil(H/8), ceil(W/8), 2048]. The scope is the backbone's name."""

  channels = 4 * BLOCKS[-1][0]

  def __init__(self, backbone='resnet_v1_101', seed=0):
    super().__init__()
    self.scope = backbone
    self.conv1 = Conv(f'{backbone}/conv1', 3, 64, 7, 2, batch_norm_decay=DECAY, seed=seed)
    self.units, channels = [], 64
    for block, (units, (depth, stride, rate)) in enumerate(zip(UNITS[backbone], BLOCKS, strict=True), 1):
      for unit in range(1, units + 1):
        scope = f'{backbone}/block{block}/unit_{unit}/bottleneck_v1'
        self.units.append(Bottleneck(scope, channels, depth, stride if unit == units else 1, rate, seed))
        channels = 4 * depth

  def __call__(self, images, training=False):
    x = max_pool_stem(self.conv1(images, training))
    for unit in self.units:
      x = unit(x, training)
    return x
