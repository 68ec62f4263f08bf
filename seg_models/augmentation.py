"""Augmentation of a training example: what may be changed, the random numbers that decide, and in which order.

All is a function of the image, its label and a key, so threads do not matter and a resumed run goes on with it.
"""

from typing import NamedTuple

import tensorflow as tf

from network.common.layers import MEAN
from seg_models import color_jitter
from seg_models.crop import Crop, crop_example, crop_label

TRIES = 10  # crops among which --crop-max-share chooses, as in mmsegmentation
# The numbers of each augmentation are a stream of their own: one that is switched on changes no other.
TURN, PLACES, COLORS = 1, 2, 3


class Augmentation(NamedTuple):
  """The flags of augmentation.

  scale_range: the lowest and the highest factor of --random-scale; None without it.
  mirror, random_crop, color_jitter: as the flags; without random_crop the crop is central.
  max_degrees: of --random-rotate; 0: none. Half of the images are turned, uniformly up to this either way.
  max_share: of --crop-max-share, the largest share that one class may have of a crop's labelled pixels; 1: any.
  """

  scale_range: tuple[float, float] | None = None
  mirror: bool = False
  random_crop: bool = False
  max_degrees: float = 0.0
  color_jitter: bool = False
  max_share: float = 1.0


NO_AUGMENTATION = Augmentation()


def augment(image, label, size, ignore_label: int, augmentation: Augmentation, key):
  """Scale, mirror, turn, pad, crop and change colours -> (float32 [H, W, 3] minus MEAN, int32 [H, W]).

  Args:
    image, label: uint8 [h, w, 3] and int32 [h, w].
    size: (H, W) of the crop.
    ignore_label: of pixels outside the image, which are 0 after the mean's subtraction.
    key: int64 [2], decides the random numbers.
  """
  u = tf.random.stateless_uniform([4], key)
  crop = Crop(size)
  if augmentation.scale_range:
    low, high = augmentation.scale_range
    crop = crop._replace(scale=low + (high - low) * u[0])
  if augmentation.mirror:
    crop = crop._replace(mirror=u[1] < 0.5)
  if augmentation.max_degrees:
    chosen, turn = tf.unstack(stream(key, TURN, [2]))
    crop = crop._replace(degrees=tf.where(chosen < 0.5, augmentation.max_degrees * (2 * turn - 1), 0.0))
  if augmentation.random_crop:
    crop = crop._replace(place=u[2:])
    if augmentation.max_share < 1:
      places = tf.concat([[u[2:]], stream(key, PLACES, [TRIES - 1, 2])], 0)
      crop = balanced_crop(label, crop, places, ignore_label, augmentation.max_share)

  def distort(pixels):
    if augmentation.color_jitter:
      pixels = color_jitter.color_jitter(pixels, stream(key, COLORS, [color_jitter.NUMBERS]))
    return pixels - MEAN

  return crop_example(image, label, crop, ignore_label, distort)


def stream(key, number: int, shape):
  """Uniform numbers in [0, 1) of the stream `number` of a key."""
  return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(key, number))


def balanced_crop(label, crop: Crop, places, ignore_label: int, max_share: float) -> Crop:
  """The crop at the first of `places` [n, 2] where no class has more than max_share of the labelled pixels; if there is
  none, at the last (mmsegmentation's cat_max_ratio)."""

  def refused(i):
    return largest_share(crop_label(label, crop._replace(place=places[i]), ignore_label), ignore_label) > max_share

  [i] = tf.while_loop(refused, lambda i: [i + 1], [0], maximum_iterations=TRIES - 1)
  return crop._replace(place=places[i])


def largest_share(label, ignore_label: int):
  """Of the pixels that are labelled, the share of the commonest class; 1 where none is labelled."""
  labelled = tf.boolean_mask(label, (label != ignore_label) & (label != 255))
  counts = tf.math.bincount(labelled, minlength=1)
  return tf.where(tf.size(labelled) > 0, tf.reduce_max(counts) / tf.maximum(tf.size(labelled), 1), 1)
