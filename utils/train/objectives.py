"""What a training script minimises: cross-entropy alone, with the affinity loss, or with the adaptive affinity loss.

An objective gives counts, which follow from the labels alone, and terms: its replica's share of each loss, a sum over
its own pixels divided by the count of the whole global batch (and of all `--iter-size` batches). Shares add up to the
loss, whoever computed them, and their gradients add up to its gradient.

Conventions: labels int32 [N, h, w] at logits size, ignored where >= num_classes; logits float32 [N, h, w, C].
"""

import tensorflow as tf

from network.aaf.layers import valid_labels
from network.aaf.losses import SIZES, affinity_counts, affinity_sums
from utils.train.schedules import DECAY


class CrossEntropy(tf.Module):
  """Softmax cross-entropy, the mean over the pixels that are not ignored: term `seg_loss`."""

  decay = DECAY  # the base of `utils.train.step.affinity_decay`; without affinity terms nothing decays

  def __init__(self, num_classes: int):
    super().__init__()
    self.num_classes = num_classes

  def counts(self, labels) -> dict:
    """Float32 tensors by name; those of several batches are to be added up."""
    valid = valid_labels(labels, self.num_classes)
    return {'pixels': tf.cast(tf.math.count_nonzero(valid), tf.float32)}

  def terms(self, labels, logits, counts, decay) -> dict:
    """The shares of each loss, float32 scalars by name; their sum is what is minimised (weight decay apart)."""
    valid = valid_labels(labels, self.num_classes)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(valid, labels, 0), logits)
    total = tf.reduce_sum(tf.where(valid, losses, 0))
    return {'seg_loss': tf.math.divide_no_nan(total, counts['pixels'])}


class Affinity(CrossEntropy):
  """Plus `decay * (lambda_1 * edge + lambda_2 * nonedge)`, summed over the distances `sizes`: term `aff_loss`."""

  term, sizes = 'aff_loss', (1,)

  def __init__(
    self,
    num_classes: int,
    kld_margin: float,
    lambda_edge: float,
    lambda_nonedge: float,
    sizes: tuple[int, ...] | None = None,
    decay: float = DECAY,
  ):
    super().__init__(num_classes)
    self.kld_margin, self.lambdas, self.decay = kld_margin, (lambda_edge, lambda_nonedge), decay
    self.sizes = tuple(sizes or self.sizes)

  def counts(self, labels) -> dict:
    edge, nonedge = affinity_counts(labels, self.num_classes, self.sizes)
    return {**super().counts(labels), 'edge': edge, 'nonedge': nonedge}

  def terms(self, labels, logits, counts, decay) -> dict:
    probs = tf.nn.softmax(logits)
    sums = affinity_sums(labels, probs, self.num_classes, self.kld_margin, self.sizes)
    edge, nonedge = (
      tf.reduce_sum(tf.math.divide_no_nan(tf.reduce_sum(w * s, 0), counts[name]))
      for w, s, name in zip(self.entry_weights(), sums, ('edge', 'nonedge'), strict=True)
    )
    loss = decay * (self.lambdas[0] * edge + self.lambdas[1] * nonedge)
    return {**super().terms(labels, logits, counts, decay), self.term: loss}

  def entry_weights(self):
    """Weights of edge and non-edge entries by centre label and size, [C, S] each (or 1)."""
    return 1.0, 1.0


class AdaptiveAffinity(Affinity):
  """The same at distances 1, 2 and 3, weighted per class and size: term `aaf_loss`.

  The weights are a softmax over the sizes of `edge_w` and `nonedge_w` (1, 1, 1, C, 1, S), which ascend the loss.
  """

  term, sizes = 'aaf_loss', SIZES

  def __init__(self, num_classes: int, *args, **kwargs):
    super().__init__(num_classes, *args, **kwargs)
    shape = (1, 1, 1, num_classes, 1, len(self.sizes))
    self.edge_w = tf.Variable(lambda: tf.zeros(shape), name='edge_w')
    self.nonedge_w = tf.Variable(lambda: tf.zeros(shape), name='nonedge_w')

  def entry_weights(self):
    shape = [self.num_classes, len(self.sizes)]
    return [tf.nn.softmax(tf.reshape(w, shape)) for w in (self.edge_w, self.nonedge_w)]
