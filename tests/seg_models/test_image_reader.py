"""The reader: what a run sees, in which order, and what augmentation does to it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from network.common.layers import resize_bilinear, resize_nearest
from seg_models.image_reader import MEAN, augment, decode_image, file_index, training_dataset
from utils.image_file import read_label
from utils.list_file import Pair, read_list

CROP, IGNORE = (24, 32), 255


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  """Five pictures, larger and smaller than the crop."""
  folder = tmp_path_factory.mktemp('reader')
  rng = np.random.default_rng(0)
  for i in range(5):
    height, width = 17 + 9 * i, 60 - 11 * i
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / f'{i}.jpg')
    Image.fromarray(rng.integers(0, 3, (height, width), np.uint8)).save(folder / f'{i}.png')
  (folder / 'list.txt').write_text(''.join(f'{i}.jpg {i}.png\n' for i in range(5)))
  return read_list(str(folder / 'list.txt'), str(folder), need_label=True)


def read(pairs, count, seed=1, batch_size=2, random=True, **settings):
  """The first `count` examples as NumPy arrays."""
  dataset = training_dataset(pairs, batch_size, CROP, IGNORE, seed, random, random, random, **settings)
  return list(dataset.take(count).as_numpy_iterator())


def assert_equal(some, others):
  for one, other in zip(some, others, strict=True):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_a_seed_decides_what_a_run_sees(pairs):
  one = read(pairs, 12)
  assert_equal(one, read(pairs, 12))
  assert_equal(one[6:], read(pairs, 6, first_batch=3))
  other = read(pairs, 12, seed=2)
  assert sum(np.array_equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True)) == 0


def test_workers_share_each_batch(pairs):
  one = read(pairs, 12, batch_size=4)
  first, second = (read(pairs, 6, batch_size=4, share=(i, 2)) for i in range(2))
  joint = [first[i : i + 2] + second[i : i + 2] for i in (0, 2, 4)]
  assert_equal(one, [example for batch in joint for example in batch])


@pytest.mark.parametrize('number', [1, 2, 5, 240, 2975])
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


def by_hand(image, label, scale, mirror, place):
  """Resize as TensorFlow 1, subtract the mean, mirror, pad, crop, one after the other."""
  size = [max(1, int(np.float32(side) * np.float32(scale))) for side in image.shape[:2]]
  image = resize_bilinear(image[np.newaxis], size)[0].numpy() - MEAN
  label = resize_nearest(label[np.newaxis, ..., np.newaxis], size)[0, ..., 0].numpy()
  if mirror:
    image, label = image[:, ::-1], label[:, ::-1]
  pad = [(0, max(0, crop - side)) for crop, side in zip(CROP, size, strict=True)]
  image, label = np.pad(image, [*pad, (0, 0)]), np.pad(label, pad, constant_values=IGNORE)
  free = [side - crop for side, crop in zip(label.shape, CROP, strict=True)]
  y, x = [f // 2 if place is None else int(u * (f + 1)) for f, u in zip(free, place or (0, 0), strict=True)]
  return image[y : y + CROP[0], x : x + CROP[1]], label[y : y + CROP[0], x : x + CROP[1]]


@pytest.mark.parametrize('index', range(5))
@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize('scale', [0.5, 0.77, 1.0, 1.31, 1.9999])
@pytest.mark.parametrize('place', [None, (0.0, 0.0), (0.3, 0.999)])
def test_augmentation_is_resize_mirror_pad_crop(pairs, index, mirror, scale, place):
  image = decode_image(tf.io.read_file(pairs[index].image)).numpy()
  label = read_label(pairs[index].label).astype(np.int32)
  want_image, want_label = by_hand(image, label, scale, mirror, place)
  got_image, got_label = augment(image, label, CROP, tf.constant(scale), tf.constant(mirror), place, IGNORE)
  np.testing.assert_array_equal(got_label, want_label)
  np.testing.assert_allclose(got_image, want_image, rtol=0, atol=2e-3)


@pytest.mark.parametrize('random', [False, True])
def test_the_pipeline_is_the_eager_function(pairs, random):
  """Without augmentation: the centre crop; with it: scales in [0.5, 2), about half of the images mirrored."""
  scales, mirrored = [], 0
  for position, example in enumerate(read(pairs, 40, random=random)):
    u = tf.random.stateless_uniform([4], tf.constant([1, position], tf.int64))
    scale, mirror, place = (0.5 + 1.5 * u[0], u[1] < 0.5, u[2:]) if random else (1.0, False, None)
    pair = pairs[int(file_index(position, 5, 1))]
    whole = decode_image(tf.io.read_file(pair.image)), read_label(pair.label).astype(np.int32)
    assert_equal([example], [augment(*whole, CROP, scale, mirror, place, IGNORE)])
    scales.append(float(scale))
    mirrored += bool(mirror)
  if random:
    assert 0.5 <= min(scales) < 0.75 and 1.75 < max(scales) < 2
    assert 8 < mirrored < 32


def test_crops_reach_every_place(pairs):
  image, label = np.zeros((26, 34, 3), np.uint8), np.arange(26 * 34).reshape(26, 34).astype(np.int32)
  u = 0.0, 0.34, 0.67, np.float32(1 - 2**-23)
  crops = [augment(image, label, CROP, 1.0, False, place, IGNORE)[1] for place in itertools.product(u, u)]
  corners = {int(crop[0, 0]) for crop in crops}
  assert corners == {34 * y + x for y in range(3) for x in range(3)}


@pytest.mark.parametrize('palette', [False, True])
def test_grey_and_palette_labels_give_their_indices(tmp_path, palette):
  label = np.arange(24 * 32, dtype=np.uint8).reshape(CROP) % 21
  picture = Image.fromarray(label)
  if palette:
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
  picture.save(tmp_path / 'a.png')
  Image.new('RGB', CROP[::-1]).save(tmp_path / 'a.jpg')
  [(_, got)] = read([Pair(str(tmp_path / 'a.jpg'), str(tmp_path / 'a.png'))], 1, random=False)
  np.testing.assert_array_equal(got, label)


def test_the_content_tells_jpeg_from_png(tmp_path):
  rng = np.random.default_rng(0)
  grey = rng.integers(0, 256, CROP, np.uint8)
  Image.fromarray(rng.integers(0, 256, (*CROP, 3), np.uint8)).save(tmp_path / 'a.jpg')
  (tmp_path / 'jpeg.png').write_bytes((tmp_path / 'a.jpg').read_bytes())
  np.testing.assert_array_equal(
    decode_image((tmp_path / 'jpeg.png').read_bytes()), tf.io.decode_jpeg((tmp_path / 'a.jpg').read_bytes())
  )
  Image.fromarray(grey).save(tmp_path / 'grey.png')
  np.testing.assert_array_equal(decode_image((tmp_path / 'grey.png').read_bytes()), np.stack([grey] * 3, -1))
  Image.fromarray(np.dstack([grey] * 4)).save(tmp_path / 'alpha.png')
  assert decode_image((tmp_path / 'alpha.png').read_bytes()).shape == (*CROP, 3)
