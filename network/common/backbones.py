"""The backbones by name, for the scripts' --backbone.

A backbone is called as `backbone(images, training=False)` with images [N, H, W, 3], RGB minus MEAN, and returns
{stride: the deepest features [N, ceil(H/stride), ceil(W/stride), channels[stride]]}: strides 2, 4, 8, ... up to its
`output_stride`, with feature (i, j) of stride s on pixel (s i, s j). `backbone.with_auxiliary(images, training)`
returns these and the features that an auxiliary head takes, of stride `auxiliary_stride`.
"""

from network.common import efficientnet_lite, resnet_v1

BACKBONES = {
  **dict.fromkeys(resnet_v1.UNITS, resnet_v1.ResNet),
  **dict.fromkeys(efficientnet_lite.MULTIPLIERS, efficientnet_lite.EfficientNetLite),
}


def build(name: str, seed: int = 0, output_stride: int = 8):
  """A backbone with initial weights; `output_stride` 8, 16 or 32 by dilation."""
  return BACKBONES[name](name, seed, output_stride)
