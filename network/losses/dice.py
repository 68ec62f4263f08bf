"""The soft Dice loss (Milletari, Navab and Ahmadi 2016, arXiv 1606.04797, section 3), of several classes.

For an image and a class c, with sums over its labelled pixels and t = 1[y = c],

  1 - 2 sum(p_c t) / (sum(p_c^2) + sum(t^2)).

An image's loss is the mean over the classes that it has: of an absent class the loss is 1, whatever the prediction. The
loss is the mean over the images that have labelled pixels; Dice over the whole batch would be no sum over replicas.

Conventions: see `cross_entropy`.
"""

import tensorflow as tf

from network.aaf.layers import classes_only, valid_labels


def dice_sum(labels, logits):
  """The sum of the images' losses, a float32 scalar."""
  num_classes = logits.shape[-1]
  truth = tf.one_hot(classes_only(labels, num_classes), num_classes)
  probs = tf.where(valid_labels(labels, num_classes)[..., tf.newaxis], tf.nn.softmax(logits), 0)
  both, predicted, pixels = (tf.reduce_sum(x, [1, 2]) for x in (probs * truth, probs * probs, truth))
  has = tf.cast(pixels > 0, tf.float32)
  by_class = has * (1 - tf.math.divide_no_nan(2 * both, predicted + pixels))
  return tf.reduce_sum(tf.math.divide_no_nan(tf.reduce_sum(by_class, -1), tf.reduce_sum(has, -1)))
