"""The one place where devices are chosen. One device is the default strategy, not another code path."""

import tensorflow as tf


def choose(args) -> tf.distribute.Strategy:
  """The strategy that the flags ask for: the first GPU if there is one, else the CPU."""
  grow_memory()
  return tf.distribute.get_strategy()


def is_chief(strategy) -> bool:
  """Whether this process writes checkpoints, summaries and the progress bar."""
  return True


def grow_memory() -> None:
  """Lets TensorFlow take GPU memory as it needs it, not all at once."""
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)
