"""The network of a run or checkpoint, ready to predict: for the scripts, and as one call in Python.

Conventions: images are uint8 RGB [h, w, 3]; scores float32 [h, w, C].
"""

import argparse
import functools

import numpy as np

from seg_models.names import build, padded_size
from utils import checkpoint, devices
from utils.errors import InputError
from utils.predict import flags
from utils.predict.outputs import decided
from utils.predict.windows import freeze, probability_function, scores, whole_image_function, windows_at_once


class Predictor:
  """`Predictor('snapshots/mine')(image)` -> (classes uint8 [h, w], confidence float32 [h, w]).

  The confidence is the mean softmax probability of the class over windows, scales and flips.

  Args:
    run: a training's folder, or a checkpoint with a `config` beside it.
    whole_image: the image in one piece, padded as the model needs it, instead of windows.
    window, strides: (height, width) in pixels; by default the run's.
    scales: of the image; flip: add the mirrored image.
    min_confidence: pixels below it become 255.

  `classes` has the names and colours of the classes.

  Raises:
    InputError: no run, or one that cannot be read; an image of another type or shape.
  """

  def __init__(
    self, run, whole_image=False, window=None, strides=None, scales=(1.0,), flip=False, min_confidence: float = 0.0
  ):
    words = ['--run', str(run)]
    for flag, value in (('--input-size', window), ('--strides', strides)):
      words += [flag, ','.join(map(str, value))] if value else []
    parser = argparse.ArgumentParser()
    flags.add_prediction_flags(parser, multi_scale=False)
    args = flags.parse_described(parser, words)
    args.whole_image, args.scales, args.flip_aug = whole_image, scales, flip
    self.classes, self.windows, self.min_confidence = args.classes, load_network(args), min_confidence

  def __call__(self, image) -> tuple[np.ndarray, np.ndarray]:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
      raise InputError(f'the image is {image.dtype} {list(image.shape)}; give uint8 RGB [h, w, 3]')
    [(_, _, score)] = scores([(None, image)], **self.windows)
    return decided(score, self.min_confidence)


def load_network(args) -> dict:
  """The network of the flags, ready to predict, and its windows: the arguments of `windows.scores`."""
  devices.grow_memory()
  model = restored(args)
  freeze(model)
  print(devices.described(args.precision))
  windows = {'strides': args.strides, 'scales': args.scales, 'flip': args.flip_aug}
  if args.whole_image:
    size = functools.partial(padded_size, args.model, output_stride=args.output_stride)
    return windows | {'probabilities': whole_image_function(model), 'window': size, 'batch_size': 1}
  windows |= {'probabilities': probability_function(model, args.input_size), 'window': args.input_size}
  return windows | {'batch_size': args.batch_size or windows_at_once()}


def restored(args):
  """The model of the network flags, with the weights of --restore-from, in --precision."""
  model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
  variables = checkpoint.by_name(model.variables)
  checkpoint.restore(args.restore_from, variables, 'check --model, --backbone and --num-classes', ema=args.ema)
  devices.apply(model, args.precision)
  return model
