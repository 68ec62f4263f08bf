"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335, equations 3 to 7).

For a pair of pixels (i, j) and a class c, with p and 1 - p both clipped to [1e-4, 1],

  kl = p_j log(p_j / p_i) + (1 - p_j) log((1 - p_j) / (1 - p_i)).

Where exactly one of i and j is labelled c, the entry is an *edge* entry and costs max(0, margin - kl); every other entry
is a *non-edge* entry and costs kl. The losses are means over all edge and over all non-edge entries. Pairs are the
eight neighbours at a distance `size` (see `layers.pair_masks`).

Conventions: labels are integers [N, H, W], ignored where they are no class; probs are softmax probabilities [N, H, W, C].
All arithmetic is float32. An empty set of entries contributes 0.

No tensor of pairs x classes is built. A pair has at most two edge entries, at its two labels; the sum of kl over all
classes is  sum_c (p_j log p_j + q_j log q_j) - p_j log p_i - q_j log q_i,  with q = 1 - p, so that over a centre's
neighbours only sums of p_j and q_j are needed.
"""

import tensorflow as tf

from .layers import at_class, neighbour, offsets, pair_masks, valid_labels

FLOOR = 1e-4  # p and 1 - p are clipped to [FLOOR, 1] before the logarithm
SIZES = (1, 2, 3)  # of the adaptive loss


def affinity_loss(labels, probs, num_classes: int, kld_margin: float):
  """The affinity loss at distance 1 -> scalars (edge, nonedge): means over all entries of the batch."""
  edge, nonedge = affinity_sums(labels, probs, num_classes, kld_margin, sizes=(1,))
  edge_count, nonedge_count = affinity_counts(labels, num_classes, sizes=(1,))
  mean = tf.math.divide_no_nan
  return mean(tf.reduce_sum(edge), edge_count[0]), mean(tf.reduce_sum(nonedge), nonedge_count[0])


def adaptive_affinity_loss(labels, probs, num_classes: int, kld_margin: float, w_edge, w_nonedge, sizes=SIZES):
  """The adaptive affinity loss -> (edge [S], nonedge [S]), one value a size.

  Every entry is multiplied by the weight of its centre pixel's label at that size before the mean.

  Args:
    w_edge, w_nonedge: [C, S], softmaxed over the sizes. They are to be *maximised* over (a minimax): negate their
      gradient.
  """
  edge, nonedge = affinity_sums(labels, probs, num_classes, kld_margin, sizes)
  edge_count, nonedge_count = affinity_counts(labels, num_classes, sizes)
  mean = tf.math.divide_no_nan
  return (
    mean(tf.reduce_sum(w_edge * edge, 0), edge_count),
    mean(tf.reduce_sum(w_nonedge * nonedge, 0), nonedge_count),
  )


def affinity_counts(labels, num_classes: int, sizes=SIZES):
  """How many edge and non-edge entries there are: float32 (edge [S], nonedge [S]). The labels alone decide."""
  edges, nonedges = [], []
  for size in sizes:
    masks = pair_masks(valid_labels(labels, num_classes), size)
    pairs = tf.add_n([count(mask) for mask in masks])
    differ = [mask & (neighbour(labels, o) != labels) for mask, o in zip(masks, offsets(size), strict=True)]
    edges.append(2 * tf.add_n([count(d) for d in differ]))
    nonedges.append(num_classes * pairs - edges[-1])
  return tf.stack(edges), tf.stack(nonedges)


def count(mask):
  return tf.cast(tf.math.count_nonzero(mask), tf.float32)


@tf.function(jit_compile=True)
def affinity_sums(labels, probs, num_classes: int, kld_margin: float, sizes=SIZES):
  """Sums of the edge and of the non-edge entries by the centre's label: float32 (edge [C, S], nonedge [C, S])."""
  tf.debugging.assert_shapes([(labels, 'NHW'), (probs, ('N', 'H', 'W', num_classes))])
  p = tf.cast(probs, tf.float32)
  p, q = tf.clip_by_value(p, FLOOR, 1.0), tf.clip_by_value(1 - p, FLOOR, 1.0)
  labels = tf.where(valid_labels(labels, num_classes), tf.cast(labels, tf.int32), -1)
  by_label = tf.reshape(tf.one_hot(labels, num_classes), [-1, num_classes])
  sums = []
  for size in sizes:
    edge, nonedge = centre_sums(labels, p, q, kld_margin, size)
    sums.append(tf.matmul(by_label, tf.reshape(tf.stack([edge, nonedge], -1), [-1, 2]), transpose_a=True))
  return tuple(tf.unstack(tf.stack(sums, 1), axis=-1))


def centre_sums(labels, p, q, margin: float, size: int):
  """Per centre pixel the sums of its edge and of its non-edge entries, over neighbours and classes: two [N, H, W].

  labels [N, H, W] with -1 for ignored; p, q [N, H, W, C] clipped.
  """
  steps = offsets(size)
  masks = pair_masks(labels >= 0, size)
  weights = [tf.cast(mask, tf.float32) for mask in masks]
  log_p, log_q = tf.math.log(p), tf.math.log(q)

  # Every entry of every pair, as if none were an edge.
  negentropy = tf.reduce_sum(p * log_p + q * log_q, -1)
  sum_p = tf.add_n([w[..., tf.newaxis] * neighbour(p, o) for w, o in zip(weights, steps, strict=True)])
  sum_q = tf.add_n([w[..., tf.newaxis] * neighbour(q, o) for w, o in zip(weights, steps, strict=True)])
  every = tf.add_n([w * neighbour(negentropy, o) for w, o in zip(weights, steps, strict=True)])
  every -= tf.reduce_sum(sum_p * log_p + sum_q * log_q, -1)

  # The two edge entries of every pair whose labels differ, at the classes of its two labels.
  own = [at_class(x, labels) for x in (p, q)]  # a pixel's probability of its own label
  cross = [[at_class(x, neighbour(labels, o)) for x in (p, q)] for o in steps]  # and of its neighbour's
  edge_cost, edge_kl = [], []
  for k, (mask, o) in enumerate(zip(masks, steps, strict=True)):
    different = mask & (neighbour(labels, o) != labels)
    at_centre = kl([neighbour(x, o) for x in cross[7 - k]], own, different)
    at_other = kl([neighbour(x, o) for x in own], cross[k], different)
    for entry in (at_centre, at_other):
      edge_cost.append(tf.where(different, tf.nn.relu(margin - entry), 0))
      edge_kl.append(entry)
  return tf.add_n(edge_cost), every - tf.add_n(edge_kl)


def kl(neighbour_pq, centre_pq, where):
  """kl of one entry, from p and q of both pixels; 0 where the pair is not wanted."""
  pairs = [[tf.where(where, x, 1.0) for x in pq] for pq in zip(neighbour_pq, centre_pq, strict=True)]
  return tf.add_n([a * tf.math.log(a / b) for a, b in pairs])
