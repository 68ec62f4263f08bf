"""What sums of losses are divided by: how many pixels or images are labelled in a batch.

Conventions: labels are integers [N, h, w], ignored unless in [0, C); counts are float32 scalars.
"""

import tensorflow as tf

from network.aaf.layers import valid_labels


def labelled_pixels(labels, num_classes: int):
  return tf.cast(tf.math.count_nonzero(valid_labels(labels, num_classes)), tf.float32)


def labelled_images(labels, num_classes: int):
  """The images that have a labelled pixel."""
  return tf.cast(tf.math.count_nonzero(tf.reduce_any(valid_labels(labels, num_classes), [1, 2])), tf.float32)
