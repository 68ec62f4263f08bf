"""Softmax cross-entropy of pixels, with label smoothing, class weights and online hard example mining.

The loss is sum(l) / sum(w_y) over the pixels of the global batch that count, where y is a pixel's label and p its
softmax probabilities:

  l = (1 - e) w_y (-log p_y) + e / C sum over c of w_c (-log p_c).

Without smoothing and weights that is the mean cross-entropy. This is the convention of PyTorch's `cross_entropy`.

Sources: label smoothing e, Szegedy et al., CVPR 2016 (arXiv 1512.00567, section 7); hard examples, Shrivastava et al.,
CVPR 2016 (arXiv 1604.03540), by pixel and probability as in Wu et al. 2016 (arXiv 1605.06885).

Conventions: labels int32 [N, h, w], ignored unless in [0, C); logits float32 [N, h, w, C].
"""

import math
from typing import NamedTuple

import tensorflow as tf

from network.aaf.layers import valid_labels


class Options(NamedTuple):
  """What is added to the plain cross-entropy; by default nothing.

  ohem_threshold: P; None: every labelled pixel counts. Else those whose true class has a probability below P count,
    and in each image at least the `ohem_min_kept` pixels of the least such probability (all, if it has no more).
  class_weights: w_c, one for each class; None: 1.
  label_smoothing: e.
  """

  ohem_threshold: float | None = None
  ohem_min_kept: int = 0
  class_weights: tuple[float, ...] | None = None
  label_smoothing: float = 0.0


PLAIN = Options()


def labelled_images(labels, num_classes: int):
  """The images that have a labelled pixel, a float32 scalar."""
  return tf.cast(tf.math.count_nonzero(tf.reduce_any(valid_labels(labels, num_classes), [1, 2])), tf.float32)


def labelled_weight(labels, num_classes: int, options: Options = PLAIN):
  """The sum of w_y over the labelled pixels, a float32 scalar: their number if there are no class weights."""
  return weight_of(valid_labels(labels, num_classes), labels, options)


def kept_weight(labels, logits, options: Options):
  """The sum of w_y over the pixels that count, a float32 scalar: with hard examples, a matter of the logits too."""
  return weight_of(counted_pixels(labels, logits, options), labels, options)


def weight_of(counted, labels, options: Options):
  if options.class_weights is None:
    return tf.cast(tf.math.count_nonzero(counted), tf.float32)
  return tf.reduce_sum(tf.where(counted, tf.gather(options.class_weights, tf.where(counted, labels, 0)), 0))


def cross_entropy_sum(labels, logits, options: Options = PLAIN):
  """The sum of l over the pixels that count, a float32 scalar; to be divided by the global `kept_weight`, which without
  hard examples is `labelled_weight`."""
  num_classes = logits.shape[-1]
  counted, smoothing = counted_pixels(labels, logits, options), options.label_smoothing
  labels = tf.where(valid_labels(labels, num_classes), labels, 0)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
  if options.class_weights is not None:
    losses *= tf.gather(options.class_weights, labels)
  if smoothing:
    weights = options.class_weights or [1.0] * num_classes
    spread = -tf.linalg.matvec(tf.nn.log_softmax(logits), tf.constant(weights, tf.float32)) / num_classes
    losses = (1 - smoothing) * losses + smoothing * spread
  return tf.reduce_sum(tf.where(counted, losses, 0))


def counted_pixels(labels, logits, options: Options):
  """True where a pixel counts: bool [N, h, w], without a gradient.

  A pixel is left out if it is known to be easy, so that one whose loss is NaN counts.
  """
  labelled = valid_labels(labels, logits.shape[-1])
  if options.ohem_threshold is None:
    return labelled
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(labelled, labels, 0), tf.stop_gradient(logits))
  losses = tf.where(labelled, losses, -1)
  easy = losses <= (-math.log(options.ohem_threshold) if options.ohem_threshold else math.inf)
  if options.ohem_min_kept:
    by_image = tf.reshape(losses, [tf.shape(losses)[0], -1])
    number = tf.minimum(options.ohem_min_kept, tf.shape(by_image)[1])
    hardest = tf.math.top_k(by_image, number).values[:, -1]
    easy &= losses < hardest[:, tf.newaxis, tf.newaxis]
  return labelled & ~easy
