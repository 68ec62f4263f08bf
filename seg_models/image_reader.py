"""List of images to batches: decode and augment, all a pure function of (seed, position).

Conventions: images are RGB; decoded uint8 [h, w, 3], given to the network as float32 minus MEAN. Labels are int32
[h, w].
Position k is the k-th example of the run: it decides the file (every epoch is another permutation of the list) and
the random numbers of its augmentation. So a run can go on at any step, and threads cannot change what it sees.
"""

import numpy as np
import tensorflow as tf

from seg_models.augmentation import NO_AUGMENTATION, Augmentation, augment
from utils import files, images, parallel
from utils.lists import Pair

LARGEST = 1 << 30  # bytes of an image file


def decode_image(data):
  """Bytes of a JPEG or PNG (told by content, not name) -> uint8 [h, w, 3], as TensorFlow decodes by default.

  Grey is repeated, alpha dropped, 16 bits cut to 8, the first frame of an animation taken, EXIF's orientation
  not applied (`read_image` and the data sets apply it).
  """
  image = tf.io.decode_image(data, channels=3, expand_animations=False)
  image.set_shape([None, None, 3])
  return image


def read_image(path: str) -> np.ndarray:
  """An image file as training and prediction see it: uint8 [h, w, 3], `decode_image` turned as EXIF's orientation says.

  Raises:
    InputError: no such file. TensorFlow's own error where it cannot be decoded.
  """
  stored, turn = _stored(path)
  return images.upright(stored, turn)


def _stored(path: str) -> tuple[np.ndarray, int]:
  """The pixels as they are stored, and EXIF's orientation."""
  data = files.read_bytes(path, 'an image', LARGEST)
  return decode_image(data).numpy(), images.orientation_of(data)


def training_dataset(
  pairs: list[Pair],
  batch_size: int,
  crop: tuple[int, int],
  ignore_label: int,
  seed: int,
  augmentation: Augmentation = NO_AUGMENTATION,
  first_batch=0,
  worker=(0, 1),
) -> tf.data.Dataset:
  """Endless batches (images float32 [b, H, W, 3], labels int32 [b, H, W]) from batch `first_batch` of the run on.

  `batch_size` is the global one; of each batch, worker `worker[0]` of `worker[1]` gets its consecutive part. Not yet
  batched: elements are single examples, in the order of the batch.
  """
  paths = tf.constant([(pair.image, pair.label) for pair in pairs])
  part = batch_size // worker[1]

  def positions(batch):
    first = batch * batch_size + worker[0] * part
    return tf.data.Dataset.range(first, first + part)

  def example(position):
    index = file_index(position, len(pairs), seed)
    image, label = tf.numpy_function(_read, [paths[index, 0], paths[index, 1]], [tf.uint8, tf.int32], stateful=False)
    image.set_shape([None, None, 3])
    label.set_shape([None, None])
    key = tf.stack([tf.cast(seed, tf.int64), position])
    return augment(image, label, crop, ignore_label, augmentation, key)

  dataset = tf.data.Dataset.range(first_batch, np.iinfo(np.int64).max).flat_map(positions)
  return without_autotuning(dataset.map(example, parallel.cores(), deterministic=True))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """tf.data's tuning has a thread that sleeps for up to a minute at a time. TensorFlow wakes it before it sets the flag
  that the thread looks for, so on busy machines the thread may sleep on, and the iterator's deletion waits for it."""
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.with_options(options)


def file_index(position, num_files: int, seed: int):
  """Which file position k reads: epoch k // n is its own pseudo-random permutation of the n files."""
  position = tf.cast(position, tf.int64)
  epoch, place = position // num_files, position % num_files
  key = tf.stack([tf.cast(seed, tf.int64), epoch])
  return tf.random.experimental.index_shuffle(place, key, tf.cast(num_files - 1, tf.int64))


def _read(image: bytes, label: bytes) -> tuple[np.ndarray, np.ndarray]:
  """An image and its label as people see them: uint8 [h, w, 3], int32 [h, w]."""
  stored, turn = _stored(image.decode())
  pixels = images.upright(stored, turn)
  classes = images.upright_label(images.read_label(label.decode()), stored.shape[:2], turn)
  if classes.shape != pixels.shape[:2]:
    raise ValueError(f'{label.decode()}: label and image differ in size')
  return np.ascontiguousarray(pixels), np.ascontiguousarray(classes, np.int32)
