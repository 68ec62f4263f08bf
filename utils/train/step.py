"""One training step: the counts of a batch, the gradients of the joint loss on each replica, and the update.

Conventions: step s counts from 0. `batches` is a list of (images, labels), each replica's own: float32 [B, H, W, 3],
int32 [B, H, W]. Counts and terms are {name: float32 scalar}. Nothing here or below asks Python about a tensor's value,
so the functions are traced without AutoGraph, which takes half the time.
"""

import tensorflow as tf

from utils.train.objectives import CrossEntropy
from utils.train.optimizers import RULES, affinity_decay, learning_rate


def make_step(strategy, state, args):
  """Returns `step(batches, s) -> {name: float32 scalar}`: one update on the joint loss of `--iter-size` global batches.

  Losses are sums over all pixels of all batches and replicas, divided by the counts of all; so neither the replicas nor
  the number of batches change the result (batch statistics apart). Gradients and losses are added up over the replicas
  by one grouped all-reduce. A loss that is not finite updates nothing.
  """
  return (one_batch if args.iter_size == 1 else several_batches)(strategy, state, args)


def one_batch(strategy, state, args):
  """The step of `--iter-size 1`: one graph."""
  joint_loss = JointLoss(state, args)

  def whole_step(images, labels, s):
    counts = sum_over_replicas(strategy, strategy.run(joint_loss.counts, (labels,)))
    gradients, terms = sum_over_replicas(strategy, strategy.run(joint_loss.gradients, (images, labels, counts, s)))
    return update(strategy, state, args, gradients, terms, s)

  whole_step = tf.function(whole_step, jit_compile=args.xla or None, autograph=False)
  return lambda batches, s: whole_step(*batches[0], s)


def several_batches(strategy, state, args):
  """The counts of all batches first; gradients batch by batch into sums, which each replica keeps; one update."""
  joint_loss = JointLoss(state, args)
  per_replica = {'synchronization': tf.VariableSynchronization.ON_READ, 'aggregation': tf.VariableAggregation.SUM}
  with strategy.scope():
    sums = [tf.Variable(tf.zeros_like(v), trainable=False, **per_replica) for v in state.trained]

  def accumulate_on_replica(images, labels, counts, s, first):
    gradients, terms = joint_loss.gradients(images, labels, counts, s)
    for gradient_sum, gradient in zip(sums, gradients, strict=True):
      gradient_sum.assign(tf.where(first, gradient, gradient_sum + gradient))
    return terms

  @tf.function(autograph=False)
  def count(images, labels):
    counts = strategy.run(joint_loss.counts, (labels,))
    if joint_loss.objective.has_counts_by_logits:
      counts |= strategy.run(joint_loss.counts_by_logits, (images, labels))
    return first_replica(strategy, sum_over_replicas(strategy, counts))

  @tf.function(jit_compile=args.xla or None, autograph=False)
  def accumulate(images, labels, counts, s, first):
    terms = strategy.run(accumulate_on_replica, (images, labels, counts, s, first))
    return first_replica(strategy, sum_over_replicas(strategy, terms))

  @tf.function(jit_compile=args.xla or None, autograph=False)
  def finish(terms, s):
    gradients = strategy.run(lambda: [tf.identity(gradient_sum) for gradient_sum in sums])
    return update(strategy, state, args, sum_over_replicas(strategy, gradients), terms, s)

  def step(batches, s):
    counts = sum_over_batches(count(*batch) for batch in batches)
    first = [tf.constant(i == 0) for i in range(len(batches))]
    terms = sum_over_batches(accumulate(*batch, counts, s, f) for batch, f in zip(batches, first, strict=True))
    return finish(terms, s)

  return step


def sum_over_replicas(strategy, per_replica):
  """Adds up every tensor of a structure over the replicas, all by one all-reduce; each replica has the sums."""
  flat = tf.nest.flatten(per_replica)
  sums = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, [(x, x) for x in flat])
  return tf.nest.pack_sequence_as(per_replica, sums)


def sum_over_batches(dicts) -> dict:
  """Adds up dicts of tensors with the same keys."""
  dicts = list(dicts)
  return {key: tf.add_n([d[key] for d in dicts]) for key in dicts[0]}


def at_stride(labels, stride: int):
  """The labels of the pixels on which the features of this stride sit."""
  return labels[:, ::stride, ::stride]


class JointLoss:
  """The objective's terms and the auxiliary head's: sums over its images, divided by counts of all replicas.

  The term `aux_loss` of an auxiliary head is `--aux-weight` times the mean cross-entropy of its logits, at their own
  stride: with the objective's class weights and label smoothing, over all labelled pixels.
  """

  def __init__(self, state, args):
    self.state, self.args = state, args
    self.model, self.objective = state.model, state.objective
    of_all_pixels = self.objective.options._replace(ohem_threshold=None)
    self.auxiliary = CrossEntropy(self.objective.num_classes, of_all_pixels)

  def counts(self, labels) -> dict:
    """What the labels decide: of pixels, pairs, images."""
    counts = self.objective.counts(at_stride(labels, self.model.logits_stride))
    if self.model.auxiliary_head is not None:
      counts['aux_pixels'] = self.auxiliary.counts(at_stride(labels, self.model.auxiliary_stride))['pixels']
    return counts

  def counts_by_logits(self, images, labels) -> dict:
    """What the logits decide, by a forward pass of its own, after which the moving averages are what they were."""
    averages = [v for v in self.model.variables if not v.trainable]
    before = [tf.identity(v) for v in averages]
    logits = self.model(images, training=not self.args.use_global_status)
    counts = self.objective.counts_by_logits(at_stride(labels, self.model.logits_stride), logits)
    for variable, value in zip(averages, before, strict=True):
      variable.assign(value)
    return counts

  def gradients(self, images, labels, counts, s) -> tuple[list, dict]:
    """Gradients of the replica's share of the loss for `state.trained`, times the loss scale in float16; and its terms.

    `counts` are of all batches and replicas; with `--iter-size` 1, those that the logits decide are added here. s: the
    step.
    """
    labels_at_logits = at_stride(labels, self.model.logits_stride)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(self.state.trained)
      logits, auxiliary_logits = self.model.with_auxiliary(images, training=not self.args.use_global_status)
      if self.objective.has_counts_by_logits and self.args.iter_size == 1:
        by_logits = self.objective.counts_by_logits(labels_at_logits, tf.stop_gradient(logits))
        counts = {**counts, **tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, by_logits)}
      decay = affinity_decay(s, self.args.num_steps, self.objective.decay)
      terms = self.objective.terms(labels_at_logits, logits, counts, decay)
      if self.model.auxiliary_head is not None:
        count = {'pixels': counts['aux_pixels']}
        share = self.auxiliary.terms(at_stride(labels, self.model.auxiliary_stride), auxiliary_logits, count, decay)
        terms['aux_loss'] = self.args.aux_weight * share['seg_loss']
      loss = tf.add_n(list(terms.values()))
      loss = loss * self.state.loss_scale if self.args.precision == 'float16' else loss
    return tape.gradient(loss, self.state.trained), terms


def update(strategy, state, args, gradients, terms, s) -> dict:
  """Updates every variable unless the loss, or in float16 a gradient, is not finite. Returns {name: float32 scalar} for
  the log.

  gradients, terms: of the joint loss, mirrored on the replicas; s: the step.
  """
  scaled = args.precision == 'float16'
  terms = first_replica(strategy, terms)
  loss = tf.add_n(list(terms.values()))
  finite = tf.math.is_finite(loss)
  factor = tf.constant(1.0) if scaled or args.clip_norm else None
  if factor is not None:
    norm = tf.linalg.global_norm(first_replica(strategy, gradients))
    if scaled:
      factor /= state.loss_scale
      finite = adapt_loss_scale(state, finite, tf.math.is_finite(norm))
    if args.clip_norm:
      factor *= tf.minimum(1.0, tf.math.divide_no_nan(args.clip_norm, norm * factor))
  rate = learning_rate(s, args)

  def apply():
    count = state.count_update()
    rows = zip(state.trained, state.optimizers, state.slots, gradients, state.rates, state.weight_decays, strict=True)
    for variable, kind, slots, gradient, scale, decay in rows:

      def assign(v, g, *slots, kind=kind, scale=scale, decay=decay):
        g = g if factor is None else g * factor
        RULES[kind](v, slots, g, scale * rate, decay, count, args)

      strategy.extended.update(variable, assign, args=(gradient, *slots), group=False)
    if state.averages:
      state.averages.update(strategy, s)
    return tf.constant(True)

  tf.cond(finite, apply, lambda: tf.constant(False))
  scale_metric = {'loss_scale': tf.identity(state.loss_scale)} if scaled else {}
  return {**terms, 'loss': loss, 'lr': rate, **scale_metric}


def first_replica(strategy, mirrored):
  """The value on the first replica of every tensor of a structure."""
  return tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], mirrored)


def adapt_loss_scale(state, finite_loss, finite_gradients):
  """Float16's dynamic loss scale: halved when a gradient overflows, doubled after 2,000 steps without.

  Returns whether to update: an overflow skips the step. A loss that is itself not finite changes nothing.
  """
  good = state.finite_steps + 1
  grow = good >= 2000
  scale = tf.where(finite_gradients, tf.where(grow, 2.0, 1.0), tf.where(finite_loss, 0.5, 1.0))
  state.loss_scale.assign(tf.clip_by_value(state.loss_scale * scale, 1.0, 2.0**24))
  state.finite_steps.assign(tf.where(finite_gradients, tf.where(grow, 0, good), 0))
  return finite_loss & finite_gradients
