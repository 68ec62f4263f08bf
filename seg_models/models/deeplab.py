"""DeepLab v2: atrous spatial pyramid pooling (Chen et al. 2017, arXiv 1606.00915)."""

import tensorflow as tf

from network.common.layers import Conv
from seg_models.models.base import SegmentationModel

RATES = (6, 12, 18, 24)


class DeepLab(SegmentationModel):
  """The sum of four 3x3 atrous convolutions to classes, rates 6, 12, 18, 24."""

  name_of_model = 'deeplab'

  def build_head(self, scope, channels, num_classes, seed):
    deep = channels[self.output_stride]
    self.branches = [
      Conv(f'{scope}/fc1_c{i}', deep, num_classes, 3, rate=rate, activation=None, seed=seed)
      for i, rate in enumerate(RATES)
    ]

  def head(self, features, training):
    x = features[self.output_stride]
    return tf.add_n([branch(x) for branch in self.branches])


def deeplab_resnet101(num_classes=21, seed=0) -> DeepLab:
  """DeepLab v2 on ResNet-101; called as `model(images, training=False)` -> logits [N, h/8, w/8, num_classes]."""
  return DeepLab(num_classes, 'resnet_v1_101', seed)
