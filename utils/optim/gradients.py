"""What one replica computes of a training step: its counts, and the gradients of the joint loss.

Conventions: images are float32 [B, H, W, 3], labels int32 [B, H, W], both the replica's own. Counts and terms are
{name: float32 scalar}.
"""

import tensorflow as tf

from utils.optim.auxiliary import AuxiliaryLoss
from utils.optim.schedules import affinity_decay


class JointLoss:
  """The objective's terms and the auxiliary head's: sums over its images, divided by counts of all replicas."""

  def __init__(self, state, args):
    self.state, self.args = state, args
    self.model, self.objective = state.model, state.objective
    self.auxiliary = AuxiliaryLoss(self.model, self.objective, args.aux_weight)

  def at_stride(self, labels):
    stride = self.model.logits_stride
    return labels[:, ::stride, ::stride]

  def counts(self, labels) -> dict:
    """What the labels decide: of pixels, pairs, images."""
    return {**self.objective.counts(self.at_stride(labels)), **self.auxiliary.counts(labels)}

  def counts_by_logits(self, images, labels) -> dict:
    """What the logits decide, by a forward pass of its own, after which the moving averages are what they were."""
    averages = [v for v in self.model.variables if not v.trainable]
    before = [tf.identity(v) for v in averages]
    logits = self.model(images, training=not self.args.use_global_status)
    counts = self.objective.counts_by_logits(self.at_stride(labels), logits)
    for variable, value in zip(averages, before, strict=True):
      variable.assign(value)
    return counts

  def gradients(self, images, labels, counts, s) -> tuple[list, dict]:
    """Gradients of the replica's share of the loss for `state.trained`, times the loss scale in float16; and its terms.

    `counts` are of all batches and replicas; with `--iter-size` 1, those that the logits decide are added here. s: the
    step.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(self.state.trained)
      logits, auxiliary_logits = self.model.with_auxiliary(images, training=not self.args.use_global_status)
      if self.objective.has_counts_by_logits and self.args.iter_size == 1:
        by_logits = self.objective.counts_by_logits(self.at_stride(labels), tf.stop_gradient(logits))
        counts = {**counts, **tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, by_logits)}
      decay = affinity_decay(s, self.args.num_steps, self.objective.decay)
      terms = self.objective.terms(self.at_stride(labels), logits, counts, decay)
      terms |= self.auxiliary.terms(labels, auxiliary_logits, counts, decay)
      loss = tf.add_n(list(terms.values()))
      loss = loss * self.state.loss_scale if self.args.precision == 'float16' else loss
    return tape.gradient(loss, self.state.trained), terms
