"""FCN-8s on a dilated ResNet (Long et al. 2015, arXiv 1411.4038): a classifier on every feature at stride 8."""

from network.common.layers import Conv
from seg_models.models.base import SegmentationModel


class FCN(SegmentationModel):
  """One 1x1 convolution to classes."""

  name_of_model = 'fcn8s'

  def build_head(self, scope, channels, num_classes, seed):
    deep = channels[self.output_stride]
    self.classifier = Conv(f'{scope}/block5/fc1_voc12', deep, num_classes, 1, activation=None, seed=seed)

  def head(self, features, training):
    return self.classifier(features[self.output_stride])


def fcn8s_resnet101(num_classes=21, seed=0) -> FCN:
  """FCN-8s on ResNet-101; called as `model(images, training=False)` -> logits [N, h/8, w/8, num_classes]."""
  return FCN(num_classes, 'resnet_v1_101', seed)
