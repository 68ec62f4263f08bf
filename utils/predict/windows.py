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
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from network.common.layers import EPSILON, MEAN, Conv, resize_bilinear
from utils import parallel
from utils.errors import RunError

OPENCV_CHANNELS = 128  # the most that an image of OpenCV may have


def window_starts(length, window: int, stride: int):
  """Where windows start on an axis of `length` >= `window`, [number] int: a tensor if `length` is one, else an array.

  Their ends are spread evenly, at most `stride` apart: np.linspace(window, length, number), cut to whole numbers.
  """
  arange, larger = (tf.range, tf.maximum) if tf.is_tensor(length) else (np.arange, max)
  steps = (length - window + stride - 1) // stride
  return arange(steps + 1) * (length - window) // larger(steps, 1)


def coverage(starts, window: int, length):
  """How many windows lie over each of the first `length` pixels of an axis, [length] int; a tensor if `length` is."""
  library, arange = (tf, tf.range) if tf.is_tensor(length) else (np, np.arange)
  begun, ended = (library.searchsorted(starts, arange(length) - by, side='right') for by in (0, window))
  return begun - ended


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
  """How many windows the network takes at a time, if nobody says."""
  return 16 if tf.config.list_physical_devices('GPU') else 4


class View:
  """The windows of an image, at one scale and mirrored or not, and the mean of their probabilities.

  Windows go from left to right, then down. With `by_rows`, the mean comes in bands of rows, and the sums of one row of
  windows are kept, so memory grows with the image's width, not with its height.

  Args:
    size: (height, width). bands: its pixels from top to bottom, RGB [n, w, 3].
    window, strides: (height, width).
  """

  def __init__(self, size, bands: Iterable[np.ndarray], window, strides, by_rows: bool = False):
    self.size, self.bands, self.window = size, iter(bands), window
    padded = [max(side, least) for side, least in zip(size, window, strict=True)]
    rows, columns = (window_starts(*axis).tolist() for axis in zip(padded, window, strides, strict=True))
    axes = zip((rows, columns), window, size, strict=True)
    self.in_height, self.in_width = (coverage(*axis).astype(np.float32) for axis in axes)
    self.places, self.last_column = list(itertools.product(rows, columns)), columns[-1]
    # Where the rows end whose mean is known after a row of windows.
    self.known = dict(itertools.pairwise([*rows, padded[0]])) if by_rows else {rows[-1]: padded[0]}
    self.shape = window[0] if by_rows else padded[0], padded[1]
    self.sums, self.top, self.given = None, 0, 0  # from the row `top` on; rows above `given` have left

  def cut(self) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yields ((y, x), pixels) of every window; at the image's end pixels may be fewer than the window's."""
    rows, top = next(self.bands), 0
    for y, x in self.places:
      rows, top = rows[y - top :], y
      while len(rows) < min(self.window[0], self.size[0] - y):
        rows = np.concatenate([rows, next(self.bands)])
      yield (y, x), rows[: self.window[0], x : x + self.window[1]]

  def add(self, place: tuple[int, int], probabilities: np.ndarray) -> np.ndarray | None:
    """Adds a window's probabilities [H, W, C]. Returns the mean [n, w, C] in the rows below those returned before,
    when they are known; the next window uses its memory again."""
    y, x = place
    if self.sums is None:
      self.sums = np.zeros((*self.shape, probabilities.shape[-1]), np.float32)
    if self.given > self.top:
      kept = self.sums[self.given - self.top :]
      self.sums[: len(kept)] = kept
      self.sums[len(kept) :] = 0
      self.top = self.given
    self.sums[y - self.top : y - self.top + self.window[0], x : x + self.window[1]] += probabilities
    if x < self.last_column or y not in self.known:
      return None
    self.given = self.known[y]
    mean = self.sums[: min(self.given, self.size[0]) - self.top, : self.size[1]]
    mean /= self.in_height[self.top : self.top + len(mean), np.newaxis, np.newaxis]
    mean /= self.in_width[:, np.newaxis]
    return mean


def resize_scores(score: np.ndarray, size) -> np.ndarray:
  """[h, w, C] resized to `size` as OpenCV does it: bilinear with half-pixel centres."""
  if score.shape[:2] == tuple(size):
    return score
  parts = [score[..., i : i + OPENCV_CHANNELS] for i in range(0, score.shape[-1], OPENCV_CHANNELS)]
  resized = [cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR) for part in parts]
  resized = [part.reshape(*size, -1) for part in resized]  # OpenCV drops the axis of a single channel
  return resized[0] if len(resized) == 1 else np.concatenate(resized, -1)


def at_scale(image: np.ndarray, scale: float, mirrored: bool) -> np.ndarray:
  """The image resized (TensorFlow 1's bilinear), then mirrored: that resize is not symmetric, so the order matters."""
  size = tuple(max(1, int(side * scale)) for side in image.shape[:2])
  pixels = image if size == image.shape[:2] else resize_bilinear(image[np.newaxis], size)[0].numpy()
  return pixels[:, ::-1] if mirrored else pixels


def scores(
  images: Iterable[tuple[object, np.ndarray]],
  probabilities: Callable,
  window: tuple[int, int] | Callable[[int, int], tuple[int, int]],
  strides: tuple[int, int],
  scales=(1.0,),
  flip: bool = False,
  batch_size: int = 1,
) -> Iterator[tuple[object, np.ndarray, np.ndarray]]:
  """Yields (key, image, score [h, w, C]) for every (key, image), in order; no image changes another's score.

  Args:
    probabilities: from `probability_function`.
    window, strides: (height, width) in pixels. A function of a view's height and width makes windows of any size, for
      `probabilities` from `whole_image_function` and a `batch_size` of 1.
    batch_size: windows that the network takes at a time.
  """
  views = list(itertools.product(scales, (False, True) if flip else (False,)))
  waiting = collections.deque()  # key and image whose windows are being computed

  def views_of_images():
    for key, image in images:
      waiting.append((key, image))
      for scale, mirrored in views:
        pixels = at_scale(image, scale, mirrored)
        size = pixels.shape[:2]
        yield View(size, [pixels], window(*size) if callable(window) else window, strides)

  found = means(views_of_images(), probabilities, batch_size)
  for mean in found:
    key, image = waiting.popleft()
    size = image.shape[:2]
    score = resize_scores(mean, size)
    for (_, mirrored), mean in zip(views[1:], found, strict=False):
      mean = resize_scores(mean, size)
      np.add(score, mean[:, ::-1] if mirrored else mean, out=score)
    yield key, image, score
    del image, mean, score  # their memory is free before the next image's


def means(views: Iterable[View], probabilities: Callable, batch_size: int) -> Iterator[np.ndarray]:
  """Yields the means [n, w, C] of all views, in order. The network computes a batch while the batch before is added."""
  windows = (((view, place), pixels) for view in views for place, pixels in view.cut())

  def batches():
    while batch := list(itertools.islice(windows, batch_size)):
      (view, _), _ = batch[0]
      inputs = np.zeros((batch_size, *view.window, 3), np.float32)  # always full: sums may differ by size
      for (_, pixels), window in zip(batch, inputs, strict=False):
        np.subtract(pixels, np.float32(MEAN), out=window[: pixels.shape[0], : pixels.shape[1]])
      yield [key for key, _ in batch], inputs

  for future in parallel.in_background(lambda batch: (batch[0], compute(probabilities, batch[1])), batches()):
    for (view, place), found in zip(*future.result(), strict=False):
      mean = view.add(place, found)
      if mean is not None:
        yield mean


def compute(probabilities: Callable, windows: np.ndarray) -> np.ndarray:
  """Runs the network; the result shares the tensor's memory where it can."""
  try:
    return np.asarray(probabilities(windows))
  except tf.errors.ResourceExhaustedError:
    raise RunError(
      f'out of memory with {len(windows)} windows of {windows.shape[1]} x {windows.shape[2]} pixels at a time; '
      'give a smaller --batch-size or --input-size, and no --whole-image'
    ) from None


def score_bands(
  bands: Iterable[np.ndarray],
  size: tuple[int, int],
  probabilities: Callable,
  window: tuple[int, int],
  strides: tuple[int, int],
  batch_size: int,
) -> Iterator[np.ndarray]:
  """Yields the scores [n, w, C] of an image from top to bottom, given its pixels, uint8 RGB [n, w, 3], in bands of
  rows. The next band takes the memory of the one before.

  Memory grows with the width, not with the height. At one scale, not mirrored, this gives what `scores` gives, to the
  last bit.
  """
  view = View(size, bands, window, strides, by_rows=True)
  yield from tqdm(means([view], probabilities, batch_size), 'predicting', len(view.known), unit='row of windows')
