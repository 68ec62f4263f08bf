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
from utils.predict.outputs import decided

OPENCV_CHANNELS = 128  # the most that an image of OpenCV may have


def window_starts(length, window: int, stride: int) -> tf.Tensor:
  """Where windows start on an axis of `length` >= `window`, a number or a scalar tensor: int32 [number].

  Their ends are spread evenly, at most `stride` apart: np.linspace(window, length, number), cut to whole numbers.
  """
  number = (length - window + stride - 1) // stride + 1
  step = tf.math.divide_no_nan(tf.cast(length - window, tf.float64), tf.cast(number - 1, tf.float64))
  ends = tf.cast(tf.cast(tf.range(number), tf.float64) * step + float(window), tf.int32)
  return tf.concat([ends[:-1], [length]], 0) - window


def coverage(starts, window: int, length) -> tf.Tensor:
  """How many windows lie over each of the first `length` pixels of an axis, float32 [length]."""
  starts, pixels = tf.convert_to_tensor(starts), tf.range(length)
  begun, ended = (tf.searchsorted(starts, at, side='right') for at in (pixels, pixels - window))
  return tf.cast(begun - ended, tf.float32)


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


class Windows:
  """The windows of an image of `size` (height, width), and the mean of their probabilities in bands of rows.

  Windows go from left to right, then down. The sums of one row of windows are kept, so memory grows with the image's
  width, not with its height.
  """

  def __init__(self, size: tuple[int, int], window: tuple[int, int], strides: tuple[int, int]):
    self.size, self.window = size, window
    padded = [max(side, least) for side, least in zip(size, window, strict=True)]
    rows, columns = (window_starts(*axis).numpy().tolist() for axis in zip(padded, window, strides, strict=True))
    self.places, self.width, self.last_column = list(itertools.product(rows, columns)), padded[1], columns[-1]
    self.row_below = dict(itertools.pairwise([*rows, padded[0]]))
    axes = zip((rows, columns), window, size, strict=True)
    self.in_height, self.in_width = (coverage(*axis).numpy() for axis in axes)
    self.sums, self.finished = None, 0

  def cut(self, bands: Iterable[np.ndarray]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yields ((y, x), pixels) of every window, float32 [H, W, 3] minus the mean, zeros beyond the image, given the
    image from top to bottom, RGB [n, w, 3]."""
    bands = iter(bands)
    rows, top = next(bands), 0
    for y, x in self.places:
      rows, top = rows[y - top :], y
      while len(rows) < min(self.window[0], self.size[0] - y):
        rows = np.concatenate([rows, next(bands)])
      inside, pixels = rows[: self.window[0], x : x + self.window[1]], np.zeros((*self.window, 3), np.float32)
      np.subtract(inside, np.float32(MEAN), out=pixels[: inside.shape[0], : inside.shape[1]])
      yield (y, x), pixels

  def add(self, place: tuple[int, int], probabilities: np.ndarray) -> np.ndarray | None:
    """Adds a window's probabilities [H, W, C]. After the last one of a row of windows: the mean in the image's rows
    that no window below reaches, [n, w, C], whose memory the next window uses again."""
    y, x = place
    if self.sums is None:
      self.sums = np.zeros((self.window[0], self.width, probabilities.shape[-1]), np.float32)
    if y and x == 0:
      shared = self.window[0] - self.finished
      self.sums[:shared] = self.sums[self.finished :]
      self.sums[shared:] = 0
    self.sums[:, x : x + self.window[1]] += probabilities
    if x < self.last_column:
      return None
    self.finished = self.row_below[y] - y
    mean = self.sums[: min(self.finished, self.size[0] - y), : self.size[1]]
    mean /= self.in_height[y : y + len(mean), np.newaxis, np.newaxis]
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


def resized(image: np.ndarray, scale: float, mirrored: bool) -> np.ndarray:
  """The image at a scale, float32 (TensorFlow 1's bilinear), then mirrored: that resize is not symmetric, so the order
  matters."""
  size = [max(1, int(side * scale)) for side in image.shape[:2]]
  pixels = resize_bilinear(image[np.newaxis], size)[0].numpy()
  return pixels[:, ::-1] if mirrored else pixels


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
  waiting = collections.deque()  # key and size of the images whose windows are being computed

  def views_of_images():
    for key, image in images:
      waiting.append((key, image.shape[:2]))
      for scale, mirrored in views:
        pixels = resized(image, scale, mirrored)
        size = pixels.shape[:2]
        yield Windows(size, window(*size) if callable(window) else window, strides), pixels

  means = view_means(views_of_images(), probabilities, batch_size)
  for mean in means:
    key, size = waiting.popleft()
    score = resize_scores(mean, size)
    for (_, mirrored), mean in zip(views[1:], means, strict=False):
      mean = resize_scores(mean, size)
      np.add(score, mean[:, ::-1] if mirrored else mean, out=score)
    yield key, score
    del mean, score  # their memory is free before the next image's


def view_means(
  views: Iterable[tuple[Windows, np.ndarray]], probabilities: Callable, batch_size: int
) -> Iterator[np.ndarray]:
  """Yields the mean over the windows [h, w, C] of every (windows, pixels [h, w, 3]), in order."""
  windows = (((view, place), cut) for view, pixels in views for place, cut in view.cut([pixels]))
  for (view, (y, x)), window_probabilities in probabilities_of(windows, probabilities, batch_size):
    band = view.add((y, x), window_probabilities)
    if band is not None:
      if y == 0:
        mean = np.empty((*view.size, band.shape[-1]), np.float32)
      mean[y : y + len(band)] = band
      if y + len(band) == view.size[0]:
        yield mean


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

  Memory grows with the width, not with the height. At one scale, not mirrored, this gives what `scores` gives, to the
  last bit.
  """
  windows = Windows(size, window, strides)
  found = probabilities_of(windows.cut(bands), probabilities, batch_size)
  for place, window_probabilities in tqdm(found, 'predicting', len(windows.places), unit='window'):
    mean = windows.add(place, window_probabilities)
    if mean is not None:
      yield decided(mean)
