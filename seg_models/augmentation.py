"""Augmentation of a training example: what may be changed, the random numbers that decide, and in which order.

All is a function of the image, its label and a key, so threads do not matter and a resumed run goes on with it.
Only the pixels of the crop are computed.

Conventions: an image is [h, w, 3] of any dtype and gives float32, a label is int32 [h, w]. The image is scaled to
int(h * scale) x int(w * scale) as by TensorFlow 1: source = target * in / out, bilinear for the image, the nearest
below for the label. It is then mirrored, turned about its centre, padded at the bottom and right, and cropped.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from network.common.layers import MEAN

TRIES = 10  # crops among which --crop-max-share chooses, as in mmsegmentation
# The numbers of each augmentation are a stream of their own: one that is switched on changes no other.
TURN, PLACES, COLORS = 1, 2, 3

BRIGHTNESS = 32.0  # added to or taken from the values 0 to 255, at most
CONTRAST = SATURATION = (0.5, 1.5)  # factors of the pixels, and of the saturation
HUE = 18.0  # degrees, of 360, either way; OpenCV's hue of 8 bits, to which others add 18, counts in steps of 2
NUMBERS = 9  # that one image's distortion takes


class Crop(NamedTuple):
  """Which crop is taken.

  size: (H, W) of the crop in pixels.
  scale: scalar, of both sides of the image.
  mirror: scalar bool.
  place: two numbers in [0, 1), where between its extremes the crop lies; None for the centre.
  degrees: scalar, by which the image is turned counter-clockwise; None where no image is.
  """

  size: tuple[int, int]
  scale: tf.Tensor | float = 1.0
  mirror: tf.Tensor | bool = False
  place: tf.Tensor | tuple | None = None
  degrees: tf.Tensor | float | None = None


class Augmentation(NamedTuple):
  """The flags of augmentation, by their names. Without random_crop the crop is central.

  scale_range: the lowest and the highest factor of --random-scale.
  random_rotate: half of the images are turned, uniformly up to this many degrees either way; 0: none.
  crop_max_share: the largest share that one class may have of a crop's labelled pixels; 1: any.
  """

  random_scale: bool = False
  scale_range: tuple[float, float] = (0.5, 2.0)
  random_mirror: bool = False
  random_crop: bool = False
  random_rotate: float = 0.0
  color_jitter: bool = False
  crop_max_share: float = 1.0

  @classmethod
  def from_flags(cls, args):
    return cls(*(getattr(args, name) for name in cls._fields))


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
  if augmentation.random_scale:
    low, high = augmentation.scale_range
    crop = crop._replace(scale=low + (high - low) * u[0])
  if augmentation.random_mirror:
    crop = crop._replace(mirror=u[1] < 0.5)
  if augmentation.random_rotate:
    chosen, turn = tf.unstack(stream(key, TURN, [2]))
    crop = crop._replace(degrees=tf.where(chosen < 0.5, augmentation.random_rotate * (2 * turn - 1), 0.0))
  if augmentation.random_crop:
    crop = crop._replace(place=u[2:])
    if augmentation.crop_max_share < 1:
      places = tf.concat([[u[2:]], stream(key, PLACES, [TRIES - 1, 2])], 0)
      crop = balanced_crop(label, crop, places, ignore_label, augmentation.crop_max_share)

  def distort(pixels):
    if augmentation.color_jitter:
      pixels = color_jitter(pixels, stream(key, COLORS, [NUMBERS]))
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


def crop_example(image, label, crop: Crop, ignore_label: int, distort=lambda pixels: pixels):
  """-> float32 [H, W, 3], int32 [H, W]; outside the image 0 and `ignore_label`. `distort` changes the other pixels."""
  rows, columns = positions(tf.shape(label), crop)
  pixels = distort(bilinear(image, rows, columns))
  if crop.degrees is not None:
    pixels = tf.where((rows.inside() & columns.inside())[..., tf.newaxis], pixels, 0.0)
  return padded(pixels, crop.size, 0), crop_label(label, crop, ignore_label)


def crop_label(label, crop: Crop, ignore_label: int):
  """The label alone of `crop_example`: the nearest pixel of the scaled label, which is not computed."""
  rows, columns = positions(tf.shape(label), crop)
  (row, *_), (column, *_) = (axis.source(axis.nearest()) for axis in (rows, columns))
  classes = pixels_at(label, row, column)
  if crop.degrees is not None:
    classes = tf.where(rows.inside() & columns.inside(), classes, ignore_label)
  return padded(classes, crop.size, ignore_label)


class Axis(NamedTuple):
  """One axis of the image, and where the crop's pixels are along it, without the padding.

  at: float32, in lines of the scaled image: [h, w]; where the image is not turned [h, 1] for rows, [1, w] for columns.
  length, scaled: the axis' side in the source and in the scaled image.
  """

  at: tf.Tensor
  length: tf.Tensor
  scaled: tf.Tensor

  def nearest(self):
    return tf.floor(self.at + 0.5)

  def inside(self):
    return (self.nearest() >= 0) & (self.nearest() < tf.cast(self.scaled, tf.float32))

  def source(self, at):
    """The source's lines below and above `at` int32, and the weight of the one above."""
    at = tf.clip_by_value(at, 0, tf.cast(self.scaled - 1, tf.float32))
    source = at * (tf.cast(self.length, tf.float32) / tf.cast(self.scaled, tf.float32))
    low = tf.minimum(tf.cast(source, tf.int32), self.length - 1)
    return low, tf.minimum(low + 1, self.length - 1), source - tf.floor(source)


def positions(shape, crop: Crop) -> tuple[Axis, Axis]:
  """Along the rows and along the columns. A pixel of the crop is found in the scaled and mirrored image by turning it
  back about the centre."""
  (height, y), (width, x) = (crop_lines(shape[axis], crop, axis) for axis in (0, 1))
  y, x = y[:, tf.newaxis], x[tf.newaxis]
  middle_y, middle_x = (tf.cast(side - 1, tf.float32) / 2 for side in (height, width))
  if crop.degrees is not None:
    angle = crop.degrees * (math.pi / 180)
    y, x = y - middle_y, x - middle_x
    y, x = tf.cos(angle) * y + tf.sin(angle) * x + middle_y, tf.cos(angle) * x - tf.sin(angle) * y + middle_x
  return Axis(y, shape[0], height), Axis(tf.where(crop.mirror, 2 * middle_x - x, x), shape[1], width)


def crop_lines(length, crop: Crop, axis: int):
  """-> (the side of the scaled image; the crop's lines in it, float32 [h or w], as many as there are)."""
  scaled = tf.maximum(1, tf.cast(tf.cast(length, tf.float32) * crop.scale, tf.int32))
  free = tf.maximum(scaled - crop.size[axis], 0)
  start = free // 2 if crop.place is None else tf.cast(crop.place[axis] * tf.cast(free + 1, tf.float32), tf.int32)
  return scaled, tf.cast(tf.range(start, tf.minimum(start + crop.size[axis], scaled)), tf.float32)


def bilinear(image, rows: Axis, columns: Axis):
  """Float32 [h, w, 3] between the source's pixels: the scaled image is not computed."""
  (top, bottom, y), (left, right, x) = (axis.source(axis.at) for axis in (rows, columns))
  if rows.at.shape[1] == 1:  # not turned: whole rows are read, which is faster
    in_rows = blend(tf.gather(image, top[:, 0]), tf.gather(image, bottom[:, 0]), y)
    sides = (tf.gather(in_rows, side[0], axis=1) for side in (left, right))
  else:
    sides = (blend(pixels_at(image, top, side), pixels_at(image, bottom, side), y) for side in (left, right))
  return blend(*sides, x)


def pixels_at(x, row, column):
  """The pixels of `x` [h, w, ...] in int32 rows and columns that broadcast."""
  return tf.gather(tf.reshape(x, [-1, *x.shape[2:]]), row * tf.shape(x)[1] + column)


def blend(low, high, weight):
  low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
  return low + (high - low) * weight[..., tf.newaxis]


def padded(x, size, fill):
  """With `fill` at the bottom and right, up to the crop's size."""
  ends = [[0, side - there] for side, there in zip(size, tf.unstack(tf.shape(x)[:2]), strict=True)]
  return tf.ensure_shape(tf.pad(x, ends + [[0, 0]] * (len(x.shape) - 2), constant_values=fill), [*size, *x.shape[2:]])


def color_jitter(pixels, u):
  """SSD's photometric distortion (Liu et al. 2016, arXiv 1512.02325), as in mmsegmentation's PhotoMetricDistortion.

  Float32 RGB pixels [..., 3] from 0 to 255 are distorted by `u` [NUMBERS], uniform in [0, 1).

  Brightness, contrast, saturation and hue are changed in this order, each where its number of u[:4] is below 1/2, by
  how much its number of u[5:] says; contrast comes last instead where u[4] is at least 1/2. Values are clipped to 0 to
  255 after brightness and after contrast.
  """
  brightness, contrast, saturation, hue = tf.unstack(u[:4] < 0.5)
  contrast_first = u[4] < 0.5
  pixels = clip(pixels + tf.where(brightness, BRIGHTNESS * (2 * u[5] - 1), 0.0))
  factor = tf.where(contrast, between(CONTRAST, u[6]), 1.0)
  pixels = clip(pixels * tf.where(contrast_first, factor, 1.0))
  saturation_factor = tf.where(saturation, between(SATURATION, u[7]), 1.0)
  turn = tf.where(hue, HUE * (2 * u[8] - 1) / 360, 0.0)
  pixels = tf.cond(saturation | hue, lambda: in_hsv(pixels, saturation_factor, turn), lambda: pixels)
  return clip(pixels * tf.where(contrast_first, 1.0, factor))


def between(limits, u):
  low, high = limits
  return low + (high - low) * u


def clip(pixels):
  return tf.clip_by_value(pixels, 0, 255)


def in_hsv(pixels, saturation_factor, turn):
  """The saturation times `saturation_factor`, at most 1; the hue turned by `turn` of a whole circle."""
  hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(pixels / 255), axis=-1)
  saturation = tf.minimum(saturation * saturation_factor, 1)
  return 255 * tf.image.hsv_to_rgb(tf.stack([tf.math.floormod(hue + turn, 1), saturation, value], -1))
