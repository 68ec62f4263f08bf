"""The reader: what a run sees, in which order, and what augmentation does to it."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from network.common.layers import MEAN
from seg_models.augmentation import NO_AUGMENTATION, Augmentation, Crop, augment, crop_example
from seg_models.image_reader import decode_image, file_index, training_dataset
from utils.images import read_label
from utils.lists import Pair, read_list

CROP, IGNORE = (24, 32), 255
RANDOM = Augmentation((0.5, 2.0), mirror=True, random_crop=True)
EVERYTHING = RANDOM._replace(max_degrees=30.0, color_jitter=True, max_share=0.4)


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


def read(pairs, count, seed=1, batch_size=2, augmentation=RANDOM, **settings):
  """The first `count` examples as NumPy arrays."""
  dataset = training_dataset(pairs, batch_size, CROP, IGNORE, seed, augmentation, **settings)
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
  first, second = (read(pairs, 6, batch_size=4, worker=(i, 2)) for i in range(2))
  joint = [first[i : i + 2] + second[i : i + 2] for i in (0, 2, 4)]
  assert_equal(one, [example for batch in joint for example in batch])


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


@pytest.mark.parametrize('augmentation', [NO_AUGMENTATION, RANDOM, EVERYTHING])
def test_the_pipeline_is_the_eager_function(pairs, augmentation):
  """Without augmentation it is the centre crop; with it, scales are in [0.5, 2) and about half of the images mirrored,
  by numbers that were never to change."""
  for position, got in enumerate(read(pairs, 15, augmentation=augmentation)):
    key = tf.constant([1, position], tf.int64)
    pair = pairs[int(file_index(position, 5, 1))]
    image, label = decode_image(tf.io.read_file(pair.image)), read_label(pair.label).astype(np.int32)
    want = augment(image, label, CROP, IGNORE, augmentation, key)
    if augmentation is not EVERYTHING:
      u = tf.random.stateless_uniform([4], key)
      random = (0.5 + 1.5 * u[0], u[1] < 0.5, u[2:]) if augmentation is RANDOM else ()
      crop = Crop(CROP, *random)
      assert_equal([want], [crop_example(image, label, crop, IGNORE, lambda pixels: pixels - MEAN)])
    # TensorFlow folds constants of the colours' arithmetic in a graph.
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e-3 if augmentation.color_jitter else 0)
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize('palette', [False, True])
def test_grey_and_palette_labels_give_their_indices(tmp_path, palette):
  label = np.arange(24 * 32, dtype=np.uint8).reshape(CROP) % 21
  picture = Image.fromarray(label)
  if palette:
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
  picture.save(tmp_path / 'a.png')
  Image.new('RGB', CROP[::-1]).save(tmp_path / 'a.jpg')
  [(_, got)] = read([Pair(str(tmp_path / 'a.jpg'), str(tmp_path / 'a.png'))], 1, augmentation=NO_AUGMENTATION)
  np.testing.assert_array_equal(got, label)
