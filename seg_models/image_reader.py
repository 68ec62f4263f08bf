"""List of images to batches: decode, scale, mirror, pad and crop, all a pure function of (seed, position).

Conventions: images are RGB; decoded uint8 [h, w, 3], given to the network as float32 minus MEAN. Labels are int32
[h, w].
Position k is the k-th example of the run: it decides the file (every epoch is another permutation of the list) and
the random numbers of its augmentation. So a run can go on at any step, and threads cannot change what it sees.
"""

import numpy as np
import tensorflow as tf

from network.common.layers import MEAN
from utils import storage
from utils.image_file import read_label
from utils.list_file import Pair


def decode_image(data):
  """Bytes of a JPEG or PNG (told by content, not name) -> uint8 [h, w, 3], as TensorFlow decodes by default.

  Grey is repeated, alpha dropped, 16 bits cut to 8, the first frame of an animation taken, EXIF rotation not applied.
  """
  image = tf.io.decode_image(data, channels=3, expand_animations=False)
  image.set_shape([None, None, 3])
  return image


def training_dataset(
  pairs: list[Pair],
  batch_size: int,
  crop: tuple[int, int],
  ignore_label: int,
  seed: int,
  random_scale=False,
  random_mirror=False,
  random_crop=False,
  first_batch=0,
  share=(0, 1),
) -> tf.data.Dataset:
  """Endless batches (images float32 [b, H, W, 3], labels int32 [b, H, W]) from batch `first_batch` of the run on.

  `batch_size` is the global one; of each batch, worker `share[0]` of `share[1]` gets its consecutive part. Not yet
  batched: elements are single examples, worker by worker in the order of the batch.
  """
  images = tf.constant([pair.image for pair in pairs])
  labels = tf.constant([pair.label for pair in pairs])
  part = batch_size // share[1]

  def positions(batch):
    first = batch * batch_size + share[0] * part
    return tf.data.Dataset.range(first, first + part)

  def example(position):
    index = file_index(position, len(pairs), seed)
    data, label = tf.numpy_function(_read, [images[index], labels[index]], [tf.string, tf.int32], stateful=False)
    image = decode_image(tf.reshape(data, []))
    label.set_shape([None, None])
    same = tf.reduce_all(tf.shape(label) == tf.shape(image)[:2])
    with tf.control_dependencies([tf.debugging.Assert(same, ['label and image differ in size:', labels[index]])]):
      u = tf.random.stateless_uniform([4], tf.stack([tf.cast(seed, tf.int64), position]))
    scale = 0.5 + 1.5 * u[0] if random_scale else tf.constant(1.0)
    mirror = u[1] < 0.5 if random_mirror else tf.constant(False)
    place = u[2:] if random_crop else None
    return augment(image, label, crop, scale, mirror, place, ignore_label)

  dataset = tf.data.Dataset.range(first_batch, np.iinfo(np.int64).max).flat_map(positions)
  return dataset.map(example, tf.data.AUTOTUNE, deterministic=True)


def file_index(position, num_files: int, seed: int):
  """Which file position k reads: epoch k // n is its own pseudo-random permutation of the n files."""
  position = tf.cast(position, tf.int64)
  epoch, place = position // num_files, position % num_files
  key = tf.stack([tf.cast(seed, tf.int64), epoch])
  return tf.random.experimental.index_shuffle(place, key, tf.cast(num_files - 1, tf.int64))


def _read(image: bytes, label: bytes) -> tuple[np.ndarray, np.ndarray]:
  """The image's bytes, as an object so that zeros at their end stay, and the label, int32 [h, w]."""
  return np.array(storage.read(image.decode()), object), read_label(label.decode()).astype(np.int32)


def augment(image, label, crop, scale, mirror, place, ignore_label):
  """Scale, mirror, pad at the bottom and right, crop -> (float32 [H, W, 3] minus the mean, int32 [H, W]).

  Only the pixels of the crop are computed: rows and columns of the crop are mapped to the source as TensorFlow 1's
  resize maps them (source = target * in / out; bilinear for the image, nearest below for the label).

  Args:
    scale: scalar; the image is resized to int(h * scale) x int(w * scale).
    mirror: scalar bool.
    place: two numbers in [0, 1), where between its extremes the crop lies; None for the centre.
    ignore_label: what pads the label. The image is padded with 0 after the mean's subtraction.
  """
  axes = []
  for axis in (0, 1):
    length = tf.shape(image)[axis]
    scaled = tf.maximum(1, tf.cast(tf.cast(length, tf.float32) * scale, tf.int32))
    free = tf.maximum(scaled - crop[axis], 0)
    start = free // 2 if place is None else tf.cast(place[axis] * tf.cast(free + 1, tf.float32), tf.int32)
    target = tf.range(start, tf.minimum(start + crop[axis], scaled))
    if axis == 1:
      target = tf.where(mirror, scaled - 1 - target, target)
    axes.append(source_lines(target, length, scaled))
  (top, bottom, y), (left, right, x) = axes
  image = blend(image, top, bottom, y[:, tf.newaxis, tf.newaxis], 0)
  image = blend(image, left, right, x[:, tf.newaxis], 1) - MEAN
  label = tf.gather(tf.gather(label, top), left, axis=1)
  pad = [[0, crop[0] - tf.size(top)], [0, crop[1] - tf.size(left)]]
  label = tf.pad(label, pad, constant_values=ignore_label)
  return tf.ensure_shape(tf.pad(image, [*pad, [0, 0]]), [*crop, 3]), tf.ensure_shape(label, crop)


def source_lines(target, length, scaled):
  """The source lines below and above each target line of a resize from `length` to `scaled`, and the upper's weight."""
  ratio = tf.cast(length, tf.float32) / tf.cast(scaled, tf.float32)
  source = tf.cast(target, tf.float32) * ratio
  low = tf.minimum(tf.cast(source, tf.int32), length - 1)
  return low, tf.minimum(low + 1, length - 1), source - tf.floor(source)


def blend(image, low, high, weight, axis):
  """Float32 lines of `image` along `axis` between its lines `low` and `high`."""
  below = tf.cast(tf.gather(image, low, axis=axis), tf.float32)
  above = tf.cast(tf.gather(image, high, axis=axis), tf.float32)
  return below + (above - below) * weight
