"""--ema-decay: an exponential moving average of the network, which is validated and which prediction reads by --ema."""

import contextlib

import tensorflow as tf

from utils.engine import checkpoint


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
    """The network has the averages for its variables within this context. Takes no more memory than one variable."""
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
