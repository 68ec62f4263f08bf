"""One training step: the gradients of the joint loss and the update.

Conventions: step s counts from 0. Images are float32 [B, H, W, 3], labels int32 [B, H, W].
"""

import tensorflow as tf

from utils.optim.auxiliary import AuxiliaryLoss
from utils.optim.optimizers import RULES
from utils.optim.schedules import affinity_decay, learning_rate


def make_step(strategy, state, args):
  """Returns `step(batches, s) -> {name: float32 scalar}`: one update on the joint loss of `--iter-size` global batches.

  `batches` is a list of (images, labels). Losses are sums over all pixels of all batches and replicas, divided by the
  counts of all; so neither the replicas nor the number of batches change the result (batch statistics apart).
  Gradients and losses are added up over the replicas by one grouped all-reduce. A loss that is not finite updates
  nothing.
  """
  model, objective = state.model, state.objective
  scaled = args.precision == 'float16'
  stride = model.logits_stride
  auxiliary = AuxiliaryLoss(model, objective, args.aux_weight)

  def at_stride(labels):
    return labels[:, ::stride, ::stride]

  def counts_of(labels):
    return {**objective.counts(at_stride(labels)), **auxiliary.counts(labels)}

  def counts_by_logits_of(images, labels):
    """By a forward pass of its own, after which the moving averages are what they were."""
    averages = [v for v in model.variables if not v.trainable]
    before = [tf.identity(v) for v in averages]
    logits = model(images, training=not args.use_global_status)
    counts = objective.counts_by_logits(at_stride(labels), logits)
    for variable, value in zip(averages, before, strict=True):
      variable.assign(value)
    return counts

  def gradients_of(images, labels, counts, s):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(state.trained)
      logits, auxiliary_logits = model.with_auxiliary(images, training=not args.use_global_status)
      if objective.has_counts_by_logits and args.iter_size == 1:
        by_logits = objective.counts_by_logits(at_stride(labels), tf.stop_gradient(logits))
        counts = {**counts, **tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, by_logits)}
      decay = affinity_decay(s, args.num_steps, objective.decay)
      terms = objective.terms(at_stride(labels), logits, counts, decay)
      terms |= auxiliary.terms(labels, auxiliary_logits, counts, decay)
      loss = tf.add_n(list(terms.values()))
      loss = loss * state.loss_scale if scaled else loss
    return tape.gradient(loss, state.trained), terms

  def add_up(per_replica):
    """Adds up every tensor of a structure over the replicas, all by one all-reduce; each replica has the sums."""
    flat = tf.nest.flatten(per_replica)
    sums = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, [(x, x) for x in flat])
    return tf.nest.pack_sequence_as(per_replica, sums)

  def first_replica(mirrored):
    return tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], mirrored)

  def update(gradients, terms, s):
    """Cross-replica: updates every variable unless something is not finite."""
    terms = first_replica(terms)
    loss = tf.add_n(list(terms.values()))
    finite = tf.math.is_finite(loss)
    factor = tf.constant(1.0) if scaled or args.clip_norm else None
    if factor is not None:
      norm = tf.linalg.global_norm(first_replica(gradients))
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

  # --iter-size 1: the whole step is one graph.
  def whole_step(images, labels, s):
    counts = add_up(strategy.run(counts_of, (labels,)))
    gradients, terms = add_up(strategy.run(gradients_of, (images, labels, counts, s)))
    return update(gradients, terms, s)

  whole_step = tf.function(whole_step, jit_compile=args.xla or None)
  if args.iter_size == 1:
    return lambda batches, s: whole_step(*batches[0], s)

  # Else: the counts of all batches first; gradients batch by batch into sums, which each replica keeps; one update.
  per_replica = {'synchronization': tf.VariableSynchronization.ON_READ, 'aggregation': tf.VariableAggregation.SUM}
  with strategy.scope():
    sums = [tf.Variable(tf.zeros_like(v), trainable=False, **per_replica) for v in state.trained]

  def accumulate_on_replica(images, labels, counts, s, first):
    gradients, terms = gradients_of(images, labels, counts, s)
    for gradient_sum, gradient in zip(sums, gradients, strict=True):
      gradient_sum.assign(tf.where(first, gradient, gradient_sum + gradient))
    return terms

  @tf.function
  def count(images, labels):
    counts = strategy.run(counts_of, (labels,))
    if objective.has_counts_by_logits:
      counts |= strategy.run(counts_by_logits_of, (images, labels))
    return first_replica(add_up(counts))

  @tf.function
  def accumulate(images, labels, counts, s, first):
    return first_replica(add_up(strategy.run(accumulate_on_replica, (images, labels, counts, s, first))))

  @tf.function
  def finish(terms, s):
    return update(add_up(strategy.run(lambda: [tf.identity(gradient_sum) for gradient_sum in sums])), terms, s)

  def step(batches, s):
    counts = add(count(*batch) for batch in batches)
    first = [tf.constant(i == 0) for i in range(len(batches))]
    terms = add(accumulate(*batch, counts, s, f) for batch, f in zip(batches, first, strict=True))
    return finish(terms, s)

  return step


def add(dicts) -> dict:
  """Adds up dicts of tensors with the same keys."""
  dicts = list(dicts)
  return {key: tf.add_n([d[key] for d in dicts]) for key in dicts[0]}


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
