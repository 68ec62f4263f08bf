"""The Lovasz-softmax loss (Berman, Rannen Triki and Blaschko, CVPR 2018, arXiv 1705.08790).

For an image and a class c, with m the errors |1[y = c] - p_c| of its P labelled pixels in falling order and the true
class c at F_1 .. F_P (0 or 1) in that order,

  loss = sum over k of m_k (J_k - J_(k-1)),  J_k = 1 - (n - sum_(i <= k) F_i) / (n + sum_(i <= k) (1 - F_i)),  J_0 = 0,

n the pixels of class c: the Jaccard loss of the k worst pixels' errors, extended to soft errors. An image's loss is the
mean over the classes that it has; the loss is the mean over the images that have labelled pixels, as in the paper's
`per image` form.

Conventions: see `cross_entropy`.
"""

import tensorflow as tf

from network.aaf.layers import classes_only


def lovasz_sum(labels, logits):
  """The sum of the images' losses, a float32 scalar."""
  num_classes = logits.shape[-1]
  shape = [tf.shape(labels)[0], -1]
  labels = tf.reshape(classes_only(labels, num_classes), shape)[:, tf.newaxis]  # [N, 1, P]
  probs = tf.transpose(tf.reshape(tf.nn.softmax(logits), [*shape, num_classes]), [0, 2, 1])  # [N, C, P]
  truth = tf.cast(labels == tf.range(num_classes)[:, tf.newaxis], tf.float32)
  errors = tf.abs(truth - probs)
  labelled = tf.cast(labels >= 0, tf.float32)
  order = tf.argsort(tf.stop_gradient(errors) * labelled + labelled, direction='DESCENDING')  # void pixels come last
  errors, truth = (tf.gather(x, order, batch_dims=2) for x in (errors * labelled, truth))
  by_class = tf.reduce_sum(errors * tf.stop_gradient(jaccard_steps(truth)), -1)
  has = tf.cast(tf.reduce_any(truth > 0, -1), tf.float32)
  by_image = tf.math.divide_no_nan(tf.reduce_sum(by_class * has, -1), tf.reduce_sum(has, -1))
  return tf.reduce_sum(by_image)


def jaccard_steps(truth):
  """J_k - J_(k-1) for truth F [..., P]; 0 where the class has no pixel."""
  pixels = tf.reduce_sum(truth, -1, keepdims=True)
  seen = tf.cumsum(truth, -1)
  rest = tf.cumsum(1 - truth, -1)
  jaccard = 1 - tf.math.divide_no_nan(pixels - seen, pixels + rest)
  return jaccard - tf.concat([tf.zeros_like(pixels), jaccard[..., :-1]], -1)
