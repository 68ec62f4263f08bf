"""The update rules: momentum is TensorFlow 1's, AdamW that of the paper."""

import argparse

import numpy as np
import tensorflow as tf

from tests import tiny
from tests.tiny import CLASSES, toy
from utils.train import optimizers
from utils.train.objectives import AdaptiveAffinity
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data
GRADIENTS, RATES = np.float32([[1, 2], [-3, 0.5], [0.25, -1]]), [0.5, 0.1, 0.02]
ARGS = argparse.Namespace(momentum=0.9)


def trajectory(kind, weight_decay=0.0, gradients=GRADIENTS):
  """The variable, and its slots, after updates from (1, -2)."""
  variable = tf.Variable([1.0, -2.0])
  slots = [tf.Variable([0.0, 0.0]) for _ in optimizers.SLOTS[kind]]
  for i, (g, r) in enumerate(zip(gradients, RATES, strict=True)):
    optimizers.RULES[kind](variable, slots, tf.constant(g), tf.constant(r), weight_decay, tf.constant(i + 1.0), ARGS)
  return variable.numpy(), slots


def test_momentum_is_that_of_tensorflow_1_with_a_changing_rate():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    theirs = tf.compat.v1.get_variable('v', initializer=[1.0, -2.0], use_resource=True)
    gradient, rate = tf.compat.v1.placeholder(tf.float32, [2]), tf.compat.v1.placeholder(tf.float32, [])
    update = tf.compat.v1.train.MomentumOptimizer(rate, 0.9).apply_gradients([(gradient, theirs)])
    session.run(tf.compat.v1.global_variables_initializer())
    for g, r in zip(GRADIENTS, RATES, strict=True):
      session.run(update, {gradient: g, rate: r})
    expected = session.run(theirs)
  np.testing.assert_allclose(trajectory('momentum')[0], expected, rtol=1e-6)


def test_adamw_is_the_paper_s():
  v, m, u = np.float64([1, -2]), 0, 0
  for t, (g, rate) in enumerate(zip(np.float64(GRADIENTS), RATES, strict=True), start=1):
    m, u = 0.9 * m + 0.1 * g, 0.999 * u + 0.001 * g**2
    v = v - rate * (m / (1 - 0.9**t) / (np.sqrt(u / (1 - 0.999**t)) + 1e-8) + 0.2 * v)
  np.testing.assert_allclose(trajectory('adamw', weight_decay=0.2)[0], v, rtol=1e-5)


def test_adamw_decays_apart_from_its_moments():
  variable, slots = trajectory('adamw', weight_decay=0.2, gradients=0 * GRADIENTS)
  np.testing.assert_allclose(variable, np.prod([1 - 0.2 * rate for rate in RATES]) * np.float32([1, -2]), rtol=1e-6)
  assert not np.any(slots)


def test_edge_weights_ascend_by_momentum_whatever_the_optimizer(data):
  """And AdamW's first step moves every other weight with a gradient by its rate, the head by its multiple of it."""
  args = tiny.arguments(data, 'unused', optimizer='adamw', learning_rate=0.01, head_rate_multiple=3)
  state = TrainingState(toy(), AdaptiveAffinity(CLASSES, 3.0, 1.0, 1.0), 0.0, False, 'adamw', 3.0)
  before = {v.name: v.numpy() for v in state.trained}
  rng = np.random.default_rng(0)
  images = tf.constant(rng.normal(0, 50, [2, 48, 48, 3]), tf.float32)
  labels = tf.constant(rng.integers(0, CLASSES, [2, 48, 48]), tf.int32)
  make_step(tf.distribute.get_strategy(), state, args)([(images, labels)], tf.constant(0))
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
