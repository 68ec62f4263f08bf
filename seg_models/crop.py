"""The crop of a scaled, mirrored and turned image. Only the pixels of the crop are computed.

Conventions: an image is [h, w, 3] of any dtype and gives float32, a label is int32 [h, w]. The image is scaled to
int(h * scale) x int(w * scale) as by TensorFlow 1: source = target * in / out, bilinear for the image, the nearest
below for the label. It is then mirrored, turned about its centre, padded at the bottom and right, and cropped.
"""

import math
from typing import NamedTuple

import tensorflow as tf


class Lines(NamedTuple):
  """Where rows or columns of the crop are in the source: between lines `low` and `high`, by the weight of `high`."""

  low: tf.Tensor
  high: tf.Tensor
  weight: tf.Tensor


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


def crop_example(image, label, crop: Crop, ignore_label: int, distort=lambda pixels: pixels):
  """-> float32 [H, W, 3], int32 [H, W]; outside the image 0 and `ignore_label`. `distort` changes the other pixels."""

  def straight():
    lines = straight_lines(tf.shape(image), crop)
    return straight_image(image, *lines, crop.size, distort), straight_label(label, *lines, crop.size, ignore_label)

  def turned():
    positions = turned_positions(tf.shape(image), crop)
    return turned_image(image, *positions, distort), turned_label(label, *positions, ignore_label)

  pixels, classes = either(crop, straight, turned)
  return tf.ensure_shape(pixels, [*crop.size, 3]), tf.ensure_shape(classes, crop.size)


def crop_label(label, crop: Crop, ignore_label: int):
  """The label alone of `crop_example`."""
  shape = tf.shape(label)
  return either(
    crop,
    lambda: straight_label(label, *straight_lines(shape, crop), crop.size, ignore_label),
    lambda: turned_label(label, *turned_positions(shape, crop), ignore_label),
  )


def either(crop: Crop, straight, turned):
  return straight() if crop.degrees is None else tf.cond(tf.equal(crop.degrees, 0), straight, turned)


def straight_lines(shape, crop: Crop) -> list[Lines]:
  """The rows and the columns of a crop that is not turned, without the padding."""
  lines = []
  for axis in (0, 1):
    scaled, target = crop_lines(shape[axis], crop, axis)
    target = target[: tf.minimum(crop.size[axis], scaled)]
    if axis == 1:
      target = tf.where(crop.mirror, scaled - 1 - target, target)
    lines.append(source_lines(tf.cast(target, tf.float32), shape[axis], scaled))
  return lines


def crop_lines(length, crop: Crop, axis: int):
  """-> (the side of the scaled image, the crop's lines in it [H or W]; those past the side are padding)."""
  scaled = tf.maximum(1, tf.cast(tf.cast(length, tf.float32) * crop.scale, tf.int32))
  free = tf.maximum(scaled - crop.size[axis], 0)
  start = free // 2 if crop.place is None else tf.cast(crop.place[axis] * tf.cast(free + 1, tf.float32), tf.int32)
  return scaled, tf.range(start, start + crop.size[axis])


def straight_image(image, rows: Lines, columns: Lines, size, distort):
  pixels = blend(image, rows.low, rows.high, rows.weight[:, tf.newaxis, tf.newaxis], 0)
  pixels = distort(blend(pixels, columns.low, columns.high, columns.weight[:, tf.newaxis], 1))
  return tf.pad(pixels, [*bottom_and_right(rows, columns, size), [0, 0]])


def straight_label(label, rows: Lines, columns: Lines, size, ignore_label):
  pixels = tf.gather(tf.gather(label, rows.low), columns.low, axis=1)
  return tf.pad(pixels, bottom_and_right(rows, columns, size), constant_values=ignore_label)


def bottom_and_right(rows: Lines, columns: Lines, size) -> list:
  """How much padding the crop's size asks for."""
  return [[0, size[0] - tf.size(rows.low)], [0, size[1] - tf.size(columns.low)]]


class Positions(NamedTuple):
  """Where the pixels of the crop are along one axis of the scaled image, float32 [H, W]; the axis' side there."""

  at: tf.Tensor
  scaled: tf.Tensor

  def lines(self, at, length) -> Lines:
    return source_lines(tf.clip_by_value(at, 0, tf.cast(self.scaled - 1, tf.float32)), length, self.scaled)

  def nearest(self):
    return tf.floor(self.at + 0.5)


def turned_positions(shape, crop: Crop) -> tuple[Positions, Positions, tf.Tensor]:
  """-> (along the rows, along the columns, whether the nearest pixel is inside the image [H, W]).

  A pixel of the crop is found in the scaled and mirrored image by turning it back about the centre.
  """
  (height, y), (width, x) = (crop_lines(shape[axis], crop, axis) for axis in (0, 1))
  inside = (y < height)[:, tf.newaxis] & (x < width)  # else it is padding
  middle_y, middle_x = (tf.cast(side - 1, tf.float32) / 2 for side in (height, width))
  y, x = tf.cast(y, tf.float32)[:, tf.newaxis] - middle_y, tf.cast(x, tf.float32) - middle_x
  angle = crop.degrees * (math.pi / 180)
  y, x = tf.cos(angle) * y + tf.sin(angle) * x + middle_y, tf.cos(angle) * x - tf.sin(angle) * y + middle_x
  rows, columns = Positions(y, height), Positions(tf.where(crop.mirror, 2 * middle_x - x, x), width)
  for axis in (rows, columns):
    inside &= (axis.nearest() >= 0) & (axis.nearest() < tf.cast(axis.scaled, tf.float32))
  return rows, columns, inside


def turned_image(image, rows: Positions, columns: Positions, inside, distort):
  """Bilinear in the source: the scaled image is not computed."""
  shape = tf.shape(image)
  y, x = rows.lines(rows.at, shape[0]), columns.lines(columns.at, shape[1])
  low, high = (blend_pixels(image, row, x.low, x.high, x.weight) for row in (y.low, y.high))
  pixels = distort(low + (high - low) * y.weight[..., tf.newaxis])
  return tf.where(inside[..., tf.newaxis], pixels, 0.0)


def turned_label(label, rows: Positions, columns: Positions, inside, ignore_label):
  """The nearest pixel of the scaled label."""
  shape = tf.shape(label)
  y, x = rows.lines(rows.nearest(), shape[0]), columns.lines(columns.nearest(), shape[1])
  return tf.where(inside, tf.gather_nd(label, tf.stack([y.low, x.low], -1)), ignore_label)


def source_lines(target, length, scaled) -> Lines:
  """The source lines of float32 `target` lines of a resize from `length` to `scaled`."""
  source = target * (tf.cast(length, tf.float32) / tf.cast(scaled, tf.float32))
  low = tf.minimum(tf.cast(source, tf.int32), length - 1)
  return Lines(low, tf.minimum(low + 1, length - 1), source - tf.floor(source))


def blend(image, low, high, weight, axis):
  """Float32 lines of `image` along `axis` between its lines `low` and `high`."""
  below = tf.cast(tf.gather(image, low, axis=axis), tf.float32)
  above = tf.cast(tf.gather(image, high, axis=axis), tf.float32)
  return below + (above - below) * weight


def blend_pixels(image, row, left, right, weight):
  """Float32 pixels [H, W, 3] of `image` in the rows [H, W], between the columns `left` and `right`."""
  below, above = (tf.cast(tf.gather_nd(image, tf.stack([row, x], -1)), tf.float32) for x in (left, right))
  return below + (above - below) * weight[..., tf.newaxis]
