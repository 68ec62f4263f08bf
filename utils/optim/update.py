"""The update of all variables from gradients that are added up already, in cross-replica context."""

import tensorflow as tf

from utils.optim.optimizers import RULES
from utils.optim.schedules import learning_rate


def update(strategy, state, args, gradients, terms, s) -> dict:
  """Updates every variable unless something is not finite. Returns {name: float32 scalar} for the log.

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
