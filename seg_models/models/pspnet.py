"""PSPNet: pyramid pooling on a dilated ResNet (Zhao et al. 2017, arXiv 1612.01105)."""

import tensorflow as tf

from network.common.layers import Conv, average_pool, resize_bilinear
from seg_models.models.base import HEAD_DECAY, SegmentationModel

BINS = (1, 2, 3, 6)


class PSPNet(SegmentationModel):
  """Features averaged over 1, 2, 3 and 6 bins per side, each 1x1 conv 512 and resized back; all concatenated, in the
  order bins 1, 2, 3, 6, features; 3x3 conv 512; 1x1 conv to classes. Takes square images of a multiple of 48
  (at output stride 8)."""

  name_of_model = 'pspnet'

  def build_head(self, scope, channels, num_classes, seed):
    scope, deep = f'{scope}/block5', channels[self.output_stride]
    settings = {'batch_norm_decay': HEAD_DECAY, 'seed': seed}
    self.pools = [Conv(f'{scope}/pool{bins}/conv1', deep, 512, 1, **settings) for bins in BINS]
    self.conv2 = Conv(f'{scope}/conv2', deep + 512 * len(BINS), 512, 3, **settings)
    self.classifier = Conv(f'{scope}/fc1_voc12', 512, num_classes, 1, activation=None, seed=seed)

  def head(self, features, training):
    x = features[self.output_stride]
    size = x.shape[1:3]
    branches = []
    for bins, conv in zip(BINS, self.pools, strict=True):
      kernel = size[0] // bins
      pooled = conv(average_pool(x, kernel, kernel), training)
      branches.append(tf.cast(resize_bilinear(pooled, size), x.dtype))
    return self.classifier(self.conv2(tf.concat([*branches, x], -1), training))


def pspnet_resnet101(num_classes=21, seed=0) -> PSPNet:
  """The model of the paper; called as `model(images, training=False)` -> logits [N, h/8, w/8, num_classes]."""
  return PSPNet(num_classes, 'resnet_v1_101', seed)
