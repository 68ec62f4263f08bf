"""What a training script minimises: cross-entropy alone, with another loss beside it, or with an affinity loss.

An objective gives counts, which follow from the labels alone, and terms: its replica's share of each loss, a sum over
its own pixels divided by the count of the whole global batch (and of all `--iter-size` batches). Shares add up to the
loss, whoever computed them, and their gradients add up to its gradient. A count that depends on the logits too (how
many pixels are hard) is one of `counts_by_logits`: see there for what it costs.

Conventions: labels int32 [N, h, w] at logits size, ignored where >= num_classes; logits float32 [N, h, w, C].
"""

import tensorflow as tf

from network.aaf.losses import SIZES, affinity_counts, affinity_sums
from network.aaf.modules import reversed_gradient
from network.losses import EXTRA_LOSSES, ExtraLoss
from network.losses.cross_entropy import PLAIN, Options, cross_entropy_sum, kept_weight, labelled_weight
from utils.train.optimizers import DECAY


class CrossEntropy(tf.Module):
  """Softmax cross-entropy, the mean over the pixels that are not ignored: term `seg_loss`.

  `options` adds label smoothing, class weights and hard example mining; `extra_loss`, one of EXTRA_LOSSES, adds that
  loss times `extra_weight`: term `NAME_loss`.
  """

  decay = DECAY  # the base of `utils.train.optimizers.affinity_decay`; without affinity terms nothing decays
  weight_rate = 1.0  # of the objective's own variables, times the learning rate

  def __init__(
    self, num_classes: int, options: Options = PLAIN, extra_loss: str | None = None, extra_weight: float = 1.0
  ):
    super().__init__()
    self.num_classes, self.options = num_classes, options
    self.extra_loss, self.extra_weight = extra_loss, extra_weight
    self.extra = EXTRA_LOSSES.get(extra_loss, ExtraLoss(None))

  @classmethod
  def from_flags(cls, args, class_weights: tuple[float, ...] | None = None):
    """The objective that a training script's flags ask for; `class_weights` are those of `--class-weights`.

    Only the affinity scripts have flags --kld-NAME; NAME is an argument of `Affinity` or `AdaptiveAffinity`.
    """
    options = Options(args.ohem_threshold, args.ohem_min_kept, class_weights, args.label_smoothing)
    flags = {name.removeprefix('kld_'): value for name, value in vars(args).items() if name.startswith('kld_')}
    extra = {'extra_loss': args.extra_loss, 'extra_weight': args.extra_weight}
    return cls(args.num_classes, **flags, options=options, **extra)

  def counts(self, labels) -> dict:
    """Float32 tensors by name; those of several batches are to be added up."""
    counts = {'pixels': labelled_weight(labels, self.num_classes, self.options)}
    if self.extra.count:
      counts['extra'] = self.extra.count(labels, self.num_classes)
    return counts

  @property
  def has_counts_by_logits(self) -> bool:
    return self.options.ohem_threshold is not None or self.extra.count_by_logits is not None

  def counts_by_logits(self, labels, logits) -> dict:
    """The counts that the forward pass decides, constants for the gradient; to be added up as `counts` are.

    With one batch per update, that is an all-reduce of one number within the step. With several (`--iter-size`) the
    gradients of the first need the count of the last, so each batch passes forward twice: about a third more work.
    """
    counts = {}
    if self.options.ohem_threshold is not None:
      counts['kept'] = kept_weight(labels, logits, self.options)
    if self.extra.count_by_logits:
      counts['extra'] = self.extra.count_by_logits(labels, logits)
    return counts

  def terms(self, labels, logits, counts, decay) -> dict:
    """The shares of each loss, float32 scalars by name; their sum is what is minimised (weight decay apart).

    `counts`: the sums of `counts` and of `counts_by_logits` over all replicas and batches.
    """
    total = cross_entropy_sum(labels, logits, self.options)
    terms = {'seg_loss': tf.math.divide_no_nan(total, counts.get('kept', counts['pixels']))}
    if self.extra_loss:
      share = tf.math.divide_no_nan(self.extra.total(labels, logits), counts['extra'])
      terms[f'{self.extra_loss}_loss'] = self.extra_weight * share
    return terms


class Affinity(CrossEntropy):
  """Plus `decay * (lambda_1 * edge + lambda_2 * nonedge)`, summed over the distances `sizes`: term `aff_loss`."""

  term, sizes = 'aff_loss', (1,)

  def __init__(
    self,
    num_classes: int,
    margin: float,
    lambda_1: float,
    lambda_2: float,
    sizes: tuple[int, ...] | None = None,
    decay: float = DECAY,
    **kwargs,
  ):
    super().__init__(num_classes, **kwargs)
    self.margin, self.lambdas, self.decay = margin, (lambda_1, lambda_2), decay
    self.sizes = tuple(sizes or self.sizes)

  def counts(self, labels) -> dict:
    edge, nonedge = affinity_counts(labels, self.num_classes, self.sizes)
    return {**super().counts(labels), 'edge': edge, 'nonedge': nonedge}

  def terms(self, labels, logits, counts, decay) -> dict:
    probs = tf.nn.softmax(logits)
    sums = affinity_sums(labels, probs, self.num_classes, self.margin, self.sizes)
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

  The weights are a softmax over the sizes of `edge_w` and `nonedge_w` (1, 1, 1, C, 1, S). These ascend the loss: their
  gradient is reversed.
  """

  term, sizes = 'aaf_loss', SIZES

  def __init__(self, num_classes: int, *args, weight_rate: float = 1.0, **kwargs):
    super().__init__(num_classes, *args, **kwargs)
    self.weight_rate = weight_rate
    shape = (1, 1, 1, num_classes, 1, len(self.sizes))
    self.edge_w = tf.Variable(lambda: tf.zeros(shape), name='edge_w')
    self.nonedge_w = tf.Variable(lambda: tf.zeros(shape), name='nonedge_w')

  def entry_weights(self):
    shape = [self.num_classes, len(self.sizes)]
    return [tf.nn.softmax(reversed_gradient(tf.reshape(w, shape))) for w in (self.edge_w, self.nonedge_w)]
