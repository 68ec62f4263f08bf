"""The update rules of --optimizer, each with its slots: what it remembers of a variable from step to step.

A rule is a function `rule(variable, slots, gradient, rate, weight_decay, count, args)`. The slots are named in the
checkpoint as TensorFlow 1 names them, NAME/Momentum, NAME/Adam and NAME/Adam_1. `count` is the number of this update,
from 1, a float32 scalar: a step that was skipped, for a loss or gradient that is not finite, is not counted.
"""

import tensorflow as tf

SLOTS = {'momentum': ('Momentum',), 'adamw': ('Adam', 'Adam_1')}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


def momentum_update(variable, slots, gradient, rate, weight_decay, count, args):
  """TensorFlow 1's momentum, in which the rate does not enter the accumulator, with weight decay as part of the loss:

  g <- g + weight_decay * v;  a <- momentum * a + g;  v <- v - rate * a.

  By TensorFlow's one kernel for both: as products and sums, the passes over the weights cost 5 % of a bfloat16 step.
  """
  gradient = gradient + weight_decay * variable if weight_decay else gradient
  tf.raw_ops.ResourceApplyMomentum(
    var=variable.handle, accum=slots[0].handle, lr=rate, grad=gradient, momentum=args.momentum
  )


def adamw_update(variable, slots, gradient, rate, weight_decay, count, args):
  """Adam (Kingma and Ba, ICLR 2015) with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, algorithm 2):

  m <- b1 * m + (1 - b1) * g;  u <- b2 * u + (1 - b2) * g^2;
  v <- v - rate * (m / (1 - b1^count) / (sqrt(u / (1 - b2^count)) + epsilon) + weight_decay * v).

  The decay is multiplied by the whole rate, as in PyTorch, not only by its schedule.
  """
  mean, square = slots
  mean.assign(BETA_1 * mean + (1 - BETA_1) * gradient)
  square.assign(BETA_2 * square + (1 - BETA_2) * tf.square(gradient))
  root = tf.sqrt(square / (1 - BETA_2**count))
  direction = mean / (1 - BETA_1**count) / (root + EPSILON)
  variable.assign_sub(rate * (direction + weight_decay * variable))


RULES = {'momentum': momentum_update, 'adamw': adamw_update}
