"""Cross-entropy with label smoothing, class weights and hard examples: equal to a slow loop over the pixels, to PyTorch
and to its numeric gradient."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from network.losses.cross_entropy import Options, cross_entropy_sum, kept_weight, labelled_weight
from tests.network.drawn import SHAPE, draw, numeric_gradient, relative_error, softmax

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / 'golden/pytorch_losses.npz')
WEIGHTS = (0.5, 2.0, 0.0, 1.25)
OPTIONS = [
  Options(),
  Options(label_smoothing=0.1),
  Options(class_weights=WEIGHTS),
  Options(class_weights=WEIGHTS, label_smoothing=0.2),
  Options(ohem_threshold=0.3),
  Options(ohem_threshold=0.1, ohem_min_kept=15),
  Options(ohem_threshold=0.0, ohem_min_kept=9, class_weights=WEIGHTS, label_smoothing=0.1),
  Options(ohem_threshold=0.3, ohem_min_kept=10**9),
]


def slow(labels, logits, options):
  """(sum of the losses, sum of the weights) over the pixels that count, in float64."""
  log_p, classes = np.log(softmax(logits)), logits.shape[-1]
  weights, e = np.array(options.class_weights or [1.0] * classes), options.label_smoothing
  total = weight = 0.0
  for label, log_p_of_image in zip(labels, log_p, strict=True):
    pixels = zip(label.ravel(), log_p_of_image.reshape(-1, classes), strict=True)
    pixels = sorted([(p[y], y, p) for y, p in pixels if 0 <= y < classes], key=lambda pixel: pixel[0])
    for place, (log_p_y, y, p) in enumerate(pixels):
      hard = options.ohem_threshold is None or log_p_y < np.log(max(options.ohem_threshold, 1e-300))
      if hard or place < options.ohem_min_kept:
        total += (1 - e) * weights[y] * -log_p_y + e / classes * np.dot(weights, -p)
        weight += weights[y]
  return total, weight


@pytest.mark.parametrize('options', OPTIONS)
def test_equals_a_loop_over_the_pixels(options):
  labels, logits, _ = draw()
  total, weight = slow(labels, logits, options)
  np.testing.assert_allclose(cross_entropy_sum(labels, logits, options), total, 1e-5)
  np.testing.assert_allclose(kept_weight(labels, logits, options), weight, 1e-6)
  _, of_all = slow(labels, logits, options.of_all_pixels())
  np.testing.assert_allclose(labelled_weight(labels, SHAPE[-1], options), of_all, 1e-6)
  assert weight > 0


@pytest.mark.parametrize('options', [OPTIONS[3], OPTIONS[6]])
def test_gradient_is_the_numeric_one(options):
  labels, logits, _ = draw((1, 4, 5, 4), seed=1)
  logits = tf.constant(logits)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = cross_entropy_sum(labels, logits, options)
  expected = numeric_gradient(lambda x: slow(labels, x, options)[0], logits)
  assert relative_error(tape.gradient(loss, logits), expected) < 1e-5


@pytest.mark.parametrize('options', OPTIONS)
def test_nothing_but_ignored_pixels_is_zero(options):
  logits = tf.constant(draw()[1])
  labels = tf.fill(SHAPE[:3], 255)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = cross_entropy_sum(labels, logits, options)
  assert loss == 0 == kept_weight(labels, logits, options) and not np.any(tape.gradient(loss, logits))


def test_a_pixel_without_a_finite_loss_is_never_left_out():
  labels, logits, _ = draw()
  labels[0, 0, 0], logits[0, 0, 0] = 0, np.nan
  assert np.isnan(cross_entropy_sum(labels, logits, Options(ohem_threshold=0.1, ohem_min_kept=3)))


@pytest.mark.parametrize(('name', 'options'), [('plain', OPTIONS[0]), ('smooth', OPTIONS[1]), ('both', OPTIONS[3])])
def test_equals_that_of_pytorch(name, options):
  labels, logits = GOLDEN['labels'], tf.constant(GOLDEN['logits'])
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = cross_entropy_sum(labels, logits, options) / kept_weight(labels, logits, options)
  np.testing.assert_allclose(loss, GOLDEN[f'cross_entropy_{name}'], 1e-5)
  assert relative_error(tape.gradient(loss, logits), GOLDEN[f'cross_entropy_{name}_gradient']) < 1e-5
