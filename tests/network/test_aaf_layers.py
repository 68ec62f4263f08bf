"""Pairs of pixels and their layout: one shift finds a given neighbour of every pixel, and of no other image or row."""

import numpy as np
import pytest
import tensorflow as tf

from network.aaf import reference
from network.aaf.layers import IGNORED, Layout, classes_only, counted, valid_labels

SHAPE, REACH = (2, 4, 5), 3
DIRECTIONS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]  # in the order of `shifts`


def neighbours(maps, dy, dx, fill):
  """What a loop finds at (y + dy, x + dx); `fill` outside the image."""
  found = np.full_like(maps, fill)
  height, width = maps.shape[-2:]
  for y, x in np.ndindex(height, width):
    if 0 <= y + dy < height and 0 <= x + dx < width:
      found[..., y, x] = maps[..., y + dy, x + dx]
  return found


@pytest.mark.parametrize('size', [1, 2, 3])
@pytest.mark.parametrize('outer', [(), (3,)])
def test_a_shift_finds_a_neighbour_of_every_pixel(size, outer):
  maps = np.random.default_rng(0).integers(0, 99, outer + SHAPE)
  layout = Layout(SHAPE, REACH)
  laid = layout.lay(maps, -7)
  for shift, (dy, dx) in zip(layout.shifts(size), DIRECTIONS, strict=True):
    found = layout.unlay(layout.at(laid, shift))
    np.testing.assert_array_equal(found, neighbours(maps, size * dy, size * dx, -7))


def test_two_steps_stay_apart_if_the_first_is_inside():
  """A pair whose centre is the neighbour looks two steps on: past a fill there may be another row, but then the first
  step was in the fill."""
  labels = np.random.default_rng(0).integers(0, 3, SHAPE)
  layout = Layout(SHAPE, REACH)
  laid = layout.lay(labels, IGNORED)
  for size in (1, 2, 3):
    for shift, (dy, dx) in zip(layout.shifts(size), DIRECTIONS, strict=True):
      here, one, two = (layout.unlay(layout.at(laid, steps * shift)) for steps in (0, 1, 2))
      expected = neighbours(labels, 2 * size * dy, 2 * size * dx, IGNORED) != IGNORED
      np.testing.assert_array_equal(counted(here, one, two), expected)


def test_laid_out_and_back():
  maps = np.random.default_rng(0).normal(size=(3, *SHAPE))
  layout = Layout(SHAPE, REACH)
  np.testing.assert_array_equal(layout.unlay(layout.at(layout.lay(maps, 0), 0)), maps)


@pytest.mark.parametrize('size', [1, 2, 3])
def test_the_pairs_that_count(size):
  rng = np.random.default_rng(0)
  labels = np.where(rng.random((2, 7, 8)) < 0.15, 255, rng.integers(0, 4, (2, 7, 8)))
  layout = Layout(labels.shape, REACH)
  laid = layout.lay(classes_only(labels, 4), IGNORED)
  found = np.zeros(labels.shape, int)
  for shift in layout.shifts(size):
    found += layout.unlay(counted(*(layout.at(laid, x) for x in (0, shift, -shift)))).numpy()
  (_, edge), (_, nonedge) = reference.entries(labels, np.full([*labels.shape, 4], 0.25), 4, 1.0, size)
  np.testing.assert_array_equal(found, np.sum((edge | nonedge)[..., 0, :], -1))


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype):
  limits = np.iinfo(dtype)
  labels = np.array([[[0, 2, 3, 4, limits.max, limits.min]]], dtype)
  lowest = 0 if limits.min == 0 else IGNORED
  np.testing.assert_array_equal(classes_only(labels, 4)[0, 0], [0, 2, 3, IGNORED, IGNORED, lowest])
  assert classes_only(labels, 4).dtype == tf.int32


def test_labels_do_not_wrap_and_classes_may_exceed_their_type():
  assert not np.any(valid_labels(np.array([2**32 + 1, -(2**32) + 1]), 4))
  np.testing.assert_array_equal(valid_labels(np.array([0, 255], np.uint8), 300), [True, True])
