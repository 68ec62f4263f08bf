"""One training step: the gradients of the joint loss and the update.

Conventions: step s counts from 0. `batches` is a list of (images, labels): float32 [B, H, W, 3], int32 [B, H, W].
"""

import tensorflow as tf

from utils.optim.gradients import JointLoss
from utils.optim.update import first_replica, update


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
    counts = over_replicas(strategy, strategy.run(joint_loss.counts, (labels,)))
    gradients, terms = over_replicas(strategy, strategy.run(joint_loss.gradients, (images, labels, counts, s)))
    return update(strategy, state, args, gradients, terms, s)

  whole_step = tf.function(whole_step, jit_compile=args.xla or None)
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

  @tf.function
  def count(images, labels):
    counts = strategy.run(joint_loss.counts, (labels,))
    if joint_loss.objective.has_counts_by_logits:
      counts |= strategy.run(joint_loss.counts_by_logits, (images, labels))
    return first_replica(strategy, over_replicas(strategy, counts))

  @tf.function(jit_compile=args.xla or None)
  def accumulate(images, labels, counts, s, first):
    terms = strategy.run(accumulate_on_replica, (images, labels, counts, s, first))
    return first_replica(strategy, over_replicas(strategy, terms))

  @tf.function(jit_compile=args.xla or None)
  def finish(terms, s):
    gradients = strategy.run(lambda: [tf.identity(gradient_sum) for gradient_sum in sums])
    return update(strategy, state, args, over_replicas(strategy, gradients), terms, s)

  def step(batches, s):
    counts = over_batches(count(*batch) for batch in batches)
    first = [tf.constant(i == 0) for i in range(len(batches))]
    terms = over_batches(accumulate(*batch, counts, s, f) for batch, f in zip(batches, first, strict=True))
    return finish(terms, s)

  return step


def over_replicas(strategy, per_replica):
  """Adds up every tensor of a structure over the replicas, all by one all-reduce; each replica has the sums."""
  flat = tf.nest.flatten(per_replica)
  sums = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, [(x, x) for x in flat])
  return tf.nest.pack_sequence_as(per_replica, sums)


def over_batches(dicts) -> dict:
  """Adds up dicts of tensors with the same keys."""
  dicts = list(dicts)
  return {key: tf.add_n([d[key] for d in dicts]) for key in dicts[0]}
