"""The losses beside the cross-entropy: equal to slow readings of their papers, to PyTorch's packages where these have
them, and to their numeric gradients; sound where there is nothing to learn."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from network.losses import EXTRA_LOSSES, active_boundary
from tests.network import slow_extra_losses
from tests.network.drawn import SHAPE, draw, numeric_gradient, relative_error

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / 'golden/pytorch_losses.npz')
BY_LABELS = [name for name, loss in EXTRA_LOSSES.items() if loss.count]


def value_and_gradient(name, labels, logits):
  logits = tf.convert_to_tensor(logits)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = EXTRA_LOSSES[name].total(labels, logits)
  return loss, tape.gradient(loss, logits)


def count(name, labels, logits):
  loss = EXTRA_LOSSES[name]
  return loss.count(labels, logits.shape[-1]) if loss.count else loss.count_by_logits(labels, logits)


@pytest.mark.parametrize('shape', [SHAPE, (3, 12, 16, 3)])
@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_equals_a_slow_reading_of_the_paper(name, shape):
  labels, logits, _ = draw(shape)
  slow = getattr(slow_extra_losses, name)(labels, logits)
  slow, number = slow if name == 'abl' else (slow, None)
  np.testing.assert_allclose(EXTRA_LOSSES[name].total(labels, logits), slow, 1e-5)
  assert number is None or number == count(name, labels, logits) > 0


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_gradient_is_the_numeric_one(name):
  """Of `abl` the boundary and the neighbours' probabilities stay what they are."""
  labels, logits, _ = draw((1, 6, 5, 3), seed=1)
  fixed = {'moving': logits, 'neighbours': logits} if name == 'abl' else {}

  def slow(x):
    return np.ravel(getattr(slow_extra_losses, name)(labels, x, **fixed))[0]

  assert relative_error(value_and_gradient(name, labels, logits)[1], numeric_gradient(slow, logits)) < 1e-4


@pytest.mark.parametrize('name', ['lovasz', 'dice', 'focal'])
def test_equals_that_of_a_package_for_pytorch(name):
  """segmentation-models-pytorch 0.6 (Lovasz), MONAI 1.6 (Dice, squared), kornia 0.9 (focal)."""
  labels, logits = GOLDEN['labels'], GOLDEN['logits']
  loss, gradient = value_and_gradient(name, labels, logits)
  number = count(name, labels, logits)
  np.testing.assert_allclose(loss / number, GOLDEN[name], 1e-5)
  assert relative_error(gradient / number, GOLDEN[f'{name}_gradient']) < 1e-5


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_nothing_but_ignored_pixels_is_zero(name):
  _, logits, _ = draw()
  labels = np.full(SHAPE[:3], 255, np.int32)
  loss, gradient = value_and_gradient(name, labels, logits)
  assert loss == 0 == count(name, labels, logits) and not np.any(gradient)


@pytest.mark.parametrize('name', EXTRA_LOSSES)
@pytest.mark.parametrize('scale', [0, 1, 1000])
def test_one_class_alone_and_any_certainty_are_finite(name, scale):
  _, logits, _ = draw()
  for value in (0, 3):
    loss, gradient = value_and_gradient(name, np.full(SHAPE[:3], value, np.int32), scale * logits)
    assert np.isfinite(loss) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_a_batch_is_the_sum_of_its_images(name):
  """So replicas and batches may share the images as they like."""
  labels, logits, _ = draw((3, 8, 8, 4))
  labels[1] = 255
  parts = [
    (EXTRA_LOSSES[name].total(y, x), count(name, y, x)) for y, x in zip(labels[:, None], logits[:, None], strict=True)
  ]
  whole = EXTRA_LOSSES[name].total(labels, logits), count(name, labels, logits)
  np.testing.assert_allclose(np.sum(parts, 0), whole, 1e-5)


@pytest.mark.parametrize('name', ['lovasz', 'dice', 'focal'])
def test_a_perfect_prediction_costs_nothing(name):
  labels, _, _ = draw()
  logits = 60 * np.equal(labels[..., np.newaxis], np.arange(SHAPE[-1])).astype(np.float32)
  assert abs(EXTRA_LOSSES[name].total(labels, logits)) < 1e-6


def test_rmi_of_the_truth_is_below_that_of_another_label():
  labels, _, _ = draw((1, 16, 16, 3))
  right, wrong = (8.0 * np.equal(x[..., np.newaxis], np.arange(3)) - 4 for x in (labels, labels.transpose(0, 2, 1)))
  total = EXTRA_LOSSES['rmi'].total
  assert total(labels, right.astype(np.float32)) < total(labels, wrong.astype(np.float32)) - 1


def test_rmi_of_logits_that_are_not_finite_is_not_finite():
  labels, logits, _ = draw()
  logits[0, 0, 0, 0] = np.inf
  assert not np.isfinite(EXTRA_LOSSES['rmi'].total(labels, logits))


def test_a_step_along_the_gradient_moves_the_boundary():
  """Two classes side by side, predicted three pixels too far left: the wrong pixels at the edge turn to the truth."""
  x = np.arange(16)
  labels = np.tile((x > 9).astype(np.int32), [1, 12, 1])
  logits = np.tile(np.stack([0.0 * x, 4.0 * (x > 6) - 2], -1), [1, 12, 1, 1]) + draw((1, 12, 16, 2), sharpness=0.01)[1]
  _, gradient = value_and_gradient('abl', labels, logits.astype(np.float32))
  moving = active_boundary.moving(labels, logits)[0, :, 7]
  assert np.sum(moving) >= 2 and np.all(gradient.numpy()[0, moving, 7, 1] > 0)  # there class 1 meets class 0


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_inside_a_compiled_function(name):
  labels, logits, _ = draw()
  compiled = tf.function(lambda y, x: value_and_gradient(name, y, x), jit_compile=True)
  for got, expected in zip(compiled(labels, logits), value_and_gradient(name, labels, logits), strict=True):
    np.testing.assert_allclose(got, expected, 1e-4, 1e-6)
