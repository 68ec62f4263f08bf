"""Which pixels are paired, and a layout of maps in which a pixel's neighbour is one shift away.

A pair is a centre pixel i and its neighbour j = i + offset, offset in {-size, 0, size}^2 without the centre. It counts
only if i, j and the pixel opposite to j about i are all inside the image and labelled with a class.
"""

import operator

import tensorflow as tf

IGNORED = -1


def class_count(num_classes) -> int:
  """How many classes `num_classes` means: itself, and 2 for the 1 of a single sigmoid channel.

  Raises:
    ValueError: not a whole number of at least 1.
  """
  try:
    number = operator.index(num_classes)
  except TypeError:
    number = 0
  if number < 1:
    raise ValueError(f'num_classes is {num_classes!r}; give how many classes there are, a whole number from 1 on')
  return max(2, number)


def label_maps(labels):
  """Labels [N, H, W] or [N, H, W, 1] -> [N, H, W].

  Raises:
    ValueError: one-hot labels.
  """
  labels = tf.convert_to_tensor(labels)
  if labels.shape.rank != 4:
    return labels
  if labels.shape[-1] not in (1, None):
    raise ValueError(f'labels {tuple(labels.shape)} look one-hot; give class ids [N, H, W]: tf.argmax(labels, -1)')
  return tf.squeeze(labels, -1)


def valid_labels(labels, num_classes: int):
  """True where a label is a class: integers of any dtype -> bool."""
  labels = tf.cast(labels, tf.int64)
  return (labels >= 0) & (labels < num_classes)


def classes_only(labels, num_classes: int):
  """Integer labels of any dtype -> int32, IGNORED where a label is outside [0, C)."""
  return tf.where(valid_labels(labels, num_classes), tf.cast(labels, tf.int32), IGNORED)


class Layout:
  """Lays maps [..., N, H, W] out as [..., M + L + M], all rows of pixels one after another.

  L = N (H + reach) (W + reach): a fill of `reach` follows every row and every image. The margins M take two steps of
  `reach` past either end. So pixel i + (dy, dx) is dy (W + reach) + dx further on, for every pixel i, or in a fill: one
  contiguous slice holds a given neighbour of all pixels, which compilers turn into vector code.
  """

  def __init__(self, shape, reach: int):
    """shape: the maps' [N, H, W]; reach: the largest distance of a pair."""
    self.batch, self.height, self.width = tf.unstack(shape)
    self.reach = reach
    self.pitch = self.width + reach
    self.length = self.batch * (self.height + reach) * self.pitch
    self.margin = 2 * reach * (self.pitch + 1)

  def lay(self, x, fill):
    """[..., N, H, W] -> [..., M + L + M]."""
    outer = [[0, 0]] * (len(x.shape) - 3)
    x = tf.pad(x, [*outer, [0, 0], [0, self.reach], [0, self.reach]], constant_values=fill)
    x = tf.reshape(x, [*x.shape[:-3], self.length])
    return tf.pad(x, [*outer, [self.margin, self.margin]], constant_values=fill)

  def unlay(self, x):
    """[..., L] -> [..., N, H, W]."""
    x = tf.reshape(x, [*x.shape[:-1], self.batch, self.height + self.reach, self.pitch])
    return x[..., : self.height, : self.width]

  def shifts(self, size):
    """From a pixel to its eight neighbours at the distance `size`."""
    return [size * (dy * self.pitch + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]

  def at(self, x, shift):
    """What lies `shift` further on from each pixel: [..., M + L + M] -> [..., L]."""
    first = [0] * (len(x.shape) - 1)
    return tf.slice(x, [*first, self.margin + shift], [*x.shape[:-1], self.length])

  def each_at(self, xs, shift):
    """`at` of every tensor of a structure."""
    return tf.nest.map_structure(lambda x: self.at(x, shift), xs)


def is_pair(centre, neighbour, opposite):
  """True where a pair counts, by the labels of its two pixels and of the one opposite to the neighbour."""
  return (centre != IGNORED) & (neighbour != IGNORED) & (opposite != IGNORED)
