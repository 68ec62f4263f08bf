"""Learning rate and decay of each variable, and the update of one training step."""

import numpy as np
import pytest
import tensorflow as tf

from network.losses.cross_entropy import Options
from tests import tiny
from tests.tiny import CLASSES, arguments, batch, toy
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
    for v, old, m, scale in zip(state.trained, before, momentum, state.rates, strict=True):
      np.testing.assert_allclose(v, old - rate * scale * m, rtol=2e-4, atol=1e-6)
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


def test_clip_norm_bounds_the_gradient(data):
  norms = {}
  for clip in (None, 1e-3, 1e6):
    state, step = state_and_step(data, clip_norm=clip)
    step([batch(0)], tf.constant(0))
    norms[clip] = float(tf.linalg.global_norm([a for [a] in state.slots]))  # of the first step: the gradient itself
  assert norms[None] > 1e-3
  np.testing.assert_allclose([norms[1e-3], norms[1e6]], [1e-3, norms[None]], rtol=1e-5)


@pytest.mark.parametrize('iter_size', [1, 2])
def test_a_loss_that_is_not_finite_updates_nothing(data, iter_size):
  images, labels = batch(0)
  bad = tf.tensor_scatter_nd_update(images, [[0, 8, 8, 0]], [np.nan])
  metrics = metrics_without_update(data, [(images, labels)] * (iter_size - 1) + [(bad, labels)])
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
