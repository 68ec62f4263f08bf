"""What a training changes from step to step, and a checkpoint holds."""

import itertools

import tensorflow as tf

from utils.engine import checkpoint
from utils.optim.averages import Averages
from utils.optim.optimizers import SLOTS

FIRST_LOSS_SCALE = 2.0**15  # of float16


class TrainingState(tf.Module):
  """The variables of model and objective that are trained, with optimizer, learning rate and weight decay of each.

  The head learns at `head_rate_multiple` times the rate; the objective's variables ascend, always by momentum: rate -1,
  times the objective's `weight_rate`. Weight decay falls on the variables named `weights`: norms and biases are spared.
  With frozen batch norm (`--use-global-status`) gamma and beta are not trained.
  """

  def __init__(
    self,
    model,
    objective,
    weight_decay: float,
    frozen_batch_norm: bool,
    optimizer: str = 'momentum',
    head_rate_multiple: float = 10.0,
    ema_decay: float | None = None,
  ):
    super().__init__()
    self.model, self.objective = model, objective
    head = {id(v) for v in model.head_variables}
    fixed = ('gamma', 'beta') if frozen_batch_norm else ()
    weights = [v for v in model.trainable_variables if checkpoint.name_of(v).split('/')[-1] not in fixed]
    self.trained = weights + list(objective.trainable_variables)
    self.optimizers = [optimizer] * len(weights) + ['momentum'] * len(objective.trainable_variables)
    self.rates = [head_rate_multiple if id(v) in head else 1.0 for v in weights]
    self.rates += [-objective.weight_rate] * len(objective.trainable_variables)
    decayed = [checkpoint.name_of(v).endswith('/weights') for v in self.trained]
    self.weight_decays = [weight_decay if d else 0.0 for d in decayed]
    self.slots = [
      [tf.Variable(tf.zeros_like(v), trainable=False, name=f'{checkpoint.name_of(v)}/{slot}') for slot in SLOTS[kind]]
      for v, kind in zip(self.trained, self.optimizers, strict=True)
    ]
    self.averages = Averages(model, ema_decay) if ema_decay is not None else None
    self.updates = tf.Variable(0, trainable=False, name='training/updates') if optimizer == 'adamw' else None
    self.loss_scale = tf.Variable(FIRST_LOSS_SCALE, trainable=False, name='training/loss_scale')
    self.finite_steps = tf.Variable(0, trainable=False, name='training/finite_steps')

  @classmethod
  def of_flags(cls, model, objective, args):
    """The state of a run with the flags of a training script."""
    settings = (args.weight_decay, args.use_global_status, args.optimizer, args.head_rate_multiple, args.ema_decay)
    return cls(model, objective, *settings)

  def count_update(self):
    """The number of this update, from 1, for the optimizers that need it; a skipped step is none."""
    if self.updates is None:
      return None
    self.updates.assign_add(1)
    return tf.cast(tf.identity(self.updates), tf.float32)

  def saved(self) -> dict:
    """{name: variable} of everything that a checkpoint holds."""
    own = [self.loss_scale, self.finite_steps, *([self.updates] if self.updates is not None else [])]
    averages = self.averages.variables if self.averages else []
    variables = [*self.model.variables, *self.objective.variables, *itertools.chain(*self.slots), *averages, *own]
    return {checkpoint.name_of(v): v for v in variables}
