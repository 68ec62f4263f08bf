"""What the models share: a backbone, a head, and the sizes and dtypes they take."""

import tensorflow as tf

from network.common.layers import BatchNorm, Conv
from seg_models import names

HEAD_DECAY = 0.99  # of the moving averages in the batch norm of heads


class AuxiliaryHead(tf.Module):
  """PSPNet's auxiliary head (Zhao et al. 2017, arXiv 1612.01105, section 4), which helps any model to train.

  3x3 conv with batch norm and ReLU, 1x1 conv to classes: features [N, h, w, channels] to logits [N, h, w, classes].

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


class SegmentationModel(tf.Module):
  """Backbone and head. `model(images, training=False)`: images [N, h, w, 3] float, RGB minus MEAN, to
  float32 logits [N, h/s, w/s, classes], s the `logits_stride`. `training=True` uses and updates batch statistics.

  `compute_dtype` (float32, bfloat16, float16) is what the convolutions compute in; variables and logits stay float32.

  Args:
    output_stride: of the backbone's last features, 8, 16 or 32; None for the model's own.
    auxiliary: with an auxiliary head, for training.

  Raises:
    ValueError: h and w are not what the model takes (multiples of the output stride; PSPNet: square, of 6 times
      that).
  """

  name_of_model: str  # in `seg_models.names.MODELS`

  def __init__(self, num_classes=21, backbone='resnet_v1_101', seed=0, output_stride=None, auxiliary=False):
    super().__init__()
    entry = names.MODELS[self.name_of_model]
    self.output_stride = output_stride or entry.output_stride
    self.logits_stride = entry.logits_stride or self.output_stride
    self.backbone = names.build_backbone(backbone, seed, self.output_stride)
    self.compute_dtype = tf.float32
    self.build_head(backbone, self.backbone.channels, num_classes, seed)
    self.auxiliary_head, self.auxiliary_stride = None, self.backbone.auxiliary_stride
    if auxiliary:
      self.auxiliary_head = AuxiliaryHead(backbone, self.backbone.auxiliary_channels, num_classes, seed)

  def build_head(self, scope, channels, num_classes, seed):
    """Creates the head's layers, for features with channels[stride] channels; `scope` is the backbone's name."""
    raise NotImplementedError

  def head(self, features, training):
    """{stride: features}, as the backbone returns them, to logits."""
    raise NotImplementedError

  def __call__(self, images, training=False):
    return self.with_auxiliary(images, training)[0]

  def with_auxiliary(self, images, training=False):
    """-> (logits, the auxiliary head's logits at the `auxiliary_stride`, or None without that head), in float32."""
    problem = names.size_problem(self.name_of_model, *images.shape[1:3], self.output_stride)
    if problem:
      raise ValueError(problem)
    images = tf.cast(images, self.compute_dtype)
    features, auxiliary_features = self.backbone(images, training)
    logits = tf.cast(self.head(features, training), tf.float32)
    if self.auxiliary_head is None:
      return logits, None
    return logits, tf.cast(self.auxiliary_head(auxiliary_features, training), tf.float32)

  def set_batch_norm_decay(self, decay: float | None) -> None:
    """Another decay of the moving averages, in backbone and head; None leaves the recorded ones."""
    for module in self.submodules if decay is not None else ():
      if isinstance(module, BatchNorm):
        module.decay = decay

  @property
  def head_variables(self):
    """Every variable that is not the backbone's: they learn ten times as fast and need not be restored."""
    backbone = {id(v) for v in self.backbone.variables}
    return [v for v in self.variables if id(v) not in backbone]

  @property
  def auxiliary_variables(self):
    """Those of the auxiliary head, which are among the head's."""
    return list(self.auxiliary_head.variables) if self.auxiliary_head else []
