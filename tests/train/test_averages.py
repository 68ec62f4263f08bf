"""The moving average of the network: its recurrence, on one device and on two, and its use."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.tiny import CLASSES, toy
from utils import checkpoint, errors
from utils.train.objectives import CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data
DECAY = 0.25


def values(variables):
  return {checkpoint.name_of(v): v.numpy() for v in variables}


@pytest.mark.parametrize('replicas', [1, 2])
def test_averages_follow_every_variable(data, mirrored, replicas):
  """Weights and batch norm's statistics; a step that is not finite updates no average."""
  strategy = mirrored(2) if replicas == 2 else tf.distribute.get_strategy()
  args = tiny.arguments(data, 'unused', ema_decay=DECAY, learning_rate=0.1)
  with strategy.scope():
    state = TrainingState(toy(), CrossEntropy(CLASSES), 0.1, False, ema_decay=DECAY)
  step, rng = make_step(strategy, state, args), np.random.default_rng(0)
  state.averages.begin()
  averages = values(state.model.variables)
  for s, scale in enumerate((50, 50, np.nan, 50)):
    images, labels = rng.normal(0, scale, [2, 32, 32, 3]), rng.integers(0, CLASSES, [2, 32, 32])
    batch = (tf.constant(images, tf.float32), tf.constant(labels, tf.int32))
    step([strategy.experimental_distribute_values_from_function(lambda _, batch=batch: batch)], tf.constant(s))
    d = min(DECAY, (1 + s) / (10 + s))
    if np.isfinite(scale):
      averages = {k: d * averages[k] + (1 - d) * v for k, v in values(state.model.variables).items()}
    else:  # batch norm has seen the images
      for v in state.model.variables:
        v.assign(tf.where(tf.math.is_finite(v), v, 0.5))
  found = values(state.averages.variables)
  assert found.keys() == {f'{name}/ExponentialMovingAverage' for name in averages} <= state.saved().keys()
  for name, average in averages.items():
    np.testing.assert_allclose(found[f'{name}/ExponentialMovingAverage'], average, rtol=1e-5, atol=1e-6)


def test_the_network_has_them_for_a_while():
  state = TrainingState(toy(), CrossEntropy(CLASSES), 0.0, False, ema_decay=DECAY)
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  before, averages = values(state.saved().values()), values(state.averages.variables)
  with state.averages.in_use():
    for name, value in values(state.model.variables).items():
      np.testing.assert_array_equal(value, averages[f'{name}/ExponentialMovingAverage'])
  tiny.assert_same(before, values(state.saved().values()))


def test_averages_are_restored_by_name_or_refused(tmp_path):
  state = TrainingState(toy(seed=1), CrossEntropy(CLASSES), 0.0, False, ema_decay=DECAY)
  state.averages.begin()
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  checkpoint.save(str(tmp_path / 'with'), state.saved())
  checkpoint.save(str(tmp_path / 'without'), values(state.model.variables))
  biases = {'toy/block5/fc1_voc12/biases': tf.Variable([7.0, 7.0, 7.0])}
  checkpoint.restore(str(tmp_path / 'with'), biases, 'advice', ema=True)
  assert [v.numpy().tolist() for v in biases.values()] == [[0, 0, 0]]
  with pytest.raises(errors.InputError, match='without: holds no averages, .* leave --ema out'):
    checkpoint.restore(str(tmp_path / 'without'), biases, 'advice', ema=True)
