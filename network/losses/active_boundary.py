"""The active boundary loss (Wang et al., AAAI 2022, arXiv 2102.02696): predicted boundaries move to the true ones.

A pixel i is on the predicted boundary if KL(P_i || P_j) > epsilon for its right or its lower neighbour j, or if one of
the eight pixels around it is; P are the softmax probabilities. epsilon is the least value, at least 1e-5, that leaves
at most 1 % of an image's pixels (and at least one) before the eight around are added. M_i is the distance of i to the
true boundary: the pixels whose right or lower neighbour has another label, and the ignored pixels. With the eight
neighbours j of i, z_j = KL(P_j || P_i), where P_j takes no gradient, and j* the neighbour of the least M,

  loss = mean over i of  min(M_i, 20) / 20 * sum over j of t_j (-log softmax(z)_j),   t = 0.8 at j*, 0.2 / 7 elsewhere.

The mean is over the labelled pixels of the predicted boundaries, in the images that have a true one; the logits decide
how many these are.

Direction and detachment are those of the authors' code; distances are in pixels of the logits, exact, and are not
lessened by one as there. Neighbours outside the image have the probabilities of the border and are never j*.

Conventions: see `cross_entropy`.
"""

import tensorflow as tf

from network.aaf.layers import valid_labels

SHARE, LEAST_EPSILON, FARTHEST, SMOOTHING = 0.01, 1e-5, 20.0, 0.2
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
FAR = 1e9  # squared; farther than any pixel


def active_boundary_sum(labels, logits):
  """The sum over the pixels of the predicted boundaries, a float32 scalar."""
  log_p = tf.nn.log_softmax(logits)
  around_log_p = tf.pad(tf.stop_gradient(log_p), [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
  squared = squared_distance(true_boundary(labels, logits.shape[-1]))
  around_squared = tf.pad(squared, [[0, 0], [1, 1], [1, 1]], constant_values=2 * FAR)
  divergence = tf.stack([kl(at(around_log_p, step, labels), log_p) for step in AROUND], -1)
  closest = tf.argmin(tf.stack([at(around_squared, step, labels) for step in AROUND], -1), -1)
  others = len(AROUND) - 1
  target = tf.one_hot(closest, len(AROUND), 1 - SMOOTHING, SMOOTHING / others)
  losses = tf.nn.softmax_cross_entropy_with_logits(target, divergence)
  weights = tf.minimum(tf.sqrt(squared), FARTHEST) / FARTHEST
  return tf.reduce_sum(tf.where(moving(labels, logits), weights * losses, 0))


def active_boundary_count(labels, logits):
  """The number of these pixels, a float32 scalar."""
  return tf.cast(tf.math.count_nonzero(moving(labels, logits)), tf.float32)


def kl(p, q):
  """KL(p || q) over the last axis, from logarithms."""
  return tf.reduce_sum(tf.exp(p) * (p - q), -1)


def at(padded, step, labels):
  """What lies `step` (dy, dx) from each pixel, of a map that is padded by one pixel."""
  height, width = tf.unstack(tf.shape(labels)[1:])
  dy, dx = step
  return padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def moving(labels, logits):
  """True at the labelled pixels of the predicted boundary, in images with a true one: bool [N, h, w]."""
  num_classes = logits.shape[-1]
  has_boundary = tf.reduce_any(true_boundary(labels, num_classes), [1, 2], keepdims=True)
  return predicted_boundary(tf.stop_gradient(logits)) & valid_labels(labels, num_classes) & has_boundary


def true_boundary(labels, num_classes: int):
  """True at ignored pixels and where the right or the lower neighbour has another label: bool [N, h, w]."""
  down = tf.pad(labels[:, 1:] != labels[:, :-1], [[0, 0], [0, 1], [0, 0]])
  right = tf.pad(labels[:, :, 1:] != labels[:, :, :-1], [[0, 0], [0, 0], [0, 1]])
  return down | right | ~valid_labels(labels, num_classes)


def predicted_boundary(logits):
  log_p = tf.nn.log_softmax(logits)
  down = tf.pad(kl(log_p[:, :-1], log_p[:, 1:]), [[0, 0], [0, 1], [0, 0]])
  right = tf.pad(kl(log_p[:, :, :-1], log_p[:, :, 1:]), [[0, 0], [0, 0], [0, 1]])
  change = tf.maximum(down, right)
  by_image = tf.reshape(change, [tf.shape(change)[0], -1])
  pixels = tf.shape(by_image)[1]
  kept = tf.maximum(1, tf.cast(SHARE * tf.cast(pixels, tf.float32), tf.int32))
  epsilon = tf.math.top_k(by_image, tf.minimum(kept + 1, pixels)).values[:, -1]
  on = change > tf.maximum(epsilon, LEAST_EPSILON)[:, tf.newaxis, tf.newaxis]
  return tf.nn.max_pool2d(tf.cast(on, tf.float32)[..., tf.newaxis], 3, 1, 'SAME')[..., 0] > 0


def squared_distance(there):
  """Squared Euclidean distance of each pixel to the nearest one that is True, FAR or more without: bool [N, h, w].

  Exact: along the columns first, then along the rows (Felzenszwalb and Huttenlocher 2012), by all pairs of a line.
  """

  def along_columns(x):
    line = tf.range(tf.shape(x)[0])
    gaps = tf.cast((line[:, tf.newaxis] - line) ** 2, tf.float32)
    return tf.reduce_min(gaps[:, :, tf.newaxis] + x, 1)

  def of_image(x):
    return tf.transpose(along_columns(tf.transpose(along_columns(x))))

  return tf.map_fn(of_image, tf.where(there, 0.0, FAR))
