"""What an update is made of: schedules, update rules with their slots, averages of the weights, and the state of a run.

Step s counts from 0, as a tensor. Every schedule is a function of s alone, so a resumed run needs no state of it.

A rule is a function `rule(variable, slots, gradient, rate, weight_decay, count, args)`. The slots are named in the
checkpoint as TensorFlow 1 names them, NAME/Momentum, NAME/Adam and NAME/Adam_1. `count` is the number of this update,
from 1, a float32 scalar: a step that was skipped, for a loss or gradient that is not finite, is not counted.
"""

import contextlib
import itertools
import math

import tensorflow as tf

from utils import checkpoint

DECAY = 10.0  # the affinity terms shrink to a tenth over a run


def learning_rate(step, args):
  """The rate of --schedule, before the multiples of head and edge weights, from `base`, the --learning-rate:

  poly      base * (1 - step / num_steps)^power (DeepLab: Chen et al., 2016; the schedule of 2018)
  cosine    base / 2 * (1 + cos(pi * step / num_steps)) (Loshchilov and Hutter, ICLR 2017, without restarts)
  constant  base

  times the factor min(1, (step + 1) / warmup_steps) of --warmup-steps: it rises linearly (Goyal et al., 2017).
  """
  step, rate = tf.cast(step, tf.float32), tf.constant(args.learning_rate)
  if args.schedule == 'poly':
    rate *= (1 - step / args.num_steps) ** args.power
  elif args.schedule == 'cosine':
    rate *= (1 + tf.cos(math.pi * step / args.num_steps)) / 2
  return rate * tf.minimum(1.0, (step + 1) / args.warmup_steps) if args.warmup_steps else rate


def affinity_decay(step, num_steps: int, base: float = DECAY):
  """The factor of both affinity terms: base^(-step / num_steps)."""
  return base ** (-tf.cast(step, tf.float32) / num_steps)


SLOTS = {'momentum': ('Momentum',), 'adamw': ('Adam', 'Adam_1')}


BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


def momentum_update(variable, slots, gradient, rate, weight_decay, count, args):
  """TensorFlow 1's momentum, in which the rate does not enter the accumulator, with weight decay as part of the loss:

  g <- g + weight_decay * v;  a <- momentum * a + g;  v <- v - rate * a.

  One kernel of TensorFlow does both lines: as products and sums they would cost 5 % of a bfloat16 step.
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


class Averages:
  """The average NAME/ExponentialMovingAverage of every variable of `model`.

  After update s: average <- d * average + (1 - d) * variable, d = min(decay, (1 + s) / (10 + s)), as TensorFlow 1's
  ExponentialMovingAverage with num_updates has it, in names too: a long memory does not hold on to the initial weights.
  Batch norm's moving statistics are averaged like the weights (as in EfficientNet's and timm's training), so that both
  are of the same time.
  """

  def __init__(self, model, decay: float):
    self.decay, self.averaged = decay, list(model.variables)
    self.variables = [
      tf.Variable(tf.identity(v), trainable=False, name=f'{checkpoint.name_of(v)}{checkpoint.AVERAGE}')
      for v in self.averaged
    ]

  def begin(self) -> None:
    """Sets the averages to the variables, once these have their initial values."""
    for variable, average in zip(self.averaged, self.variables, strict=True):
      average.assign(variable)

  def update(self, strategy, s) -> None:
    """To be called in the step, across replicas, after update s."""
    s = tf.cast(s, tf.float32)
    share = 1 - tf.minimum(self.decay, (1 + s) / (10 + s))
    for variable, average in zip(self.averaged, self.variables, strict=True):
      strategy.extended.update(average, lambda a, v: a.assign_sub(share * (a - v)), args=(variable,), group=False)

  @contextlib.contextmanager
  def in_use(self):
    """A context in which the network's variables hold the averages. It needs memory for one more variable."""
    self._swap()
    try:
      yield
    finally:
      self._swap()

  def _swap(self):
    for variable, average in zip(self.averaged, self.variables, strict=True):
      value = tf.identity(variable)
      variable.assign(average)
      average.assign(value)


FIRST_LOSS_SCALE = 2.0**15  # of float16
# In checkpoints whose momentum of the edge weights is that of the reversed gradient, as in 2018's. Earlier ones of this
# project lack it: their momentum has the other sign.
REVERSED_SLOTS = f'{checkpoint.STATE}reversed_slots'


class TrainingState(tf.Module):
  """The variables of model and objective that are trained, with optimizer, learning rate and weight decay of each.

  The head learns at `--head-rate-multiple` times the rate; the objective's variables at its `weight_rate`, always by
  momentum. Weight decay falls on the variables named `weights`: norms and biases are spared.
  With frozen batch norm (`--use-global-status`) gamma and beta are not trained.
  """

  def __init__(self, model, objective, args):
    super().__init__()
    self.model, self.objective = model, objective
    head = {id(v) for v in model.head_variables}
    fixed = ('gamma', 'beta') if args.use_global_status else ()
    weights = [v for v in model.trainable_variables if checkpoint.name_of(v).split('/')[-1] not in fixed]
    self.trained = weights + list(objective.trainable_variables)
    self.optimizers = [args.optimizer] * len(weights) + ['momentum'] * len(objective.trainable_variables)
    self.rates = [args.head_rate_multiple if id(v) in head else 1.0 for v in weights]
    self.rates += [objective.weight_rate] * len(objective.trainable_variables)
    self.weight_decays = [
      args.weight_decay if checkpoint.name_of(v).endswith('/weights') else 0.0 for v in self.trained
    ]
    self.slots = [
      [tf.Variable(tf.zeros_like(v), trainable=False, name=f'{checkpoint.name_of(v)}/{slot}') for slot in SLOTS[kind]]
      for v, kind in zip(self.trained, self.optimizers, strict=True)
    ]
    self.averages = Averages(model, args.ema_decay) if args.ema_decay is not None else None
    self.updates = tf.Variable(0, trainable=False, name='training/updates') if args.optimizer == 'adamw' else None
    self.loss_scale = tf.Variable(FIRST_LOSS_SCALE, trainable=False, name='training/loss_scale')
    self.finite_steps = tf.Variable(0, trainable=False, name='training/finite_steps')
    ascending = bool(objective.trainable_variables)
    self.reversed_slots = tf.Variable(1, trainable=False, name=REVERSED_SLOTS) if ascending else None

  def count_update(self):
    """The number of this update, from 1, for the optimizers that need it; a skipped step is none."""
    if self.updates is None:
      return None
    self.updates.assign_add(1)
    return tf.cast(tf.identity(self.updates), tf.float32)

  def turn_slots(self) -> None:
    """Changes the sign of the momentum of the objective's variables."""
    for [slot] in self.slots[len(self.slots) - len(self.objective.trainable_variables) :]:
      slot.assign(-slot)

  def saved(self) -> dict:
    """{name: variable} of everything that a checkpoint holds."""
    own = [v for v in (self.loss_scale, self.finite_steps, self.updates, self.reversed_slots) if v is not None]
    averages = self.averages.variables if self.averages else []
    slots = itertools.chain(*self.slots)
    return checkpoint.by_name([*self.model.variables, *self.objective.variables, *slots, *averages, *own])
