"""Schedules, AdamW (momentum: test_step.py), and averages of the weights."""

import argparse

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.tiny import CLASSES, toy
from utils import checkpoint, errors
from utils.train import loop, optimizers
from utils.train.objectives import AdaptiveAffinity, CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data


def test_adamw_is_the_paper_s():
  v, m, u = np.float64([1, -2]), 0, 0
  variable, *slots = (tf.Variable(start) for start in ([1.0, -2.0], [0.0, 0.0], [0.0, 0.0]))
  for t, (g, rate) in enumerate([([1, 2], 0.5), ([-3, 0.5], 0.1), ([0.25, -1], 0.02)], start=1):
    g = np.float64(g)
    m, u = 0.9 * m + 0.1 * g, 0.999 * u + 0.001 * g**2
    v = v - rate * (m / (1 - 0.9**t) / (np.sqrt(u / (1 - 0.999**t)) + 1e-8) + 0.2 * v)
    g = tf.constant(g, tf.float32)
    optimizers.adamw_update(variable, slots, g, tf.constant(rate), 0.2, tf.constant(float(t)), None)
  np.testing.assert_allclose(variable, v, rtol=1e-5)


def test_edge_weights_ascend_by_momentum_whatever_the_optimizer(data):
  """And AdamW's first step moves every other weight with a gradient by its rate, the head by its multiple of it."""
  args = tiny.arguments(data, 'unused', optimizer='adamw', learning_rate=0.01, head_rate_multiple=3, weight_decay=0)
  state = TrainingState(toy(), AdaptiveAffinity(CLASSES, 3.0, 1.0, 1.0), args)
  before = {v.name: v.numpy() for v in state.trained}
  make_step(tf.distribute.get_strategy(), state, args)([tiny.batch(0, size=2, side=48)], tf.constant(0))
  for variable, slots, rate in zip(state.trained, state.slots, state.rates, strict=True):
    moved = variable.numpy() - before[variable.name]
    if 'edge_w' in variable.name:
      [accumulator] = slots
      assert np.any(moved)
      np.testing.assert_allclose(moved, -0.01 * accumulator, rtol=1e-5, atol=1e-9)
    else:
      assert [slot.name.rpartition('/')[2] for slot in slots] == ['Adam:0', 'Adam_1:0']
      np.testing.assert_allclose(np.abs(moved), 0.01 * rate, rtol=1e-2)
      assert rate == (3 if 'block5' in variable.name else 1)
  assert state.saved()['training/updates'].numpy() == 1


# Learning rates and the weight of the affinity terms, step by step.

STEPS = np.arange(10)
POLY = 2 * (1 - STEPS / 10) ** 0.9


@pytest.mark.parametrize(
  ('flags', 'rates'),
  [
    ({}, POLY),
    ({'power': 2}, 2 * (1 - STEPS / 10) ** 2),
    ({'schedule': 'constant'}, [2] * 10),
    ({'schedule': 'cosine'}, 1 + np.cos(np.pi * STEPS / 10)),
    ({'warmup_steps': 4}, POLY * [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]),
    ({'schedule': 'constant', 'warmup_steps': 20}, (STEPS + 1) / 10),
  ],
)
def test_rates_of_a_run(data, flags, rates):
  args = tiny.arguments(data, 'unused', num_steps=10, learning_rate=2, **flags)
  np.testing.assert_allclose([optimizers.learning_rate(tf.constant(s), args) for s in STEPS], rates, rtol=1e-6)


# The moving average of the network.

DECAY = 0.25


def values(variables):
  return {checkpoint.name_of(v): v.numpy() for v in variables}


def test_averages_follow_every_variable(data):
  """Weights and batch norm's statistics. On several devices: tests/test_devices.py."""
  args = tiny.arguments(data, 'unused', ema_decay=DECAY, learning_rate=0.1, weight_decay=0.1)
  state = TrainingState(toy(), CrossEntropy(CLASSES), args)
  step = make_step(tf.distribute.get_strategy(), state, args)
  averages = values(state.model.variables)
  for s in range(3):
    step([tiny.batch(seed=s, size=2)], tf.constant(s))
    d = min(DECAY, (1 + s) / (10 + s))
    averages = {name: d * averages[name] + (1 - d) * v for name, v in values(state.model.variables).items()}
  found = values(state.averages.variables)
  assert found.keys() == {f'{name}/ExponentialMovingAverage' for name in averages} <= state.saved().keys()
  for name, average in averages.items():
    np.testing.assert_allclose(found[f'{name}/ExponentialMovingAverage'], average, rtol=1e-5, atol=1e-6)


def test_the_network_has_them_for_a_while(data):
  state = TrainingState(toy(), CrossEntropy(CLASSES), tiny.arguments(data, 'unused', ema_decay=DECAY))
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  before, averages = values(state.saved().values()), values(state.averages.variables)
  with state.averages.in_use():
    for name, value in values(state.model.variables).items():
      np.testing.assert_array_equal(value, averages[f'{name}/ExponentialMovingAverage'])
  tiny.assert_same(before, values(state.saved().values()))


def test_averages_are_restored_by_name_or_refused(data, tmp_path):
  state = TrainingState(toy(seed=1), CrossEntropy(CLASSES), tiny.arguments(data, 'unused', ema_decay=DECAY))
  state.averages.begin()
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  checkpoint.save(str(tmp_path / 'with'), state.saved())
  checkpoint.save(str(tmp_path / 'without'), values(state.model.variables))
  biases = {'toy/block5/fc1_voc12/biases': tf.Variable([7.0, 7.0, 7.0])}
  checkpoint.restore(str(tmp_path / 'with'), biases, 'advice', ema=True)
  assert [v.numpy().tolist() for v in biases.values()] == [[0, 0, 0]]
  args = tiny.arguments(data, 'unused', restore_from=tmp_path / 'with')
  fresh = TrainingState(toy(seed=2), CrossEntropy(CLASSES), args)  # trained on from what was validated
  origin = loop.set_initial_values(fresh, None, argparse.Namespace(resumed=None), args)
  assert 'averages of weights from' in origin and not np.any(fresh.model.classifier.biases)
  with pytest.raises(errors.InputError, match='without: holds no averages, .* leave --ema out'):
    checkpoint.restore(str(tmp_path / 'without'), biases, 'advice', ema=True)
