"""Validation while training: mIoU on a list, by the single-scale prediction of the inference scripts."""

import numpy as np
import tensorflow as tf

from seg_models.image_reader import decode_image
from utils import metrics
from utils.general import read_label
from utils.inference import class_map, probability_function, scores


class Validator:
  """Scores the model on `pairs`, one image at a time."""

  def __init__(self, model, pairs, args):
    self.pairs, self.args = pairs, args
    self.probabilities = probability_function(model, args.input_size)

  def __call__(self) -> tuple[float, np.ndarray]:
    """-> (mIoU, IoU [C] with NaN for classes with neither truth nor prediction)."""
    matrix = 0
    images = ((pair, decode_image(tf.io.read_file(pair.image)).numpy()) for pair in self.pairs)
    for pair, score in scores(images, self.probabilities, self.args.input_size, self.args.val_strides):
      matrix = matrix + metrics.confusion(class_map(score), read_label(pair.label), self.args.num_classes)
    iou = metrics.iou(matrix)
    return metrics.mean(iou), iou
