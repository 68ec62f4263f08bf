"""The update of one training step: rates, rules, what decays, and averages of the weights."""

import argparse

import numpy as np
import pytest
import tensorflow as tf

from network.losses.cross_entropy import Options
from tests import tiny
from tests.tiny import CLASSES, arguments, batch, toy
from utils import checkpoint, errors
from utils.train import loop, optimizers
from utils.train.objectives import AdaptiveAffinity, Affinity, CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import adapt_loss_scale, make_step

data = tiny.data
RATE = 0.01
HARD = Options(ohem_threshold=0.3, ohem_min_kept=3, class_weights=(0.5, 1.0, 2.0), label_smoothing=0.1)


def state_and_step(data, objective=None, num_steps=10, frozen=True, weight_decay=0.0, stride=8, **changes):
  changes |= {'num_steps': num_steps, 'learning_rate': RATE, 'weight_decay': weight_decay}
  args = arguments(data, 'unused', use_global_status=frozen, **changes)
  state = TrainingState(toy(stride=stride), objective or CrossEntropy(CLASSES), args)
  return state, make_step(tf.distribute.get_strategy(), state, args)


def values(variables):
  return [v.numpy() for v in variables]


def metrics_without_update(data, batches, objective=None, loss_scale=1.0, **changes) -> dict:
  """Those of a step after which weights and averages are what they were."""
  state, step = state_and_step(data, objective, iter_size=len(batches), ema_decay=0.5, **changes)
  state.loss_scale.assign(loss_scale)
  kept = [*state.trained, *state.averages.variables]
  before = values(kept)
  metrics = step(batches, tf.constant(0))
  for old, new in zip(before, kept, strict=True):
    np.testing.assert_array_equal(old, new)
  return metrics


@pytest.mark.parametrize('iter_size', [1, 2])
def test_steps_that_xla_compiles_are_the_same(data, monkeypatch, iter_size):
  compiled, function = [], tf.function
  monkeypatch.setattr(tf, 'function', lambda *args, **kwargs: compiled.append(kwargs) or function(*args, **kwargs))
  batches, after = [batch(seed, void=0.2) for seed in range(iter_size)], []
  for xla in (False, True):
    state, step = state_and_step(data, iter_size=iter_size, frozen=False, xla=xla)
    for s in range(2):
      step(batches, tf.constant(s))
    after.append(values(state.trained))
  assert [bool(kwargs.get('jit_compile')) for kwargs in compiled].count(True) == iter_size
  for plain, by_xla in zip(*after, strict=True):
    np.testing.assert_allclose(by_xla, plain, rtol=1e-3, atol=1e-5)


def test_rate_and_decay_of_each_variable(data):
  args = arguments(data, 'unused', affinity=True, adaptive=True, kld_weight_rate=2.5)
  state = TrainingState(toy(), AdaptiveAffinity.from_flags(args), args)
  table = {slots[0].name: row for slots, *row in zip(state.slots, state.rates, state.weight_decays, strict=True)}
  assert table == {
    'toy/conv1/weights/Momentum:0': [1, 5e-4],
    'toy/conv1/BatchNorm/gamma/Momentum:0': [1, 0],
    'toy/conv1/BatchNorm/beta/Momentum:0': [1, 0],
    'toy/block5/fc1_voc12/weights/Momentum:0': [10, 5e-4],
    'toy/block5/fc1_voc12/biases/Momentum:0': [10, 0],
    'edge_w/Momentum:0': [2.5, 0],
    'nonedge_w/Momentum:0': [2.5, 0],
  }


@pytest.mark.parametrize(
  ('make_objective', 'stride', 'iter_size'),
  [
    (CrossEntropy, 4, 1),
    (CrossEntropy, 8, 3),
    (lambda classes: Affinity(classes, 3.0, 1.0, 1.0, decay=4.0), 8, 1),
    (lambda classes: AdaptiveAffinity(classes, 3.0, 1.0, 1.0), 8, 1),
    (lambda classes: AdaptiveAffinity(classes, 3.0, 1.0, 1.0, options=HARD), 8, 3),
    (lambda classes: CrossEntropy(classes, HARD, 'abl', 0.5), 8, 3),
    (lambda classes: CrossEntropy(classes, extra_loss='rmi'), 8, 3),
  ],
)
def test_updates_follow_the_gradient_of_the_whole_loss(data, make_objective, stride, iter_size):
  """Clipped, by TensorFlow 1's momentum, in which the rate is no part of what is accumulated. The batches of
  `--iter-size` are one with the images of all; frozen batch norm stays."""
  batches = [batch(seed, void) for seed, void in enumerate((0.2, 0.8, 0.0)[:iter_size])]
  images, labels = (tf.concat(parts, 0) for parts in zip(*batches, strict=True))
  objective, small = make_objective(CLASSES), labels[:, ::stride, ::stride]
  flags = {'weight_decay': 0.1, 'clip_norm': 0.5, 'iter_size': iter_size}
  state, step = state_and_step(data, objective, stride=stride, **flags)
  momentum, fixed = [0] * len(state.trained), state.model.backbone.conv.batch_norm.variables
  for s in range(2):
    before, fixed_before = values(state.trained), values(fixed)
    with tf.GradientTape() as tape:
      logits = state.model(images)
      counts = {**objective.counts(small), **objective.counts_by_logits(small, logits)}
      terms = objective.terms(small, logits, counts, objective.decay ** (-s / 10))
      loss = sum(terms.values())
    gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, state.trained), 0.5)
    of_weights = zip(momentum, gradients, state.weight_decays, before, strict=True)
    momentum = [0.9 * m + g + decay * v for m, g, decay, v in of_weights]
    metrics, rate = step(batches, tf.constant(s)), RATE * (1 - s / 10) ** 0.9
    for v, old, m, scale, [slot] in zip(state.trained, before, momentum, state.rates, state.slots, strict=True):
      np.testing.assert_allclose(v, old - rate * scale * m, rtol=2e-4, atol=5e-6)
      np.testing.assert_allclose(slot, m, rtol=0, atol=2e-2 * np.abs(m).max())
    for old, new in zip(fixed_before, fixed, strict=True):
      np.testing.assert_array_equal(old, new)
    for name, term in terms.items():
      np.testing.assert_allclose(metrics[name], term, rtol=1e-4)


@pytest.mark.parametrize('options', [Options(), HARD])
def test_each_batch_of_a_step_updates_the_averages(data, options):
  """And the forward pass that only counts the hard pixels updates none."""
  state, step = state_and_step(data, CrossEntropy(CLASSES, options), iter_size=2, frozen=False)
  batches = [batch(0), batch(1)]
  mean, variance, weights = np.zeros(6), np.ones(6), state.model.backbone.conv.weights
  for images, _ in batches:
    x = tf.nn.conv2d(images, weights, 8, [[0, 0], [1, 1], [1, 1], [0, 0]])
    mean = 0.9 * mean + 0.1 * np.mean(x, (0, 1, 2))
    variance = 0.9 * variance + 0.1 * np.var(x, (0, 1, 2))
  step(batches, tf.constant(0))
  norm = state.model.backbone.conv.batch_norm
  np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4)


def test_a_batch_of_void_alone_changes_nothing(data):
  assert metrics_without_update(data, [batch(0, void=1.0)], AdaptiveAffinity(CLASSES, 3.0, 1.0, 1.0))['loss'] == 0


@pytest.mark.parametrize('iter_size', [1, 2])
def test_a_loss_that_is_not_finite_updates_nothing(data, iter_size):
  images, labels = batch(0)
  bad = tf.tensor_scatter_nd_update(images, [[0, 8, 8, 0]], [np.nan])
  batches = [(images, labels)] * (iter_size - 1) + [(bad, labels)]
  metrics = metrics_without_update(data, batches, frozen=False)  # else the averages would not move anyway
  assert not np.isfinite(metrics['loss'])


def test_loss_scale_of_float16(data):
  state, _ = state_and_step(data)
  true, false = tf.constant(True), tf.constant(False)
  assert not adapt_loss_scale(state, false, false)  # the loss itself: the scale is not to blame
  assert state.loss_scale.numpy() == 2**15
  state.loss_scale.assign(1.0)
  state.finite_steps.assign(7)
  assert not adapt_loss_scale(state, true, false)
  assert (state.loss_scale.numpy(), state.finite_steps.numpy()) == (1, 0)  # never below; counted anew


@pytest.mark.parametrize(('scale', 'finite_steps', 'next_scale'), [(2**10, 0, 2**10), (2**15, 1999, 2**16)])
def test_loss_scale_does_not_change_the_update(data, scale, finite_steps, next_scale):
  """With float32 arithmetic under the float16 step, whatever the scale, the update is the unscaled one."""
  plain, plain_step = state_and_step(data)
  plain_step([batch(0)], tf.constant(0))
  state, step = state_and_step(data, precision='float16', clip_norm=1e6)
  state.loss_scale.assign(scale)
  state.finite_steps.assign(finite_steps)
  metrics = step([batch(0)], tf.constant(0))
  for a, b in zip(plain.trained, state.trained, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
  assert state.loss_scale.numpy() == metrics['loss_scale'] == next_scale
  assert state.finite_steps.numpy() == (finite_steps + 1) % 2000


def test_an_overflow_of_float16_skips_the_step_and_halves_the_scale(data):
  """Float32 arithmetic overflows at larger scales; the loss itself is finite."""
  images, labels = batch(0)
  metrics = metrics_without_update(data, [(images * 1e30, labels)], loss_scale=2.0**24, precision='float16')
  assert np.isfinite(metrics['loss']) and metrics['loss_scale'] == 2.0**23


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
  args = arguments(data, 'unused', optimizer='adamw', learning_rate=0.01, head_rate_multiple=3, weight_decay=0)
  state = TrainingState(toy(), AdaptiveAffinity(CLASSES, 3.0, 1.0, 1.0), args)
  before = {v.name: v.numpy() for v in state.trained}
  make_step(tf.distribute.get_strategy(), state, args)([batch(0, size=2, side=48)], tf.constant(0))
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


# Learning rates, step by step.

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
  args = arguments(data, 'unused', num_steps=10, learning_rate=2, **flags)
  np.testing.assert_allclose([optimizers.learning_rate(tf.constant(s), args) for s in STEPS], rates, rtol=1e-6)


# The moving average of the network.

DECAY = 0.25


def by_name(variables):
  return {checkpoint.name_of(v): v.numpy() for v in variables}


def test_averages_follow_every_variable(data):
  """Weights and batch norm's statistics. On several devices: tests/test_devices.py."""
  args = arguments(data, 'unused', ema_decay=DECAY, learning_rate=0.1, weight_decay=0.1)
  state = TrainingState(toy(), CrossEntropy(CLASSES), args)
  step = make_step(tf.distribute.get_strategy(), state, args)
  averages = by_name(state.model.variables)
  for s in range(3):
    step([batch(seed=s, size=2)], tf.constant(s))
    d = min(DECAY, (1 + s) / (10 + s))
    averages = {name: d * averages[name] + (1 - d) * v for name, v in by_name(state.model.variables).items()}
  found = by_name(state.averages.variables)
  assert found.keys() == {f'{name}/ExponentialMovingAverage' for name in averages} <= state.saved().keys()
  for name, average in averages.items():
    np.testing.assert_allclose(found[f'{name}/ExponentialMovingAverage'], average, rtol=1e-5, atol=1e-6)


def test_the_network_has_them_for_a_while(data):
  state = TrainingState(toy(), CrossEntropy(CLASSES), arguments(data, 'unused', ema_decay=DECAY))
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  before, averages = by_name(state.saved().values()), by_name(state.averages.variables)
  with state.averages.in_use():
    for name, value in by_name(state.model.variables).items():
      np.testing.assert_array_equal(value, averages[f'{name}/ExponentialMovingAverage'])
  tiny.assert_same(before, by_name(state.saved().values()))


def test_averages_are_restored_by_name_or_refused(data, tmp_path):
  state = TrainingState(toy(seed=1), CrossEntropy(CLASSES), arguments(data, 'unused', ema_decay=DECAY))
  state.averages.begin()
  state.model.classifier.biases.assign([1.0, 2.0, 3.0])
  checkpoint.save(str(tmp_path / 'with'), state.saved())
  checkpoint.save(str(tmp_path / 'without'), by_name(state.model.variables))
  biases = {'toy/block5/fc1_voc12/biases': tf.Variable([7.0, 7.0, 7.0])}
  checkpoint.restore(str(tmp_path / 'with'), biases, 'advice', ema=True)
  assert [v.numpy().tolist() for v in biases.values()] == [[0, 0, 0]]
  args = arguments(data, 'unused', restore_from=tmp_path / 'with')
  fresh = TrainingState(toy(seed=2), CrossEntropy(CLASSES), args)  # trained on from what was validated
  origin = loop.set_initial_values(fresh, None, argparse.Namespace(resumed=None), args)
  assert 'averages of weights from' in origin and not np.any(fresh.model.classifier.biases)
  with pytest.raises(errors.InputError, match='without: holds no averages, .* leave --ema out'):
    checkpoint.restore(str(tmp_path / 'without'), biases, 'advice', ema=True)
