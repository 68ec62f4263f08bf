"""EfficientNet-Lite 0 to 2 at output stride 8, 16 or 32: EfficientNet (Tan and Le 2019, arXiv 1905.11946) without
squeeze-and-excite, with ReLU6, and with a stem that no multiplier scales (as published by Google in 2020).

Padding differs from the published network on even sides. There TensorFlow's SAME puts no zero before a strided 3x3
convolution, so features sit on pixel s i + s - 1; here they sit on s i on all sizes, where labels and resizing expect
them. On sides of 32 m + 1 pixels every strided convolution sees an odd side, and both networks are equal.
"""

import math

import tensorflow as tf

from network.common.layers import MEAN, Conv, DepthwiseConv

DECAY = 0.99  # of the moving averages
STEM = 32  # channels
OFFSET = [mean - 127 for mean in MEAN]  # turns images minus MEAN into images minus 127
STAGES = (  # blocks, kernel, stride, expansion, channels
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
MULTIPLIERS = {  # backbone -> width (channels), depth (blocks of a stage)
  'efficientnet_lite0': (1.0, 1.0),
  'efficientnet_lite1': (1.0, 1.1),
  'efficientnet_lite2': (1.1, 1.2),
}


class InvertedBottleneck(tf.Module):
  """1x1 convolution to `expansion` times the channels, depthwise convolution, linear 1x1 convolution; plus the input
  where the channels are the same (Sandler et al. 2018, arXiv 1801.04381)."""

  def __init__(self, scope, channels_in, channels, kernel, expansion, stride, rate, seed):
    super().__init__()
    self.stride, self.residual = stride, channels_in == channels
    settings = {'batch_norm_decay': DECAY, 'seed': seed}
    inside = expansion * channels_in
    relu6 = {'activation': tf.nn.relu6, **settings}
    self.expand = Conv(f'{scope}/expand', channels_in, inside, 1, **relu6) if expansion > 1 else None
    self.depthwise = DepthwiseConv(f'{scope}/depthwise', inside, kernel, stride, rate, **relu6)
    self.project = Conv(f'{scope}/project', inside, channels, 1, activation=None, **settings)

  def __call__(self, x, training=False):
    y = x if self.expand is None else self.expand(x, training)
    y = self.project(self.depthwise(y, training), training)
    return x + y if self.residual else y


class EfficientNetLite(tf.Module):
  """[N, H, W, 3] RGB minus MEAN -> ({stride s: the deepest features [N, ceil(H/s), ceil(W/s), channels[s]]}, auxiliary
  features).

  Strides are 2, 4, 8 up to `output_stride`; feature (i, j) sits on pixel (s i, s j). A stride that would pass the
  output stride is left out, and the depthwise convolutions after it dilate by twice as much instead. The scope is the
  backbone's name. The classifier and the 1x1 convolution before it are left out. The auxiliary features are those of
  stage 5, the last at stride 16 of the published network (of 112 or 120 channels), as those of ResNet's block 3 are.
  """

  def __init__(self, backbone='efficientnet_lite0', seed=0, output_stride=8):
    super().__init__()
    self.stem = Conv(f'{backbone}/stem', 3, STEM, 3, 2, batch_norm_decay=DECAY, activation=tf.nn.relu6, seed=seed)
    self.blocks, self.channels = [], {}
    stride, rate, channels = 2, 1, STEM
    for stage, (blocks, kernel, step, expansion, width) in enumerate(stages(*MULTIPLIERS[backbone]), 1):
      dropped = stride * step > output_stride
      for block in range(blocks):
        scope = f'{backbone}/blocks_{len(self.blocks)}'
        block_step = step if block == 0 and not dropped else 1
        self.blocks.append(InvertedBottleneck(scope, channels, width, kernel, expansion, block_step, rate, seed))
        stride, channels = stride * block_step, width
        rate *= step if block == 0 and dropped else 1
      self.channels[stride] = channels
      if stage == 5:
        self.auxiliary_block, self.auxiliary_stride, self.auxiliary_channels = len(self.blocks) - 1, stride, channels

  def __call__(self, images, training=False):
    features, stride = {}, 2
    # The published network takes (RGB - 127) / 128.
    x = self.stem((images + tf.constant(OFFSET, images.dtype)) / 128, training)
    for i, block in enumerate(self.blocks):
      stride *= block.stride
      features[stride] = x = block(x, training)
      if i == self.auxiliary_block:
        auxiliary = x
    return features, auxiliary


def stages(width: float, depth: float):
  """STAGES with multiplied channels and blocks. Channels are rounded to a multiple of 8, not down by more than a tenth;
  blocks are rounded up, and those of the first and the last stage stay."""
  for i, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
    blocks = math.ceil(depth * blocks) if 0 < i < len(STAGES) - 1 else blocks
    rounded = max(8, int(width * channels + 4) // 8 * 8)
    rounded += 8 if rounded < 0.9 * width * channels else 0
    yield blocks, kernel, stride, expansion, rounded
