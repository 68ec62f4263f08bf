"""The region mutual information loss (Zhao et al., NeurIPS 2019, arXiv 1910.12037).

A region is a square of SIDE x SIDE pixels; the truth Y and the probability P of a class in it are two vectors of
d = SIDE^2 numbers. Over all regions of an image, with centred vectors and covariances as sums, not means,

  M = cov(Y) - cov(Y, P) (cov(P) + a I)^-1 cov(Y, P)^T,   loss = log det(M + a I) / (2 d),   a = ALPHA,

summed over the classes: a lower bound of the mutual information, negated and up to a constant of the labels. It has no
lower limit of 0. As in the authors' code, P is a sigmoid of the logits (the softmax cross-entropy stands beside it),
ignored pixels are 0 in Y and nearly 0 (FLOOR) in P, and the arithmetic is float64.

The paper averages Y and P over 4 x 4 pixels first. The logits here have a stride of 4 or 8 already, and so are taken as
they are. The paper weighs the cross-entropy and this loss alike. The loss is the mean over the images that have
labelled pixels.

Conventions: see `cross_entropy`.
"""

import tensorflow as tf

from network.aaf.layers import classes_only, valid_labels

SIDE, ALPHA, FLOOR = 3, 5e-4, 1e-6  # what the paper calls the radius; a; the smallest probability


def rmi_sum(labels, logits):
  """The sum of the images' losses, a float32 scalar; NaN if a logit is not finite."""
  num_classes = logits.shape[-1]
  finite = tf.reduce_all(tf.math.is_finite(logits))
  logits = tf.where(finite, logits, 0)  # the decomposition would raise an error of its own
  labelled = valid_labels(labels, num_classes)
  probs = tf.where(labelled[..., tf.newaxis], tf.sigmoid(logits), 0)
  truth = regions(tf.one_hot(classes_only(labels, num_classes), num_classes))
  probs = regions(tf.maximum(probs, FLOOR))
  ridge = ALPHA * tf.eye(SIDE * SIDE, dtype=tf.float64)

  of_both = covariance(truth, probs)
  root = tf.linalg.cholesky(covariance(probs, probs) + ridge)
  explained = tf.matmul(of_both, tf.linalg.cholesky_solve(root, tf.linalg.matrix_transpose(of_both)))
  root = tf.linalg.cholesky(covariance(truth, truth) - explained + ridge)
  log_det = 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), -1)
  by_image = tf.cast(tf.reduce_sum(log_det, -1), tf.float32) / (2 * SIDE * SIDE)
  total = tf.reduce_sum(tf.where(tf.reduce_any(labelled, [1, 2]), by_image, 0))
  return tf.where(finite, total, float('nan'))


def regions(x):
  """[N, h, w, C] -> the centred vectors of all regions, float64 [N, C, d, regions]."""
  height, width = (tf.maximum(side - SIDE + 1, 0) for side in tf.unstack(tf.shape(x)[1:3]))
  x = tf.transpose(tf.cast(x, tf.float64), [0, 3, 1, 2])
  shifted = [x[..., i : i + height, j : j + width] for i in range(SIDE) for j in range(SIDE)]
  vectors = tf.stack([tf.reshape(s, [*tf.unstack(tf.shape(x)[:2]), height * width]) for s in shifted], 2)
  number = tf.cast(tf.maximum(height * width, 1), tf.float64)
  return vectors - tf.reduce_sum(vectors, -1, keepdims=True) / number


def covariance(x, y):
  return tf.matmul(x, y, transpose_b=True)
