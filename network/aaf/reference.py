"""The affinity losses as the paper writes them (Ke et al., ECCV 2018, arXiv 1803.10335, equations 3 to 7), to be read.

`losses` computes the same without a tensor of pairs x classes, and says what labels and probabilities are. Here the
eight neighbours of every pixel are a last axis, in any float dtype, and TensorFlow differentiates.
"""

import tensorflow as tf

from .layers import IGNORED, classes_only
from .losses import FLOOR, SIZES


def neighbours(x, size: int):
  """x [N, H, W, K] at the offsets {-size, 0, size}^2 without the centre; zero or False outside: [N, H, W, K, 8]."""
  height, width = x.shape[1:3]
  x = tf.pad(x, [[0, 0], [size, size], [size, size], [0, 0]])
  corners = [(dy, dx) for dy in (0, size, 2 * size) for dx in (0, size, 2 * size) if (dy, dx) != (size, size)]
  return tf.stack([x[:, dy : dy + height, dx : dx + width] for dy, dx in corners], -1)


def entries(labels, probs, num_classes: int, kld_margin: float, size: int):
  """Every pair's entries at one distance -> (edge, nonedge), each (cost, whether it counts) [N, H, W, C, 8]."""
  labels = classes_only(labels, num_classes)
  valid = (labels != IGNORED)[..., tf.newaxis]
  inside = neighbours(valid, size)
  counted = valid[..., tf.newaxis] & inside & inside[..., ::-1]  # centre, neighbour, and the pixel opposite to it
  truth = tf.one_hot(labels, num_classes, on_value=True, off_value=False)
  differ = truth[..., tf.newaxis] ^ neighbours(truth, size)  # exactly one of the two is labelled with the class
  p, q = tf.clip_by_value(probs, FLOOR, 1), tf.clip_by_value(1 - probs, FLOOR, 1)
  p_i, q_i = p[..., tf.newaxis], q[..., tf.newaxis]
  p_j, q_j = (tf.where(counted, neighbours(x, size), 1) for x in (p, q))
  kl = p_j * tf.math.log(p_j / p_i) + q_j * tf.math.log(q_j / q_i)
  return (tf.nn.relu(kld_margin - kl), counted & differ), (kl, counted & ~differ)


def mean(cost, counts, weights):
  """The mean over all entries that count, each multiplied by its centre pixel's weight [N, H, W]."""
  total = tf.reduce_sum(tf.where(counts, weights[..., tf.newaxis, tf.newaxis] * cost, 0))
  return tf.math.divide_no_nan(total, tf.cast(tf.math.count_nonzero(counts), cost.dtype))


def affinity_loss(labels, probs, num_classes: int, kld_margin: float):
  """As `losses.affinity_loss`."""
  edge, nonedge = entries(labels, probs, num_classes, kld_margin, size=1)
  plain = tf.ones(labels.shape, probs.dtype)
  return mean(*edge, plain), mean(*nonedge, plain)


def adaptive_affinity_loss(labels, probs, num_classes: int, kld_margin: float, w_edge, w_nonedge, sizes=SIZES):
  """As `losses.adaptive_affinity_loss`: one value per size, of entries weighted by the centre's label and the size."""
  centre = tf.maximum(classes_only(labels, num_classes), 0)
  by_size = []
  for s, size in enumerate(sizes):
    both = zip(entries(labels, probs, num_classes, kld_margin, size), (w_edge, w_nonedge), strict=True)
    by_size.append([mean(*entry, tf.gather(w[:, s], centre)) for entry, w in both])
  return tuple(tf.stack(x) for x in zip(*by_size, strict=True))
