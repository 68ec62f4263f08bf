"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335, equations 3 to 7).

For a pair (i, j) of pixels (see `layers`) and a class c, with p and q = 1 - p both clipped to [1e-4, 1],

  kl = p_j log(p_j / p_i) + q_j log(q_j / q_i).

Where exactly one of i and j is labelled c, the entry is an *edge* entry and costs max(0, margin - kl); every other
entry is a *non-edge* entry and costs kl. The losses are means over all edge and over all non-edge entries.

Conventions: labels are integers [N, H, W], ignored where they are no class; probs are softmax probabilities
[N, H, W, C] of any float dtype. All arithmetic is float32. An empty set of entries contributes 0.

No tensor of pairs x classes is stored. XLA compiles the sums over a size's pairs into one loop over [C, pixels], where
a pixel's eight neighbours are eight shifts (`layers.Layout`). The gradient is written out, so that it is such a loop.
"""

import tensorflow as tf

from .layers import IGNORED, Layout, classes_only

FLOOR = 1e-4  # p and 1 - p are clipped to [FLOOR, 1] before the logarithm
SIZES = (1, 2, 3)  # of the adaptive loss

compiled = tf.function(jit_compile=True, autograph=False)


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
  return counts(labels, num_classes, tuple(sizes))


def affinity_sums(labels, probs, num_classes: int, kld_margin: float, sizes=SIZES):
  """Sums of the edge and of the non-edge entries by the centre's label: float32 (edge [C, S], nonedge [C, S])."""
  tf.debugging.assert_shapes([(labels, 'NHW'), (probs, ('N', 'H', 'W', num_classes))])
  settings = num_classes, kld_margin, tuple(sizes)

  @tf.custom_gradient
  def differentiable(probs):
    def gradient(d_edge, d_nonedge):
      return sums_gradient(labels, probs, d_edge, d_nonedge, *settings)

    return sums(labels, tf.stop_gradient(probs), *settings), gradient

  return differentiable(tf.cast(probs, tf.float32))


@compiled
def counts(labels, num_classes, sizes):
  labels = classes_only(labels, num_classes)
  layout = Layout(tf.shape(labels), max(sizes))
  labels = layout.lay(labels, IGNORED)

  def of_size(size):
    pairs = [layout.counted(labels, 0, shift) for shift in layout.shifts(size)]
    differ = [layout.at(labels) != layout.at(labels, shift) for shift in layout.shifts(size)]
    edges = 2 * tf.math.count_nonzero(tf.logical_and(pairs, differ), dtype=tf.int32)
    entries = num_classes * tf.math.count_nonzero(pairs, dtype=tf.int32)
    return tf.cast(edges, tf.float32), tf.cast(entries - edges, tf.float32)

  return tf.map_fn(of_size, tf.constant(sizes), fn_output_signature=(tf.float32, tf.float32))


class Entries:
  """What the entries of all pairs are made of, laid out for shifting: labels [L], classes [C, 1], the others [C, L].

  `centre` and `neighbour` are shifts from each pixel to the two pixels of a pair; one of them is 0.
  """

  def __init__(self, labels, probs, num_classes, sizes):
    labels = classes_only(labels, num_classes)
    self.layout = Layout(tf.shape(labels), max(sizes))
    self.labels = self.layout.lay(labels, IGNORED)
    self.classes = tf.range(num_classes)[:, tf.newaxis]
    p = self.layout.lay(tf.transpose(tf.ensure_shape(probs, [None, None, None, num_classes]), [3, 0, 1, 2]), 0.0)
    self.p, self.q = tf.clip_by_value(p, FLOOR, 1.0), tf.clip_by_value(1 - p, FLOOR, 1.0)
    self.log_p, self.log_q = tf.math.log(self.p), tf.math.log(self.q)

  def is_edge(self, centre, neighbour):
    one, other = (self.layout.at(self.labels, shift) == self.classes for shift in (centre, neighbour))
    return one ^ other

  def log_ratios(self, centre, neighbour):
    """log(p_j / p_i), log(q_j / q_i)."""
    at = self.layout.at
    return [at(x, neighbour) - at(x, centre) for x in (self.log_p, self.log_q)]

  def kl(self, centre, neighbour):
    p, q = self.layout.at(self.p, neighbour), self.layout.at(self.q, neighbour)
    log_p, log_q = self.log_ratios(centre, neighbour)
    return p * log_p + q * log_q


@compiled
def sums(labels, probs, num_classes, margin, sizes):
  entries = Entries(labels, probs, num_classes, sizes)
  layout = entries.layout
  by_label = tf.one_hot(layout.at(entries.labels), num_classes)

  def of_size(size):
    edge = nonedge = 0.0
    for shift in layout.shifts(size):
      pair = 0, shift
      counted, is_edge, kl = layout.counted(entries.labels, *pair), entries.is_edge(*pair), entries.kl(*pair)
      edge += tf.where(counted & is_edge, tf.nn.relu(margin - kl), 0)
      nonedge += tf.where(counted & ~is_edge, kl, 0)
    return tuple(tf.reduce_sum(tf.matmul(x, by_label), 0) for x in (edge, nonedge))

  by_size = tf.map_fn(of_size, tf.constant(sizes), fn_output_signature=(tf.float32, tf.float32))
  return tuple(tf.transpose(x) for x in by_size)


@compiled
def sums_gradient(labels, probs, d_edge, d_nonedge, num_classes, margin, sizes):
  """dL/dp [N, H, W, C] from dL/dedge and dL/dnonedge [C, S].

  Let g(i, j) be dL/dkl of a pair's entry: -dL/dedge while kl < margin, or dL/dnonedge, of the centre's label. Every
  pixel is a centre and a neighbour, so

    dL/dp_i = sum over j of  g(i, j) (q_j / q_i - p_j / p_i)  +  g(j, i) (log(p_i / p_j) + 1 - log(q_i / q_j) - 1),

  without the terms of p where p_i is clipped, and without those of q where q_i is.
  """
  entries = Entries(labels, probs, num_classes, sizes)
  layout, at = entries.layout, entries.layout.at
  free_p, free_q = (tf.cast(at(x) > FLOOR, tf.float32) for x in (entries.p, entries.q))
  inverse_p, inverse_q = free_p / at(entries.p), free_q / at(entries.q)

  def add_size(d_p, of_size):
    size, *upstream = of_size
    d_edge, d_nonedge = (tf.gather(x, tf.maximum(entries.labels, 0)) for x in upstream)

    def d_kl(*pair):
      edge = tf.where(entries.kl(*pair) < margin, -at(d_edge, pair[0]), 0)
      d = tf.where(entries.is_edge(*pair), edge, at(d_nonedge, pair[0]))
      return tf.where(layout.counted(entries.labels, *pair), d, 0)

    for shift in layout.shifts(size):
      d_p += d_kl(0, shift) * (at(entries.q, shift) * inverse_q - at(entries.p, shift) * inverse_p)
      log_p, log_q = entries.log_ratios(shift, 0)
      d_p += d_kl(shift, 0) * (free_p * (log_p + 1) - free_q * (log_q + 1))
    return d_p

  by_size = tf.constant(sizes), tf.transpose(d_edge), tf.transpose(d_nonedge)
  d_p = tf.foldl(add_size, by_size, tf.zeros_like(free_p))
  return tf.transpose(layout.unlay(d_p), [1, 2, 3, 0])
