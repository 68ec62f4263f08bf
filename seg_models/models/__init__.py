"""The models by name, for the scripts' --model and --backbone."""

from seg_models.models.base import SegmentationModel
from seg_models.names import MODELS, class_of


def build(
  model: str, backbone: str, num_classes: int, seed: int = 0, output_stride: int | None = None, auxiliary: bool = False
) -> SegmentationModel:
  """A model with initial weights: a key of MODELS on one of `seg_models.names.BACKBONES`.

  auxiliary: with an auxiliary head, for training; prediction has no use for one.
  """
  return class_of(MODELS[model])(num_classes, backbone, seed, output_stride, auxiliary)
