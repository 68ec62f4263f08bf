"""ResNet v1 (He et al. 2016, arXiv 1512.03385) at output stride 8, 16 or 32, with TF-Slim's variable names.

The stride sits in the last unit of blocks 1 to 3, on its 3x3 convolution. A stride that would pass the output stride is
left out, and the blocks after it dilate by as much more instead (Chen et al. 2017, arXiv 1606.00915).
"""

import tensorflow as tf

from network.common.layers import Conv, max_pool_stem

DECAY = 0.9997  # of the backbone's moving averages

UNITS = {  # backbone -> units of its four blocks
  'resnet_v1_101': (3, 4, 23, 3),
  'resnet_v1_50': (3, 4, 6, 3),
  'resnet_v1_14': (1, 1, 1, 1),
}
DEPTHS = (64, 128, 256, 512)  # base depth of the blocks


class Bottleneck(tf.Module):
  """1x1, 3x3 and 1x1 convolution to 4 * depth channels, plus the shortcut, ReLU."""

  def __init__(self, scope, channels_in, depth, stride, rate, seed):
    super().__init__()
    self.stride = stride
    settings = {'batch_norm_decay': DECAY, 'seed': seed}
    self.shortcut = None
    if channels_in != 4 * depth:
      self.shortcut = Conv(f'{scope}/shortcut', channels_in, 4 * depth, 1, stride, activation=None, **settings)
    self.conv1 = Conv(f'{scope}/conv1', channels_in, depth, 1, **settings)
    self.conv2 = Conv(f'{scope}/conv2', depth, depth, 3, stride, rate, **settings)
    self.conv3 = Conv(f'{scope}/conv3', depth, 4 * depth, 1, activation=None, **settings)

  def __call__(self, x, training=False):
    if self.shortcut is not None:
      shortcut = self.shortcut(x, training)
    else:
      shortcut = x if self.stride == 1 else x[:, :: self.stride, :: self.stride]
    x = self.conv3(self.conv2(self.conv1(x, training), training), training)
    return tf.nn.relu(x + shortcut)


class ResNet(tf.Module):
  """[N, H, W, 3] RGB minus MEAN -> ({stride s: the deepest features [N, ceil(H/s), ceil(W/s), channels[s]]}, auxiliary
  features).

  Strides are 2, 4, 8 up to `output_stride`; feature (i, j) sits on pixel (s i, s j). The scope is the backbone's name.
  The auxiliary features are those of block 3, as in PSPNet.
  """

  def __init__(self, backbone='resnet_v1_101', seed=0, output_stride=8):
    super().__init__()
    self.conv1 = Conv(f'{backbone}/conv1', 3, 64, 7, 2, batch_norm_decay=DECAY, seed=seed)
    self.units, self.channels = [], {2: 64, 4: 64}
    stride, rate, channels = 4, 1, 64
    for block, (units, depth) in enumerate(zip(UNITS[backbone], DEPTHS, strict=True), 1):
      for unit in range(1, units + 1):
        last = unit == units and block < len(DEPTHS)  # where the published network strides
        step = 2 if last and stride < output_stride else 1
        scope = f'{backbone}/block{block}/unit_{unit}/bottleneck_v1'
        self.units.append(Bottleneck(scope, channels, depth, step, rate, seed))
        stride, channels = stride * step, 4 * depth
        self.channels[stride] = channels
        rate *= 2 if last and step == 1 else 1
      if block == 3:
        self.auxiliary_unit, self.auxiliary_stride, self.auxiliary_channels = len(self.units) - 1, stride, channels

  def __call__(self, images, training=False):
    x = self.conv1(images, training)
    features, stride = {2: x}, 4
    features[stride] = x = max_pool_stem(x)
    for i, unit in enumerate(self.units):
      stride *= unit.stride
      features[stride] = x = unit(x, training)
      if i == self.auxiliary_unit:
        auxiliary = x
    return features, auxiliary
