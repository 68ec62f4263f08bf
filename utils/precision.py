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
