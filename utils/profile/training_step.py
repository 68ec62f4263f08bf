"""The training step that several programs measure: its flags, data and call. Loads TensorFlow when called."""

from collections.abc import Callable

from utils.arguments import Parser, add_network_flags, add_precision_flag, height_width, whole
from utils.profile import figures
from utils.train import flags


def parser(description: str) -> Parser:
  """The flags that are asked for; the others of training are at their defaults there."""
  result = Parser(description)
  result.set_defaults(**vars(flags.make_parser('').parse_args([])))
  add_network_flags(result)
  add_precision_flag(result)
  result.add_argument('--batch-size', type=whole(1), default=2, help='images at a time')
  result.add_argument('--input-size', type=height_width, default=(336, 336), metavar='H,W', help='of the images')
  result.add_argument('--repeat', type=whole(1), default=5, help='measurements of each figure; the median is printed')
  result.add_argument('--use-global-status', action='store_true', help='freeze batch norm')
  result.add_argument('--xla', action='store_true', help='compile the whole step (one GPU)')
  figures.add_flag(result)
  result.set_defaults(iter_size=1, num_steps=100, learning_rate=1e-4)
  return result


def network(args):
  from seg_models.models import build
  from utils import devices

  model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
  devices.apply(model, args.precision)
  return model


def random_batch(args, number: int):
  """`number` images and labels in blocks of 24 pixels, as tensors."""
  import numpy as np
  import tensorflow as tf

  height, width = args.input_size
  rng = np.random.default_rng(0)
  images = rng.normal(0, 60, (number, height, width, 3)).astype(np.float32)
  blocks = rng.integers(0, args.num_classes, (number, -(-height // 24), -(-width // 24)), np.int32)
  return tf.constant(images), tf.constant(blocks.repeat(24, 1).repeat(24, 2)[:, :height, :width])


def training_state(args, model, objective: str):
  """The `TrainingState` of a model with an objective of `utils.train.objectives`, by name."""
  from utils.train import objectives
  from utils.train.optimizers import TrainingState

  margin_and_lambdas = () if objective == 'CrossEntropy' else (3.0, 1.0, 1.0)
  terms = getattr(objectives, objective)(args.num_classes, *margin_and_lambdas)
  return TrainingState(model, terms, 5e-4, args.use_global_status)


def step_call(args, state, strategy, batch) -> Callable:
  """A function that does one step -> its metrics."""
  import tensorflow as tf

  from utils.train.step import make_step

  step = make_step(strategy, state, args)
  return lambda: step([batch], tf.constant(0))
