"""In which precision convolutions compute. Weights, momentum, statistics, softmax and losses are float32 always."""

import tensorflow as tf

from utils.errors import InputError


def check(precision: str) -> None:
  """Refuses float16 training where TensorFlow cannot do it."""
  if precision == 'float16' and not tf.config.list_physical_devices('GPU'):
    raise InputError(
      '--precision float16: TensorFlow has no float16 gradient of dilated convolutions on a CPU; give bfloat16'
    )


def apply(model, precision: str) -> None:
  """Makes `model` compute in float32, bfloat16 or float16."""
  model.compute_dtype = tf.as_dtype(precision)


def described(precision: str) -> str:
  """A line for the log on what the convolutions compute in: GPUs since Ampere cut float32 down unless told not to."""
  cut = ''
  gpu = tf.config.list_physical_devices('GPU')
  if precision == 'float32' and gpu and tf.config.experimental.tensor_float_32_execution_enabled():
    cut = ', as TF32 (10 bits of mantissa) where the GPU has it; NVIDIA_TF32_OVERRIDE=0 forbids that'
  return f'convolutions in {precision}{cut}; everything else in float32'
