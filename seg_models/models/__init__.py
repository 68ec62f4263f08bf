"""The models by name, for the scripts' --model and --backbone."""

from seg_models.models.base import SegmentationModel
from seg_models.models.deeplab import DeepLab
from seg_models.models.deeplabv3plus import DeepLabV3Plus
from seg_models.models.fcn import FCN
from seg_models.models.pspnet import PSPNet

MODELS = {model.name_of_model: model for model in (PSPNet, DeepLab, FCN, DeepLabV3Plus)}


def build(
  model: str, backbone: str, num_classes: int, seed: int = 0, output_stride: int | None = None, auxiliary: bool = False
) -> SegmentationModel:
  """A model with initial weights: a key of MODELS on one of network.common.backbones.BACKBONES.

  auxiliary: with an auxiliary head, for training; prediction has no use for one.
  """
  return MODELS[model](num_classes, backbone, seed, output_stride, auxiliary)
