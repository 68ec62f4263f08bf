"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335, equations 3 to 7).

For a pair (i, j) of pixels (see `layers`) and a class c, with p and q = 1 - p both clipped to [1e-4, 1],

  kl = p_j log(p_j / p_i) + q_j log(q_j / q_i).

Where exactly one of i and j is labelled c, the entry is an *edge* entry and costs max(0, margin - kl); every other
entry is a *non-edge* entry and costs kl. The losses are means over all edge and over all non-edge entries.

Conventions: labels are integers [N, H, W], ignored unless in [0, C); probs are softmax probabilities
[N, H, W, C] of any float dtype. All arithmetic is float32. An empty set of entries contributes 0. `affinity_loss` and
`adaptive_affinity_loss` also take labels [N, H, W, 1], and num_classes 1 for one sigmoid channel p of the classes 0 and
1: [1 - p, p].

No tensor of pairs x classes is stored. XLA compiles the sums over a size's pairs into one loop over [C, pixels], where
a pixel's eight neighbours are eight shifts (`layers.Layout`). The gradient is written out, to be such a loop too.
"""

from typing import NamedTuple

import tensorflow as tf

from .layers import IGNORED, Layout, class_count, classes_only, is_pair, label_maps

FLOOR = 1e-4  # p and 1 - p are clipped to [FLOOR, 1] before the logarithm
SIZES = (1, 2, 3)  # of the adaptive loss

compiled = tf.function(jit_compile=True, autograph=False)  # such functions take labels from `classes_only`


def affinity_loss(labels, probs, num_classes: int, kld_margin: float):
  """The affinity loss at distance 1 -> scalars (edge, nonedge): means over all entries of the batch.

  Raises:
    ValueError: num_classes is no whole number from 1 on, labels are one-hot, or shapes do not fit.
  """
  equal = tf.ones([class_count(num_classes), 1])
  edge, nonedge = adaptive_affinity_loss(labels, probs, num_classes, kld_margin, equal, equal, sizes=(1,))
  return edge[0], nonedge[0]


def adaptive_affinity_loss(labels, probs, num_classes: int, kld_margin: float, w_edge, w_nonedge, sizes=SIZES):
  """The adaptive affinity loss -> (edge [S], nonedge [S]), one value per size.

  Every entry is multiplied by the weight of its centre pixel's label at that size before the mean.

  Args:
    w_edge, w_nonedge: [C, S], softmaxed over the sizes; [2, S] with num_classes 1. They are to be *maximised* over (a
      minimax): negate their gradient.

  Raises:
    ValueError: as `affinity_loss`; weights of another shape.
  """
  labels, probs, num_classes = each_class(labels, probs, num_classes)
  for name, weights in (('w_edge', w_edge), ('w_nonedge', w_nonedge)):
    if tuple(weights.shape) != (num_classes, len(sizes)):
      raise ValueError(f'{name} has shape {tuple(weights.shape)}, not (classes, sizes) = {(num_classes, len(sizes))}')
  edge, nonedge = affinity_sums(labels, probs, num_classes, kld_margin, sizes)
  edge_count, nonedge_count = affinity_counts(labels, num_classes, sizes)
  mean = tf.math.divide_no_nan
  return (
    mean(tf.reduce_sum(w_edge * edge, 0), edge_count),
    mean(tf.reduce_sum(w_nonedge * nonedge, 0), nonedge_count),
  )


def each_class(labels, probs, num_classes):
  """-> (labels [N, H, W], probs [N, H, W, C], C): a single channel p becomes [1 - p, p]."""
  number, probs = class_count(num_classes), tf.convert_to_tensor(probs)
  if num_classes == 1:
    probs = probs[..., tf.newaxis] if probs.shape.rank == 3 else probs  # Keras drops the channel where labels have none
    tf.debugging.assert_shapes([(probs, ('N', 'H', 'W', 1))])
    probs = tf.concat([1 - probs, probs], -1)
  return label_maps(labels), probs, number


def affinity_counts(labels, num_classes: int, sizes=SIZES):
  """How many edge and non-edge entries there are: float32 (edge [S], nonedge [S]). The labels alone decide."""
  num_classes = int(num_classes)
  return counts(classes_only(labels, num_classes), num_classes, tuple(map(int, sizes)))


def affinity_sums(labels, probs, num_classes: int, kld_margin: float, sizes=SIZES):
  """Sums of the edge and of the non-edge entries by the centre's label: float32 (edge [C, S], nonedge [C, S])."""
  num_classes = int(num_classes)
  kld_margin = kld_margin if tf.is_tensor(kld_margin) else float(kld_margin)
  tf.debugging.assert_shapes([(labels, 'NHW'), (probs, ('N', 'H', 'W', num_classes))])
  labels = classes_only(labels, num_classes)
  settings = num_classes, kld_margin, tuple(map(int, sizes))

  @tf.custom_gradient
  def differentiable(probs):
    def gradient(d_edge, d_nonedge):
      return sums_gradient(labels, probs, d_edge, d_nonedge, *settings)

    return sums(labels, tf.stop_gradient(probs), *settings), gradient

  return differentiable(tf.cast(probs, tf.float32))


@compiled
def counts(labels, num_classes, sizes):
  layout = Layout(tf.shape(labels), max(sizes))
  labels = layout.lay(labels, IGNORED)
  centre = layout.at(labels, 0)

  def of_size(size):
    pairs, differ = [], []
    for shift in layout.shifts(size):
      neighbour, opposite = layout.at(labels, shift), layout.at(labels, -shift)
      pairs.append(is_pair(centre, neighbour, opposite))
      differ.append(centre != neighbour)
    edges = 2 * count(tf.logical_and(pairs, differ))
    return edges, num_classes * count(pairs) - edges

  return tf.map_fn(of_size, tf.constant(sizes), fn_output_signature=(tf.float32, tf.float32))


def count(mask):
  return tf.cast(tf.math.count_nonzero(mask, dtype=tf.int32), tf.float32)


class Pixels(NamedTuple):
  """What an entry takes of a pixel, for all pixels at once: label [L]; the others [C, L]."""

  label: tf.Tensor
  p: tf.Tensor
  q: tf.Tensor
  log_p: tf.Tensor
  log_q: tf.Tensor


def lay_out(labels, probs, num_classes, sizes):
  """The layout, and the pixels laid out."""
  layout = Layout(tf.shape(labels), max(sizes))
  labels = layout.lay(labels, IGNORED)
  probs = tf.ensure_shape(probs, [None, None, None, num_classes])
  p = layout.lay(tf.transpose(probs, [3, 0, 1, 2]), 0.0)
  p, q = tf.clip_by_value(p, FLOOR, 1.0), tf.clip_by_value(1 - p, FLOOR, 1.0)
  return layout, Pixels(labels, p, q, tf.math.log(p), tf.math.log(q))


def kl(i, j):
  return j.p * (j.log_p - i.log_p) + j.q * (j.log_q - i.log_q)


def is_edge(i, j):
  classes = tf.range(i.p.shape[0])[:, tf.newaxis]
  return (i.label == classes) ^ (j.label == classes)


@compiled
def sums(labels, probs, num_classes, margin, sizes):
  layout, pixels = lay_out(labels, probs, num_classes, sizes)
  i = layout.each_at(pixels, 0)
  by_label = tf.one_hot(i.label, num_classes)

  def of_size(size):
    edge = nonedge = 0.0
    for shift in layout.shifts(size):
      j = layout.each_at(pixels, shift)
      pair = is_pair(i.label, j.label, layout.at(pixels.label, -shift))
      cost, at_edge = kl(i, j), is_edge(i, j)
      edge += tf.where(pair & at_edge, tf.nn.relu(margin - cost), 0)
      nonedge += tf.where(pair & ~at_edge, cost, 0)
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
  layout, pixels = lay_out(labels, probs, num_classes, sizes)
  i = layout.each_at(pixels, 0)

  def d_kl(i, j, opposite, d_edge, d_nonedge):
    d = tf.where(is_edge(i, j), tf.where(kl(i, j) < margin, -d_edge, 0), d_nonedge)
    return tf.where(is_pair(i.label, j.label, opposite), d, 0)

  def add_size(d_p, of_size):
    size, *upstream = of_size
    upstream = [tf.gather(by_label, tf.maximum(pixels.label, 0)) for by_label in upstream]
    upstream_i = layout.each_at(upstream, 0)
    free_p, free_q = (tf.cast(x > FLOOR, tf.float32) for x in (i.p, i.q))
    inverse_p, inverse_q = free_p / i.p, free_q / i.q
    for shift in layout.shifts(size):
      j, upstream_j = layout.each_at(pixels, shift), layout.each_at(upstream, shift)
      d = d_kl(i, j, layout.at(pixels.label, -shift), *upstream_i)
      d_p += d * (j.q * inverse_q - j.p * inverse_p)
      d = d_kl(j, i, layout.at(pixels.label, 2 * shift), *upstream_j)
      d_p += d * (free_p * (i.log_p - j.log_p + 1) - free_q * (i.log_q - j.log_q + 1))
    return d_p

  by_size = tf.constant(sizes), tf.transpose(d_edge), tf.transpose(d_nonedge)
  d_p = tf.foldl(add_size, by_size, tf.zeros_like(i.p))
  return tf.transpose(layout.unlay(d_p), [1, 2, 3, 0])
