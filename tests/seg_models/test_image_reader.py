"""What a run sees. Augmentation equals plain readings of it in NumPy; the reader gives every image its turn, and what
augmentation makes of it."""

import colorsys
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from network.common.layers import MEAN
from seg_models.augmentation import (
  COLORS,
  NO_AUGMENTATION,
  PLACES,
  TURN,
  Augmentation,
  Crop,
  augment,
  color_jitter,
  crop_example,
  crop_label,
  largest_share,
)
from seg_models.image_reader import decode_image, file_index, training_dataset
from tests.data.trees import save
from utils.images import read_label
from utils.lists import read_list

SIZE, IGNORE = (24, 32), 255
RANDOM = Augmentation(random_scale=True, random_mirror=True, random_crop=True)
ALL = RANDOM._replace(random_rotate=30.0, color_jitter=True, crop_max_share=0.45)


def example(i):
  """An image and its label, larger or smaller than the crop, the label in blocks and in part void."""
  rng = np.random.default_rng(i)
  height, width = 17 + 9 * i, 60 - 11 * i
  label = rng.choice([0, 1, 2, IGNORE], [height // 6 + 1, width // 6 + 1]).repeat(6, 0).repeat(6, 1)
  return rng.integers(0, 256, (height, width, 3), np.uint8), label[:height, :width].astype(np.int32)


def by_hand(image, label, scale, mirror, place, degrees=0.0):
  """Each pixel of the crop is turned back about the centre of the scaled image, mirrored back and looked up there, as
  TensorFlow 1's resize does, whose source is target * in / out: the image between its pixels, the label below."""
  scaled = [max(1, int(np.float32(side) * np.float32(scale))) for side in label.shape]
  free = [max(0, side - crop) for side, crop in zip(scaled, SIZE, strict=True)]
  start = [
    f // 2 if place is None else int(np.float32(u) * (f + 1)) for f, u in zip(free, place or (0, 0), strict=True)
  ]
  y, x = np.mgrid[: SIZE[0], : SIZE[1]] + np.reshape(start, [2, 1, 1])
  there = (y < scaled[0]) & (x < scaled[1])
  sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
  y, x = (at - (side - 1) / 2 for at, side in zip((y, x), scaled, strict=True))
  y, x = y * cosine + x * sine + (scaled[0] - 1) / 2, x * cosine - y * sine + (scaled[1] - 1) / 2
  x = scaled[1] - 1 - x if mirror else x
  lines, positions = [], []
  for at, side, length in zip((y, x), scaled, label.shape, strict=True):
    there &= (np.rint(at) >= 0) & (np.rint(at) < side)
    line, at = np.clip([np.rint(at), at], 0, side - 1)
    lines.append((line.astype(np.float32) * (np.float32(length) / np.float32(side))).astype(int))
    positions.append(at * length / side)
  pixels = [
    ndimage.map_coordinates(channel, positions, order=1, mode='nearest')
    for channel in np.moveaxis(image, -1, 0).astype(float)
  ]
  return np.stack(pixels, -1) * there[..., np.newaxis], np.where(there, label[tuple(lines)], IGNORE)


def cropped(image, label, *args):
  crop = Crop(SIZE, *args)
  pixels, classes = (x.numpy() for x in crop_example(image, label, crop, IGNORE))
  np.testing.assert_array_equal(crop_label(label, crop, IGNORE), classes)
  return pixels, classes


SETTINGS = itertools.product((0.5, 0.77, 1.0, 1.31, 1.9999), (False, True), (None, (0.0, 0.0), (0.3, 0.999)))
STRAIGHT = [(i % 5, *setting, None) for i, setting in enumerate(SETTINGS)]
TURNED = [
  (0, 1.0, False, None, 30.0),
  (1, 1.7, True, (0.3, 0.9), -45.0),
  (2, 0.6, False, (0.0, 0.0), 170.0),
  (3, 1.31, True, (0.99, 0.5), 7.0),
  (4, 1.37, True, (0.2, 0.7), 1e-5),
]


@pytest.mark.parametrize(('index', 'scale', 'mirror', 'place', 'degrees'), [*STRAIGHT, *TURNED])
def test_crop_is_made_of_the_pixels_that_it_shows(index, scale, mirror, place, degrees):
  image, label = example(index)
  want_image, want_label = by_hand(image, label, scale, mirror, place, degrees or 0.0)
  got_image, got_label = cropped(image, label, tf.constant(scale), tf.constant(mirror), place, degrees)
  wrong, far = got_label != want_label, np.abs(got_image - want_image).max(-1) > (2e-3 if degrees is None else 0.05)
  # Turned, a position in the middle of two pixels may fall to either.
  assert max(np.mean(wrong), np.mean(far)) <= (0 if degrees is None else 0.005)
  assert degrees is None or 0.02 < np.mean(want_label == IGNORE) < 0.9


def test_crops_reach_every_place():
  image, label = np.zeros((26, 34, 3), np.uint8), np.arange(26 * 34).reshape(26, 34).astype(np.int32)
  u = 0.0, 0.34, 0.67, np.float32(1 - 2**-23)
  corners = {int(cropped(image, label, 1.0, False, place)[1][0, 0]) for place in itertools.product(u, u)}
  assert corners == {34 * y + x for y in range(3) for x in range(3)}


def jittered_by_hand(pixels, u):
  """Pixel by pixel, with Python's own HSV."""
  out = np.zeros(pixels.shape)
  for i in np.ndindex(pixels.shape[:-1]):
    pixel = pixels[i] + (64 * u[5] - 32 if u[0] < 0.5 else 0)
    pixel = np.clip(pixel, 0, 255)
    if u[1] < 0.5 and u[4] < 0.5:
      pixel = np.clip(pixel * (0.5 + u[6]), 0, 255)
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel / 255)
    saturation = min(1, saturation * (0.5 + u[7])) if u[2] < 0.5 else saturation
    hue = (hue + (36 * u[8] - 18) / 360) % 1 if u[3] < 0.5 else hue
    pixel = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    out[i] = np.clip(pixel * (0.5 + u[6]), 0, 255) if u[1] < 0.5 <= u[4] else pixel
  return out


@pytest.mark.parametrize('seed', range(8))
def test_color_jitter_is_a_loop_over_the_pixels(seed):
  rng = np.random.default_rng(seed)
  pixels, u = rng.uniform(0, 255, (6, 7, 3)).astype(np.float32), rng.random(9).astype(np.float32)
  u[:4] = (np.arange(4) == seed) * 0.5 if seed < 4 else u[:4]  # without that one; then at random
  np.testing.assert_allclose(color_jitter(pixels, u), jittered_by_hand(pixels, u), atol=0.02)


def share_by_hand(label):
  counts = [np.sum(label == c) for c in range(IGNORE)]
  return max(counts) / sum(counts) if sum(counts) else 1


def test_largest_share_of_the_labelled_pixels():
  label = np.int32([[0, 0, 0, 1], [2, 7, 7, 255]])
  assert float(largest_share(label, 255)) == pytest.approx(3 / 7)
  assert float(largest_share(label, 7)) == pytest.approx(3 / 5)
  assert largest_share(np.full([2, 2], 255, np.int32), 7) == 1


def stream(key, number, *shape):
  return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(key, number)).numpy()


def test_everything_at_once_is_done_by_hand_in_order():
  """Scale, mirror, turn, the first crop of ten that is mixed enough, colours, mean; each from numbers of its own."""
  tries, turned = [], 0
  for position in range(20):
    image, label = example(position % 5)
    key = tf.constant([1, position], tf.int64)
    u = tf.random.stateless_uniform([4], key).numpy()
    chosen, turn = stream(key, TURN, 2)
    degrees = np.float32(30) * (2 * turn - 1) if chosen < 0.5 else 0
    for tried, place in enumerate([u[2:], *stream(key, PLACES, 9, 2)]):  # noqa: B007
      pixels, classes = by_hand(image, label, 0.5 + 1.5 * u[0], u[1] < 0.5, tuple(place), degrees)
      if share_by_hand(classes) <= 0.45:
        break
    inside = pixels.any(-1, keepdims=True)
    pixels = np.where(inside, jittered_by_hand(pixels, stream(key, COLORS, 9)) - MEAN, 0)
    got_image, got_label = augment(image, label, SIZE, IGNORE, ALL, key)
    assert np.mean(got_label != classes) < 0.005
    assert np.mean(np.abs(got_image - pixels).max(-1) > 0.2) < 0.005
    tries.append(tried)
    turned += degrees != 0
  assert 0 in tries and 9 in tries and len(set(tries)) > 2
  assert 5 < turned < 15


@pytest.mark.parametrize('more', [{'random_rotate': 30.0}, {'crop_max_share': 0.5}, {'color_jitter': True}])
def test_what_is_switched_on_changes_no_other_random_number(more):
  """Examples that it leaves alone are the same to the last bit; all labels under --color-jitter are."""
  same = 0
  for position in range(20):
    image, label = example(position % 5)
    key = tf.constant([1, position], tf.int64)
    without, with_it = (augment(image, label, SIZE, IGNORE, RANDOM._replace(**m), key) for m in ({}, more))
    same += np.array_equal(without[0], with_it[0]) and np.array_equal(without[1], with_it[1])
    if 'color_jitter' in more:
      np.testing.assert_array_equal(without[1], with_it[1])
  assert 0 < same < 18


# The reader.


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  """Five examples as files; the colours of the labels' palette say nothing about the classes."""
  folder = tmp_path_factory.mktemp('reader')
  for i in range(5):
    image, label = example(i)
    save(folder / f'{i}.jpg', image)
    save(folder / f'{i}.png', label.astype(np.uint8), palette=np.full((256, 3), 9))
  (folder / 'list.txt').write_text(''.join(f'{i}.jpg {i}.png\n' for i in range(5)))
  return read_list(str(folder / 'list.txt'), str(folder), need_label=True)


@pytest.mark.parametrize('number', [1, 2, 5, 240])
def test_every_epoch_is_another_permutation(number):
  def files(epoch):
    positions = tf.data.Dataset.range(epoch * number, (epoch + 1) * number)
    return list(positions.map(lambda p: file_index(p, number, 7)).as_numpy_iterator())

  epochs = [files(epoch) for epoch in (0, 1, 9)]
  for epoch in epochs:
    assert sorted(epoch) == list(range(number))
  if number > 2:
    assert epochs[0] != epochs[1] != epochs[2] != list(range(number))


def test_every_file_comes_first_equally_often():
  first = [int(file_index(6 * epoch, 6, 3)) for epoch in range(300)]
  assert np.bincount(first, minlength=6).min() > 25  # expected 50, standard deviation 6.5


@pytest.mark.parametrize('augmentation', [NO_AUGMENTATION, RANDOM, ALL])
def test_the_pipeline_is_the_eager_function(pairs, augmentation):
  """Of the seed and the position alone: here the second worker's, from batch 3 on, of four. Without augmentation it is
  the centre crop."""
  seed, positions = 7, [4 * batch + place for batch in range(3, 10) for place in (2, 3)]
  dataset = training_dataset(pairs, 4, SIZE, IGNORE, seed, augmentation, first_batch=3, worker=(1, 2))
  for position, got in zip(positions, dataset.take(len(positions)).as_numpy_iterator(), strict=True):
    key = tf.constant([seed, position], tf.int64)
    pair = pairs[int(file_index(position, 5, seed))]
    image, label = decode_image(tf.io.read_file(pair.image)), read_label(pair.label).astype(np.int32)
    want = augment(image, label, SIZE, IGNORE, augmentation, key)
    if augmentation is NO_AUGMENTATION:
      centre = crop_example(image, label, Crop(SIZE), IGNORE, lambda pixels: pixels - MEAN)
      assert all(np.array_equal(*both) for both in zip(want, centre, strict=True))
    # TensorFlow folds constants of the colours' arithmetic in a graph.
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e-3 if augmentation.color_jitter else 0)
    np.testing.assert_array_equal(got[1], want[1])
