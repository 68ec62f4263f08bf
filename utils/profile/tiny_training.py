"""train_aaf_mgpu.py on a network of two convolutions, whose steps take milliseconds: all of the real training but the
network. `python -m utils.profile.tiny_training FLAGS`"""

import sys

import tensorflow as tf

from network.common.layers import Conv
from seg_models.models.base import SegmentationModel
from utils import errors
from utils.train import flags, loop, objectives


class TinyBackbone(Conv):
  def with_auxiliary(self, images, training=False):
    features = self(images, training)
    return features, features


class TinyModel(SegmentationModel):
  """A strided convolution with batch norm, and one to the classes, under the names of an FCN-8s."""

  name_of_model = 'fcn8s'

  def __init__(self, num_classes: int, seed: int):
    tf.Module.__init__(self)
    self.output_stride = self.logits_stride = self.auxiliary_stride = 8
    self.backbone = TinyBackbone('resnet_v1_14/conv1', 3, 6, 3, stride=8, batch_norm_decay=0.9, seed=seed)
    self.classifier = Conv('resnet_v1_14/block5/fc1_voc12', 6, num_classes, 1, activation=None, seed=seed)
    self.auxiliary_head, self.compute_dtype = None, tf.float32

  def head(self, features, training):
    return self.classifier(features)


def main(argv=None) -> None:
  args = flags.parse(__doc__, argv, affinity=True, adaptive=True, several_gpus=True)
  loop.build = lambda model, backbone, num_classes, seed, *_: TinyModel(num_classes, seed)
  loop.train(args, objectives.AdaptiveAffinity.from_flags)


if __name__ == '__main__':
  sys.exit(errors.run(main))
