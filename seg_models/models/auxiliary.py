"""The auxiliary head of PSPNet (Zhao et al. 2017, arXiv 1612.01105, section 3.3), which helps any model to train."""

import tensorflow as tf

from network.common.layers import Conv

HEAD_DECAY = 0.99  # of the moving averages in the batch norm of heads


class AuxiliaryHead(tf.Module):
  """3x3 conv with batch norm and ReLU, 1x1 conv to classes: features [N, h, w, channels] to logits [N, h, w, classes].

  The first has 256 channels as in the authors' code, or as many as the features where these have fewer. The dropout of
  0.1 between the two, which that code has, is left out: resuming bit for bit would need its random state.
  """

  def __init__(self, scope, channels, num_classes, seed=0):
    super().__init__()
    width = min(256, channels)
    self.conv = Conv(f'{scope}/aux/conv', channels, width, 3, batch_norm_decay=HEAD_DECAY, seed=seed)
    self.classifier = Conv(f'{scope}/aux/classifier', width, num_classes, 1, activation=None, seed=seed)

  def __call__(self, features, training=False):
    return self.classifier(self.conv(features, training))
