"""The focal loss (Lin et al., ICCV 2017, arXiv 1708.02002, equation 4), of several classes and without alpha:

  -(1 - p_y)^gamma log(p_y), gamma = 2,

p the softmax probabilities; the mean over the labelled pixels of the global batch.

Conventions: see `cross_entropy`.
"""

import tensorflow as tf

from network.aaf.layers import valid_labels

GAMMA = 2.0


def focal_sum(labels, logits):
  """The sum over the labelled pixels, a float32 scalar."""
  labelled = valid_labels(labels, logits.shape[-1])
  cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(labelled, labels, 0), logits)
  doubt = -tf.math.expm1(-cross_entropy)  # 1 - p, with all its digits where p is nearly 1
  return tf.reduce_sum(tf.where(labelled, doubt**GAMMA * cross_entropy, 0))
