"""Sliding-window prediction at one or several scales, with flips.

Conventions: images are uint8 RGB [h, w, 3]; scores are float32 [h, w, C]. Per scale, overlapping windows are averaged;
the scores of all scales and flips are added up, in the image's own size. Large images come and go in bands of rows.

A batch may hold windows of several scales, flips and images, so that batches are full whatever the images' sizes;
memory does not grow with the number of images. While the network computes a batch, the results of the batch before are
added up.
"""

import collections
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from network.common.layers import EPSILON, MEAN, Conv, resize_bilinear
from utils import parallel
from utils.errors import RunError
from utils.predict.outputs import decided

OPENCV_CHANNELS = 128  # the most that an image of OpenCV may have


def window_starts(length: int, window: int, stride: int) -> list[int]:
  """Where windows start on an axis of `length` >= `window`: their ends are spread evenly, at most `stride` apart."""
  number = math.ceil((length - window) / stride) + 1
  return [int(end) - window for end in np.linspace(window, length, number)]


def probability_function(model, window: tuple[int, int]) -> Callable:
  """Returns windows [B, H, W, 3] (mean subtracted) -> softmax of the logits resized to the window, [B, H, W, C]."""

  @tf.function(input_signature=[tf.TensorSpec([None, *window, 3], tf.float32)], autograph=False)
  def probabilities(windows):
    return tf.nn.softmax(resize_bilinear(model(windows, training=False), window))

  return probabilities


def whole_image_function(model) -> Callable:
  """`probability_function` for windows of any size that the model takes.

  Every size is a graph of its own, because the models read sizes while they are traced. The graphs of the 32 sizes last
  used are kept, so memory does not grow with the number of sizes.
  """
  of_size = functools.lru_cache(maxsize=32)(functools.partial(probability_function, model))
  return lambda windows: of_size(windows.shape[1:3])(windows)


def freeze(model) -> None:
  """Turns a model's variables into constants of its dtype, batch norm folded into the convolutions, which spares the
  network these casts and normalisations at every call: y = (x * w - mean) gamma / sqrt(variance + eps) + beta =
  x * (w s) + (beta - mean s). The model can then predict, no more."""
  for conv in [module for module in model.submodules if isinstance(module, Conv)]:
    weights, biases, norm = conv.weights, conv.biases, conv.batch_norm
    if norm is not None:
      scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + EPSILON)
      by_channel = tf.reshape(weights, [*weights.shape[:2], -1, *scale.shape])  # depthwise too, [k, k, C, 1]
      weights = tf.reshape(by_channel * scale, weights.shape)
      biases = norm.beta - norm.moving_mean * scale
    conv.weights, conv.biases = (tf.cast(tf.identity(x), model.compute_dtype) for x in (weights, biases))
    conv.batch_norm = None


def windows_at_once() -> int:
  """How many windows a run of the network takes, if nobody says."""
  return 16 if tf.config.list_physical_devices('GPU') else 4


class View:
  """An image at one scale, mirrored or not. Adds up the probabilities of its windows and gives their mean."""

  def __init__(self, image: np.ndarray, scale: float, mirrored: bool, window, strides):
    self.image_size, self.mirrored = image.shape[:2], mirrored
    self.size = [max(1, int(side * scale)) for side in self.image_size]
    self.window = window(*self.size) if callable(window) else window
    padded = [max(side, least) for side, least in zip(self.size, self.window, strict=True)]
    self.pixels = resize_padded(image, self.size, padded, mirrored)
    self.starts = [window_starts(*axis) for axis in zip(padded, self.window, strides, strict=True)]
    self.places = list(itertools.product(*self.starts))
    self.windows_left = len(self.places)
    self.sums = None

  def slices(self, place: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the window at `place`, its top left pixel."""
    return tuple(slice(start, start + side) for start, side in zip(place, self.window, strict=True))

  def add(self, place, probabilities: np.ndarray) -> bool:
    """Adds the probabilities [H, W, C] of a window; True if it was the last one."""
    if self.sums is None:
      self.sums = np.zeros((*self.pixels.shape[:2], probabilities.shape[-1]), np.float32)
    self.sums[self.slices(place)] += probabilities
    self.windows_left -= 1
    return not self.windows_left

  def score(self) -> np.ndarray:
    """The mean over the windows, padding cut off, resized to the image and mirrored back: [h, w, C]."""
    mean = self.sums[: self.size[0], : self.size[1]]
    for axis, starts in enumerate(self.starts):
      windows = coverage(starts, self.window[axis], self.size[axis])
      mean /= np.expand_dims(windows, [1, 2] if axis == 0 else [0, 2])
    self.sums = self.pixels = None
    mean = resize_scores(mean, self.image_size)
    return mean[:, ::-1] if self.mirrored else mean


def coverage(starts, window: int, length) -> tf.Tensor:
  """How many windows lie over each of the first `length` pixels of an axis, float32 [length]."""
  starts, pixels = tf.convert_to_tensor(starts), tf.range(length)
  begun, ended = (tf.searchsorted(starts, at, side='right') for at in (pixels, pixels - window))
  return tf.cast(begun - ended, tf.float32)


def resize_scores(score: np.ndarray, size) -> np.ndarray:
  """[h, w, C] resized to `size` as OpenCV does it: bilinear with half-pixel centres."""
  if score.shape[:2] == tuple(size):
    return score
  parts = [score[..., i : i + OPENCV_CHANNELS] for i in range(0, score.shape[-1], OPENCV_CHANNELS)]
  resized = [cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR) for part in parts]
  resized = [part.reshape(*size, -1) for part in resized]  # OpenCV drops the axis of a single channel
  return resized[0] if len(resized) == 1 else np.concatenate(resized, -1)


def resize_padded(image: np.ndarray, size, padded, mirrored: bool) -> np.ndarray:
  """The image minus the mean, float32: resized to `size` (TensorFlow 1's bilinear), then mirrored (that resize is not
  symmetric, so the order matters), then padded with zeros at the bottom and right."""
  resized = resize_bilinear(image[np.newaxis], size)[0].numpy()
  resized = resized[:, ::-1] if mirrored else resized
  out = np.zeros((*padded, 3), np.float32)
  np.subtract(resized, np.float32(MEAN), out=out[: size[0], : size[1]])
  return out


def scores(
  images: Iterable[tuple[object, np.ndarray]],
  probabilities: Callable,
  window: tuple[int, int] | Callable[[int, int], tuple[int, int]],
  strides: tuple[int, int],
  scales=(1.0,),
  flip: bool = False,
  batch_size: int = 1,
) -> Iterator[tuple[object, np.ndarray]]:
  """Yields (key, score [h, w, C]) for every (key, image), in order. What else is predicted does not change a score.

  Args:
    probabilities: from `probability_function`.
    window, strides: (height, width) in pixels. A function of a view's height and width makes windows of any size, for
      `probabilities` from `whole_image_function` and a `batch_size` of 1.
    batch_size: windows a run of the network.
  """
  views = list(itertools.product(scales, (False, True) if flip else (False,)))
  keys = collections.deque()  # of the images whose windows are being computed

  def views_of_images():
    for key, image in images:
      keys.append(key)
      yield from (View(image, scale, mirrored, window, strides) for scale, mirrored in views)

  computed = view_scores(views_of_images(), probabilities, batch_size)
  for score in computed:
    for _ in views[1:]:
      np.add(score, next(computed), out=score)
    yield keys.popleft(), score
    del score  # its memory is free before the next image's


def view_scores(views: Iterable[View], probabilities: Callable, batch_size: int) -> Iterator[np.ndarray]:
  """Yields the score [h, w, C] of every view, in order."""

  windows = (((view, place), view.pixels[view.slices(place)]) for view in views for place in view.places)
  for (view, place), window_probabilities in probabilities_of(windows, probabilities, batch_size):
    if view.add(place, window_probabilities):
      yield view.score()


def probabilities_of(
  windows: Iterable[tuple[object, np.ndarray]], probabilities: Callable, batch_size: int
) -> Iterator[tuple[object, np.ndarray]]:
  """Yields (key, probabilities [H, W, C]) for every (key, pixels [H, W, 3]), in order. The network computes a batch
  while the caller uses the batch before."""
  windows = iter(windows)

  def batches():
    while batch := list(itertools.islice(windows, batch_size)):
      pixels = np.zeros((batch_size, *batch[0][1].shape), np.float32)  # always full: sums may differ by size
      for i, (_, window) in enumerate(batch):
        pixels[i] = window
      yield [key for key, _ in batch], pixels

  for future in parallel.in_background(lambda batch: (batch[0], compute(probabilities, batch[1])), batches()):
    yield from zip(*future.result(), strict=False)


def compute(probabilities: Callable, windows: np.ndarray) -> np.ndarray:
  """Runs the network; the result shares the tensor's memory where it can."""
  try:
    return np.asarray(probabilities(windows))
  except tf.errors.ResourceExhaustedError:
    raise RunError(
      f'out of memory with {len(windows)} windows of {windows.shape[1]} x {windows.shape[2]} pixels at a time; '
      'give a smaller --batch-size or --input-size, and no --whole-image'
    ) from None


def class_bands(
  bands: Iterable[np.ndarray],
  size: tuple[int, int],
  probabilities: Callable,
  window: tuple[int, int],
  strides: tuple[int, int],
  batch_size: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields the class ids uint8 [n, w] and their confidence float32 [n, w] (see `decided`) of an image from top to
  bottom, given its pixels, uint8 RGB [n, w, 3], in bands of rows.

  Windows move from left to right and down. The softmax of overlapping windows is added up for one window, and kept over
  the whole width for those rows alone that windows further down reach too; so memory grows with the width, not with the
  height. At one scale, not mirrored, this gives what `scores` gives, to the last bit.
  """
  padded = [max(side, least) for side, least in zip(size, window, strict=True)]
  starts = [window_starts(*axis) for axis in zip(padded, window, strides, strict=True)]
  rows, columns = (list(itertools.pairwise([*axis, side])) for axis, side in zip(starts, padded, strict=True))
  in_height, in_width = (coverage(*axis).numpy() for axis in zip(starts, window, padded, strict=True))
  scores = probabilities_of(cut_windows(bands, size, starts, window), probabilities, batch_size)
  overlap = max(y + window[0] - next_y for y, next_y in rows)
  sums = None
  with tqdm(desc='predicting', unit='window', total=len(rows) * len(columns)) as bar:
    for y, next_y in rows:
      band = np.empty((next_y - y, padded[1]), np.uint8), np.empty((next_y - y, padded[1]), np.float32)
      for (x, next_x), (_, score) in zip(columns, scores, strict=False):
        sums = sums or MovingSums(score.shape, overlap, padded[1])
        sums.add(x, score)
        mean = sums.move(x, next_x - x, next_y - y) / in_height[y:next_y, np.newaxis, np.newaxis]
        mean /= in_width[x:next_x, np.newaxis]
        for whole, part in zip(band, decided(mean), strict=True):
          whole[:, x:next_x] = part
        bar.update()
      sums.move_down(next_y - y)
      yield tuple(part[: size[0] - y, : size[1]] for part in band)


class MovingSums:
  """The sums of the softmax of windows [H, W, C] that move from left to right and down and overlap.

  Args:
    overlap: the most rows that a window shares with those below.
    width: of the image.
  """

  def __init__(self, window: tuple[int, int, int], overlap: int, width: int):
    self.window = window
    self.from_above = np.zeros((overlap, width, window[2]), np.float32)
    self.rows_from_above = 0  # of the window's rows, the first ones: windows above have added to them
    self.sums = None  # of the window

  def add(self, x: int, score: np.ndarray) -> None:
    """Adds the score [H, W, C] of the window whose left column is `x`."""
    if x == 0:
      self.sums = self.columns(0, self.window[1])
    self.sums += score

  def columns(self, left: int, right: int) -> np.ndarray:
    """[H, n, C]: what windows above have added to these columns of the image."""
    width = self.from_above.shape[1]
    block = np.zeros((self.window[0], min(right, width) - left, self.window[2]), np.float32)
    block[: self.rows_from_above] = self.from_above[: self.rows_from_above, left:right]
    return block

  def move(self, x: int, right: int, down: int) -> np.ndarray:
    """Moves to the next window, `right` pixels to the right of `x`; the next row of windows is `down` pixels below.
    Returns the sums [down, right, C] at the window's top left, which no other window reaches."""
    finished = self.sums[:down, :right]
    self.from_above[: self.window[0] - down, x : x + right] = self.sums[down:, :right]
    next_columns = self.columns(x + self.window[1], x + self.window[1] + right)
    self.sums = np.concatenate([self.sums[:, right:], next_columns], 1)
    return finished

  def move_down(self, down: int) -> None:
    self.rows_from_above = self.window[0] - down


def cut_windows(bands, size, starts, window) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
  """Yields ((y, x), pixels) of every window, row of windows by row of windows: float32 [H, W, 3] minus the mean, zeros
  beyond the image."""
  rows, top = next(bands), 0
  for y in starts[0]:
    rows, top = rows[y - top :], y
    while len(rows) < min(window[0], size[0] - y):
      rows = np.concatenate([rows, next(bands)])
    for x in starts[1]:
      pixels = np.zeros((*window, 3), np.float32)
      cut = rows[: window[0], x : x + window[1]]
      np.subtract(cut, np.float32(MEAN), out=pixels[: cut.shape[0], : cut.shape[1]])
      yield (y, x), pixels
