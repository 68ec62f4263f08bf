"""Sliding-window prediction at one or several scales, with flips.

Conventions: images are uint8 RGB [h, w, 3]; scores are float32 [h, w, C]. Per scale, overlapping windows are averaged;
the scores of all scales and flips are added up, in the image's own size.

Windows of all scales, flips and images run through the network in one queue, so that batches are full whatever the
images' sizes; memory does not grow with the number of images.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import tensorflow as tf

from network.common.layers import resize_bilinear
from seg_models.image_reader import MEAN


def window_starts(length: int, window: int, stride: int) -> list[int]:
  """Where windows start on an axis of `length` >= `window`: their ends are spread evenly, at most `stride` apart."""
  number = math.ceil((length - window) / stride) + 1
  return [int(end) - window for end in np.linspace(window, length, number)]


def probability_function(model, window: tuple[int, int]) -> Callable:
  """Returns windows [B, H, W, 3] (mean subtracted) -> softmax of the logits resized to the window, [B, H, W, C]."""

  @tf.function(input_signature=[tf.TensorSpec([None, *window, 3], tf.float32)])
  def probabilities(windows):
    return tf.nn.softmax(resize_bilinear(model(windows, training=False), window))

  return probabilities


def windows_at_once() -> int:
  """How many windows a run of the network takes, if nobody says."""
  return 16 if tf.config.list_physical_devices('GPU') else 4


class Pass:
  """One look at an image: a scale, mirrored or not. Collects its windows' probabilities, then gives its score."""

  def __init__(self, image: np.ndarray, scale: float, mirrored: bool, window, strides):
    self.shape, self.mirrored, self.window = image.shape[:2], mirrored, window
    self.size = [max(1, int(side * scale)) for side in self.shape]
    padded = [max(side, least) for side, least in zip(self.size, window, strict=True)]
    self.pixels = resize_padded(image, self.size, padded, mirrored)
    self.starts = [window_starts(*axis) for axis in zip(padded, window, strides, strict=True)]
    self.places = [(y, x) for y in self.starts[0] for x in self.starts[1]]
    self.waiting = len(self.places)
    self.total = None

  def cut(self, place) -> np.ndarray:
    y, x = place
    return self.pixels[y : y + self.window[0], x : x + self.window[1]]

  def add(self, place, probabilities: np.ndarray) -> bool:
    """Adds a window's [H, W, C]; True when it was the last."""
    if self.total is None:
      self.total = np.zeros((*self.pixels.shape[:2], probabilities.shape[-1]), np.float32)
    y, x = place
    self.total[y : y + self.window[0], x : x + self.window[1]] += probabilities
    self.waiting -= 1
    return not self.waiting

  def score(self) -> np.ndarray:
    """The mean over the windows, padding cut off, resized to the image and mirrored back: [h, w, C]."""
    mean = self.total[: self.size[0], : self.size[1]]
    for axis, starts in enumerate(self.starts):
      covered = np.zeros(self.total.shape[axis], np.float32)
      for start in starts:
        covered[start : start + self.window[axis]] += 1
      mean /= np.expand_dims(covered[: self.size[axis]], [1, 2] if axis == 0 else [0, 2])
    self.total = self.pixels = None
    if mean.shape[:2] != tuple(self.shape):
      mean = cv2.resize(mean, self.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return mean[:, ::-1] if self.mirrored else mean


def resize_padded(image: np.ndarray, size, padded, mirrored: bool) -> np.ndarray:
  """The image minus the mean, float32: resized to `size` (TensorFlow 1's bilinear), then mirrored (that resize is not
  symmetric, so the order matters), then padded with zeros at the bottom and right."""
  resized = resize_bilinear(image[np.newaxis], size)[0].numpy()
  resized = resized[:, ::-1] if mirrored else resized
  if tuple(padded) == tuple(size):
    return resized - np.float32(MEAN)
  out = np.zeros((*padded, 3), np.float32)
  np.subtract(resized, np.float32(MEAN), out=out[: size[0], : size[1]])
  return out


def scores(
  images: Iterable[tuple[object, np.ndarray]],
  probabilities: Callable,
  window: tuple[int, int],
  strides: tuple[int, int],
  scales=(1.0,),
  flip: bool = False,
  batch_size: int = 1,
) -> Iterator[tuple[object, np.ndarray]]:
  """Yields (key, score [h, w, C]) for every (key, image), in order.

  Args:
    probabilities: from `probability_function`.
    window, strides: (height, width) in pixels.
    batch_size: windows a run of the network.
  """
  queue = []  # (pass, place) of windows that wait for a full batch
  images_begun = []  # [key, passes not yet finished, score or None], in order

  def run():
    batch = queue[:batch_size]
    del queue[:batch_size]
    out = probabilities(np.stack([one.cut(place) for one, _, place in batch])).numpy()
    for (one, entry, place), window_probabilities in zip(batch, out, strict=True):
      if one.add(place, window_probabilities):
        entry[1] -= 1
        score = one.score()
        entry[2] = score if entry[2] is None else np.add(entry[2], score, out=entry[2])

  def finished():
    while images_begun and not images_begun[0][1]:
      key, _, score = images_begun.pop(0)
      yield key, score

  for key, image in images:
    mirrors = (False, True) if flip else (False,)
    entry = [key, len(scales) * len(mirrors), None]
    images_begun.append(entry)
    for scale in scales:
      for mirrored in mirrors:
        one = Pass(image, scale, mirrored, window, strides)
        queue += [(one, entry, place) for place in one.places]
        while len(queue) >= batch_size:
          run()
    yield from finished()
  while queue:
    run()
  yield from finished()


def class_map(score: np.ndarray) -> np.ndarray:
  """The best class of each pixel: [h, w, C] -> uint8 [h, w]."""
  return np.argmax(score, -1).astype(np.uint8)
