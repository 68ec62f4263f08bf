"""Which pixels are paired, and what a pixel's neighbours hold: pure tensor operations.

Conventions: maps are [N, H, W] or [N, H, W, C]; a pair is a centre i and its neighbour j = i + offset.
"""

import tensorflow as tf


def offsets(size: int) -> list[tuple[int, int]]:
  """The eight (dy, dx) in {-size, 0, size}^2 without the centre; the k-th and the (7 - k)-th are opposite."""
  steps = (-size, 0, size)
  return [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]


def neighbour(x, offset: tuple[int, int]):
  """The map whose pixel i holds x at i + offset, zero (False) where that is outside the image."""
  pads = [[max(0, -d), max(0, d)] for d in offset]
  padded = tf.pad(x, [[0, 0], *pads, *[[0, 0]] * (len(x.shape) - 3)])
  height, width = tf.unstack(tf.shape(x)[1:3])
  top, left = (max(0, d) for d in offset)
  return padded[:, top : top + height, left : left + width]


def pair_masks(valid, size: int) -> list:
  """For each offset the bool map [N, H, W] of centres i whose pair counts: i, j and the pixel opposite to j about i are
  all inside the image and valid."""
  around = [neighbour(valid, offset) for offset in offsets(size)]
  return [valid & one & other for one, other in zip(around, reversed(around), strict=True)]


def valid_labels(labels, num_classes: int):
  """True where a label is a class: [N, H, W] integers -> bool."""
  return (labels >= 0) & (labels < num_classes)


def at_class(x, labels):
  """x [N, H, W, C] at one class a pixel, [N, H, W]; 0 where the label is no class."""
  classes = tf.range(tf.shape(x)[-1], dtype=labels.dtype)
  return tf.reduce_sum(tf.where(labels[..., tf.newaxis] == classes, x, 0), -1)
