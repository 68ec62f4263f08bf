"""In which precision convolutions compute. Weights, momentum, statistics, softmax and losses are float32 always."""

import os

import tensorflow as tf


def apply(model, precision: str) -> None:
  """Makes `model` compute in float32, bfloat16 or float16."""
  obey_tf32_override()
  model.compute_dtype = tf.as_dtype(precision)


def obey_tf32_override() -> None:
  """NVIDIA_TF32_OVERRIDE=0, which NVIDIA's libraries read, for XLA's own kernels too."""
  if os.environ.get('NVIDIA_TF32_OVERRIDE') == '0':
    tf.config.experimental.enable_tensor_float_32_execution(False)


def cuts_float32() -> bool:
  """Whether products of float32 may be computed as TF32, with 10 bits of mantissa: on a GPU, unless forbidden."""
  gpus = tf.config.list_physical_devices('GPU')
  return bool(gpus) and tf.config.experimental.tensor_float_32_execution_enabled()


def described(precision: str) -> str:
  """A line for the log on what the convolutions compute in."""
  cut = ''
  if precision == 'float32' and cuts_float32():
    cut = ', as TF32 (10 bits of mantissa) where the GPU has it; NVIDIA_TF32_OVERRIDE=0 forbids that'
  return f'convolutions in {precision}{cut}; everything else in float32'
