"""The one table of models and backbones: what flags, checks and builders ask of a network by its name.

Loads no TensorFlow. A new network is one module and one line here; a test may add a toy of its own.
"""

import pkgutil
from typing import NamedTuple


class Model(NamedTuple):
  """A head, and what it demands.

  place: 'module:class' of a `seg_models.models.base.SegmentationModel`.
  output_stride: of the backbone, unless another is given.
  bins: the sides of an image are multiples of this times the output stride.
  square: the image is square.
  logits_stride: None: the output stride.
  pools_image: a branch has one value per image and channel, from which batch norm learns nothing in batches of one.
  """

  place: str
  output_stride: int = 8
  bins: int = 1
  square: bool = False
  logits_stride: int | None = None
  pools_image: bool = False


MODELS = {
  'pspnet': Model('seg_models.models.pspnet:PSPNet', bins=6, square=True, pools_image=True),
  'deeplab': Model('seg_models.models.deeplab:DeepLab'),
  'fcn8s': Model('seg_models.models.fcn:FCN'),
  'deeplabv3plus': Model(
    'seg_models.models.deeplabv3plus:DeepLabV3Plus', output_stride=16, logits_stride=4, pools_image=True
  ),
}

# Name -> 'module:class'. A backbone is built as `class(name, seed, output_stride)` and called as
# `backbone(images, training=False)` with images [N, H, W, 3], RGB minus MEAN. It returns {stride: the deepest features
# [N, ceil(H/stride), ceil(W/stride), channels[stride]]}: strides 2, 4, 8, ... up to its `output_stride`, with feature
# (i, j) of stride s on pixel (s i, s j); and the features that an auxiliary head takes, of stride `auxiliary_stride`,
# with `auxiliary_channels`. Its variables' scope is its name.
_RESNET, _EFFICIENTNET = 'network.common.resnet_v1:ResNet', 'network.common.efficientnet_lite:EfficientNetLite'
BACKBONES = {
  'resnet_v1_101': _RESNET,
  'resnet_v1_50': _RESNET,
  'resnet_v1_14': _RESNET,
  'efficientnet_lite0': _EFFICIENTNET,
  'efficientnet_lite1': _EFFICIENTNET,
  'efficientnet_lite2': _EFFICIENTNET,
}


def build(
  model: str, backbone: str, num_classes: int, seed: int = 0, output_stride: int | None = None, auxiliary: bool = False
):
  """A model with initial weights, a `seg_models.models.base.SegmentationModel`: a key of MODELS on one of BACKBONES.

  auxiliary: with an auxiliary head, for training; prediction has no use for one.
  """
  return pkgutil.resolve_name(MODELS[model].place)(num_classes, backbone, seed, output_stride, auxiliary)


def build_backbone(name: str, seed: int = 0, output_stride: int = 8):
  """A backbone with initial weights; `output_stride` 8, 16 or 32 by dilation."""
  return pkgutil.resolve_name(BACKBONES[name])(name, seed, output_stride)


def size_multiple(model: str, output_stride: int | None = None) -> int:
  """What the sides of an image must be multiples of: the output stride, for PSPNet's 6 bins per side 6 times it."""
  entry = MODELS[model]
  return entry.bins * (output_stride or entry.output_stride)


def size_problem(model: str, height: int, width: int, output_stride: int | None = None) -> str | None:
  """Why `model` cannot take height x width pixels, with the nearest size that it takes; None if it can."""
  multiple = size_multiple(model, output_stride)
  if MODELS[model].square and height != width:
    side = nearest(max(height, width), multiple)
    return f'{model} needs square input, not {height},{width}; the nearest size is {side},{side}'
  if height % multiple or width % multiple:
    good = f'{nearest(height, multiple)},{nearest(width, multiple)}'
    return f'{model} needs an input size of a multiple of {multiple}, not {height},{width}; the nearest is {good}'
  return None


def padded_size(model: str, height: int, width: int, output_stride: int | None = None) -> tuple[int, int]:
  """The smallest size that `model` takes of an image with zeros at the bottom and right."""
  multiple = size_multiple(model, output_stride)
  padded = tuple(-(-side // multiple) * multiple for side in (height, width))
  return (max(padded),) * 2 if MODELS[model].square else padded


def nearest(length: int, multiple: int) -> int:
  return max(multiple, round(length / multiple) * multiple)


def stride_problem(strides: tuple[int, int], window: tuple[int, int]) -> str | None:
  """Why windows (height, width) at these strides would leave pixels out; None if they would not."""
  for axis, stride, side in zip(('height', 'width'), strides, window, strict=True):
    if stride > side:
      return (
        f'{strides[0]},{strides[1]}: the {axis} is larger than the window {window[0]},{window[1]}, so pixels would '
        'be left out; give at most the window'
      )
  return None
