"""The cross-entropy with its options and the losses beside it: equal to PyTorch and its packages where these have them,
else to slow readings of their papers and their numeric gradients; sound where there is nothing to learn."""

import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from network.losses import EXTRA_LOSSES, active_boundary
from network.losses.cross_entropy import Options, cross_entropy_sum, kept_weight, labelled_weight
from tests.network import slow_pixel_losses
from tests.network.drawn import SHAPE, draw, numeric_gradient, relative_error, value_and_gradient

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / 'golden/pytorch_losses.npz')
WEIGHTS = (0.5, 2.0, 0.0, 1.25)
OPTIONS = {
  'plain': Options(),
  'smooth': Options(label_smoothing=0.1),
  'weights': Options(class_weights=WEIGHTS),
  'both': Options(class_weights=WEIGHTS, label_smoothing=0.2),
  'ohem': Options(ohem_threshold=0.3),
  'kept': Options(ohem_threshold=0.1, ohem_min_kept=15),
  'all': Options(ohem_threshold=0.0, ohem_min_kept=9, class_weights=WEIGHTS, label_smoothing=0.1),
  'all kept': Options(ohem_threshold=0.3, ohem_min_kept=10**9),
}
OF_PYTORCH = ('lovasz', 'dice', 'focal', 'cross_entropy_plain', 'cross_entropy_smooth', 'cross_entropy_both')


class Loss(NamedTuple):
  """Functions of (labels, logits): the sum over the batch; what it is divided by; the sum slowly, or (sum, divisor),
  None where PyTorch holds it."""

  total: Callable
  count: Callable
  slow: Callable | None


def extra_loss(name):
  entry = EXTRA_LOSSES[name]
  count = entry.count_by_logits or (lambda labels, logits: entry.count(labels, logits.shape[-1]))
  return Loss(entry.total, count, None if name in OF_PYTORCH else getattr(slow_pixel_losses, name))


def cross_entropy(options):
  functions = cross_entropy_sum, kept_weight, slow_pixel_losses.cross_entropy
  return Loss(*(functools.partial(function, options=options) for function in functions))


LOSSES = {name: extra_loss(name) for name in EXTRA_LOSSES}
LOSSES |= {f'cross_entropy_{name}': cross_entropy(options) for name, options in OPTIONS.items()}
SLOW = [name for name, loss in LOSSES.items() if loss.slow]


@pytest.fixture(params=LOSSES)
def name(request):
  return request.param


def total_and_gradient(name, labels, logits):
  return value_and_gradient(functools.partial(LOSSES[name].total, labels), logits)


@pytest.mark.parametrize('name', SLOW)
@pytest.mark.parametrize('shape', [SHAPE, (3, 12, 16, 4)])
def test_equals_a_slow_reading_of_the_paper(name, shape):
  labels, logits, _ = draw(shape)
  total, *count = np.atleast_1d(LOSSES[name].slow(labels, logits))
  np.testing.assert_allclose(LOSSES[name].total(labels, logits), total, 1e-5)
  if count:
    np.testing.assert_allclose(LOSSES[name].count(labels, logits), count[0], 1e-6)
    assert count[0] > 0


def test_the_labels_decide_the_weight_without_hard_examples():
  labels, logits, _ = draw()
  for options in OPTIONS.values():
    _, weight = slow_pixel_losses.cross_entropy(labels, logits, options._replace(ohem_threshold=None))
    np.testing.assert_allclose(labelled_weight(labels, SHAPE[-1], options), weight, 1e-6)


@pytest.mark.parametrize('name', SLOW)
def test_gradient_is_the_numeric_one(name):
  """Of `abl` the boundary and the neighbours' probabilities stay what they are."""
  labels, logits, _ = draw((1, 6, 5, 4), seed=1)
  fixed = {'fixed': logits} if name == 'abl' else {}

  def slow(x):
    return np.ravel(LOSSES[name].slow(labels, x, **fixed))[0]

  assert relative_error(total_and_gradient(name, labels, logits)[1], numeric_gradient(slow, logits)) < 1e-4


@pytest.mark.parametrize('name', OF_PYTORCH)
def test_equals_that_of_pytorch_or_a_package_for_it(name):
  """segmentation-models-pytorch 0.6 (Lovasz), MONAI 1.6 (Dice, squared), kornia 0.9 (focal)."""
  labels, logits = GOLDEN['labels'], GOLDEN['logits']
  loss, gradient = total_and_gradient(name, labels, logits)
  count = LOSSES[name].count(labels, logits)
  np.testing.assert_allclose(loss / count, GOLDEN[name], 1e-5)
  assert relative_error(gradient / count, GOLDEN[f'{name}_gradient']) < 1e-5


@pytest.mark.parametrize(('name', 'loss'), [
  ('lovasz', 0.75), ('dice', 1 - 2 * 0.5 / (2 / 16 + 2)), ('focal', 2 * 0.75**2 * np.log(4))
])  # fmt: skip
def test_absent_classes_count_for_nothing(name, loss):
  """By hand: two pixels of class 0 and four of none, of which no class is likelier than another."""
  labels, logits = np.int32([[[0, 0, 255, -1, 4, 11]]]), np.zeros((1, 1, 6, 4), np.float32)
  np.testing.assert_allclose(LOSSES[name].total(labels, logits), loss, 1e-5)


def test_nothing_but_ignored_pixels_is_zero(name):
  labels, logits = np.full(SHAPE[:3], 255, np.int32), draw()[1]
  loss, gradient = total_and_gradient(name, labels, logits)
  assert loss == 0 == LOSSES[name].count(labels, logits) and not np.any(gradient)


@pytest.mark.parametrize('scale', [0, 1, 1000])
def test_one_class_alone_and_any_certainty_are_finite(name, scale):
  for value in (0, 3):
    loss, gradient = total_and_gradient(name, np.full(SHAPE[:3], value, np.int32), scale * draw()[1])
    assert np.isfinite(loss) and np.all(np.isfinite(gradient))


def test_a_batch_is_the_sum_of_its_images(name):
  """So replicas and batches may share the images as they like."""
  labels, logits, _ = draw((3, 8, 8, 4))
  labels[1] = 255
  *parts, whole = (
    [function(labels[images], logits[images]) for function in LOSSES[name][:2]]
    for images in (slice(0, 1), slice(1, 2), slice(2, 3), slice(None))
  )
  np.testing.assert_allclose(np.sum(parts, 0), whole, 1e-5)


@pytest.mark.parametrize(('name', 'value'), [('rmi', np.inf), ('cross_entropy_kept', np.nan)])
def test_a_pixel_without_a_finite_loss_is_never_left_out(name, value):
  labels, logits, _ = draw()
  labels[0, 0, 0], logits[0, 0, 0, 0] = 0, value
  assert not np.isfinite(LOSSES[name].total(labels, logits))


def test_a_step_along_the_gradient_moves_the_boundary():
  """Two classes side by side, predicted three pixels too far left: the wrong pixels at the edge turn to the truth."""
  x = np.arange(16)
  labels = np.tile((x > 9).astype(np.int32), [1, 12, 1])
  logits = np.tile(np.stack([0.0 * x, 4.0 * (x > 6) - 2], -1), [1, 12, 1, 1]) + draw((1, 12, 16, 2), sharpness=0.01)[1]
  _, gradient = total_and_gradient('abl', labels, logits.astype(np.float32))
  moving = active_boundary.moving(labels, logits)[0, :, 7]
  assert np.sum(moving) >= 2 and np.all(gradient.numpy()[0, moving, 7, 1] > 0)  # there class 1 meets class 0


def test_inside_a_compiled_function(name):
  labels, logits, _ = draw()
  compiled = tf.function(lambda y, x: total_and_gradient(name, y, x), jit_compile=True)
  for got, expected in zip(compiled(labels, logits), total_and_gradient(name, labels, logits), strict=True):
    np.testing.assert_allclose(got, expected, 1e-4, 1e-6)
