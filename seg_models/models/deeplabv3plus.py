"""DeepLabv3+: separable atrous spatial pyramid pooling and a decoder (Chen et al. 2018, arXiv 1802.02611)."""

import tensorflow as tf

from network.common.layers import Conv, DepthwiseConv, average_pool, resize_bilinear
from seg_models.models.base import HEAD_DECAY, SegmentationModel

RATES = (6, 12, 18)  # at output stride 16; twice these at 8
LOW_LEVEL_CHANNELS = 48  # of the features at stride 4, in the decoder


class DeepLabV3Plus(SegmentationModel):
  """Features by a 1x1 conv, by three separable atrous 3x3 convs and by their mean over the image, concatenated and
  reduced by a 1x1 conv; resized to stride 4; concatenated with 48 channels of the features there; two separable 3x3
  convs; 1x1 conv to classes at stride 4.

  These layers have 256 channels as in the paper; on backbones whose deepest features have fewer than 1024, 128, since
  256 would cost more than the backbone.
  """

  name_of_model = 'deeplabv3plus'

  def build_head(self, scope, channels, num_classes, seed):
    scope, deep = f'{scope}/block5', channels[self.output_stride]
    width = 256 if deep >= 1024 else 128
    settings = {'batch_norm_decay': HEAD_DECAY, 'seed': seed}
    self.branches = [Conv(f'{scope}/aspp/conv1x1', deep, width, 1, **settings)]
    for i, rate in enumerate(RATES):
      dilation = rate * 16 // self.output_stride
      self.branches.append(SeparableConv(f'{scope}/aspp/atrous{i}', deep, width, dilation, **settings))
    self.pool = Conv(f'{scope}/aspp/pool', deep, width, 1, **settings)
    self.reduce = Conv(f'{scope}/aspp/reduce', width * (len(self.branches) + 1), width, 1, **settings)
    self.low_level = Conv(f'{scope}/decoder/low_level', channels[self.logits_stride], LOW_LEVEL_CHANNELS, 1, **settings)
    self.refine = [
      SeparableConv(f'{scope}/decoder/conv1', width + LOW_LEVEL_CHANNELS, width, 1, **settings),
      SeparableConv(f'{scope}/decoder/conv2', width, width, 1, **settings),
    ]
    self.classifier = Conv(f'{scope}/fc1_voc12', width, num_classes, 1, activation=None, seed=seed)

  def head(self, features, training):
    x, low_level = features[self.output_stride], features[self.logits_stride]
    pooled = self.pool(average_pool(x, x.shape[1:3], 1), training)
    branches = [branch(x, training) for branch in self.branches]
    branches.append(tf.broadcast_to(pooled, tf.shape(branches[0])))
    x = self.reduce(tf.concat(branches, -1), training)
    x = tf.cast(resize_bilinear(x, low_level.shape[1:3]), x.dtype)
    x = tf.concat([x, self.low_level(low_level, training)], -1)
    for conv in self.refine:
      x = conv(x, training)
    return self.classifier(x)


class SeparableConv(tf.Module):
  """3x3 depthwise convolution, dilated by `rate`, then 1x1 convolution, each with batch norm and ReLU."""

  def __init__(self, scope, channels_in, channels, rate, **settings):
    super().__init__()
    self.depthwise = DepthwiseConv(f'{scope}/depthwise', channels_in, 3, rate=rate, **settings)
    self.pointwise = Conv(f'{scope}/pointwise', channels_in, channels, 1, **settings)

  def __call__(self, x, training=False):
    return self.pointwise(self.depthwise(x, training), training)
