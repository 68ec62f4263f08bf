"""Networks without this project: the sliding window as one TensorFlow graph, and the network of one window, for
converters.

Conventions: images uint8 RGB [N, h, w, 3] of any size, windows uint8 RGB [N, H, W, 3]; probabilities float32
[N, h, w, C]; classes uint8 [N, h, w].
"""

import functools
import warnings

import numpy as np
import tensorflow as tf

from network.common import cpu_gradients
from network.common.layers import MEAN, DepthwiseConv, resize_bilinear
from seg_models.image_reader import read_image
from utils import parallel
from utils.predict.windows import View, coverage, freeze, probability_function, window_starts


def window_network(probabilities, window, number: int | None = None):
  """The network of one window: uint8 RGB [number, H, W, 3] -> {'probabilities': [number, H, W, C]}, as a tf.function.

  probabilities: from `windows.probability_function`; number: None for any.
  """

  @tf.function(input_signature=[tf.TensorSpec([number, *window, 3], tf.uint8, 'windows')], autograph=False)
  def network(windows):
    return {'probabilities': probabilities(tf.cast(windows, tf.float32) - MEAN)}

  return network


def tflite(model, window, strides, stored: str, samples: list[str]) -> bytes:
  """The network of one window as TensorFlow Lite stores it. The model can then predict, no more.

  stored: float32, float16 or int8, whose ranges are taken from the middle windows of the images `samples`.
  """
  freeze(model)
  for conv in model.submodules:
    if isinstance(conv, DepthwiseConv):  # reshaped to over 4832 channels, LiteRT's kernel for it never ends
      conv.convolve = functools.partial(cpu_gradients.depthwise_by_tensorflow, stride=conv.stride, rate=conv.rate)
  network = window_network(probability_function(model, window), window, 1).get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions([network], model)
  if stored != 'float32':
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if stored == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if stored == 'int8':
    converter.representative_dataset = lambda: (middle_window(read_image(path), window, strides) for path in samples)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # that uint8 in has no statistics: it is cast in the model
    return converter.convert()


def middle_window(image: np.ndarray, window, strides) -> list[np.ndarray]:
  """[uint8 [1, H, W, 3]] of an image uint8 RGB [h, w, 3]."""
  windows = list(View(image.shape[:2], [image], window, strides).cut())
  pixels = windows[len(windows) // 2][1]
  padding = [(0, side - inside) for side, inside in zip(window, pixels.shape, strict=False)]
  return [as_bytes(np.pad(pixels - np.float32(MEAN), [*padding, (0, 0)])[np.newaxis])]


def as_bytes(windows: np.ndarray) -> np.ndarray:
  """Windows minus the mean, as the networks take them, to uint8; padding becomes the mean, rounded."""
  return np.clip(np.rint(windows + np.float32(MEAN)), 0, 255).astype(np.uint8)


def lite_function(interpreter_class, content: bytes):
  """`windows.probability_function` for one window at a time, by what `tflite` returned."""
  interpreter = interpreter_class(model_content=content, num_threads=parallel.cores())
  run = interpreter.get_signature_runner()
  return lambda windows: run(windows=as_bytes(windows))['probabilities']


class Predictor(tf.Module):
  """`predictor(images)` -> {'classes', 'probabilities'}: windows at every scale, mirrored too if `flip`.

  Per scale the mean where windows overlap, resized to the image; over scales and flips the mean.
  """

  def __init__(self, model, num_classes, window, strides, scales=(1.0,), flip=False):
    super().__init__()
    self.model, self.num_classes = model, num_classes
    self.window, self.strides, self.scales = window, strides, scales
    self.mirrors = (False, True) if flip else (False,)

  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')], autograph=False)
  def __call__(self, images):
    views = [(scale, mirrored) for scale in self.scales for mirrored in self.mirrors]
    scales, mirrors = (tf.constant(column) for column in zip(*views, strict=True))
    classes = self.num_classes
    total = tf.zeros(tf.concat([tf.shape(images)[:3], [classes]], 0))

    def add_view(i, total):
      return i + 1, total + self.score(images, tf.cast(scales[i], tf.float64), mirrors[i])

    shapes = tf.TensorShape([]), tf.TensorShape([None, None, None, classes])
    _, total = tf.while_loop(lambda i, _: i < len(views), add_view, (0, total), shapes, parallel_iterations=1)
    probabilities = total / len(views)
    return {'classes': tf.cast(tf.argmax(total, -1), tf.uint8), 'probabilities': probabilities}

  def score(self, images, scale, mirrored):
    """The images at one scale, mirrored or not: [N, h, w, 3] uint8 -> [N, h, w, C]."""
    shape = tf.shape(images)[1:3]
    size = tf.maximum(1, tf.cast(tf.cast(shape, tf.float64) * scale, tf.int32))
    resized = resize_bilinear(tf.cast(images, tf.float32), size)
    resized = tf.cond(mirrored, lambda: tf.reverse(resized, [2]), lambda: resized) - MEAN
    padded = tf.maximum(size, self.window)
    resized = tf.pad(resized, [[0, 0], [0, padded[0] - size[0]], [0, padded[1] - size[1]], [0, 0]])
    mean = self.mean_over_windows(resized, padded)[:, : size[0], : size[1]]
    score = tf.raw_ops.ResizeBilinear(images=mean, size=shape, half_pixel_centers=True)  # as OpenCV
    return tf.cond(mirrored, lambda: tf.reverse(score, [2]), lambda: score)

  def mean_over_windows(self, pixels, size):
    """[N, H, W, 3] -> [N, H, W, C], window by window into one buffer of [H * W, N * C]."""
    classes = self.num_classes
    height, width = self.window
    number = tf.shape(pixels)[0]
    ys, xs = (window_starts(size[i], self.window[i], self.strides[i]) for i in (0, 1))
    total = tf.zeros([size[0] * size[1], number * classes])
    rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)

    def add_window(i, total):
      y, x = ys[i // tf.size(xs)], xs[i % tf.size(xs)]
      window = tf.ensure_shape(pixels[:, y : y + height, x : x + width], [None, height, width, 3])
      scores = tf.nn.softmax(resize_bilinear(self.model(window, training=False), self.window))
      scores = tf.reshape(tf.transpose(scores, [1, 2, 0, 3]), [height * width, number * classes])
      pixels_of_window = tf.reshape((y + rows) * size[1] + x + columns, [-1, 1])
      return i + 1, tf.tensor_scatter_nd_add(total, pixels_of_window, scores)

    windows = tf.size(ys) * tf.size(xs)
    _, total = tf.while_loop(lambda i, _: i < windows, add_window, (0, total), parallel_iterations=1)
    total = tf.transpose(tf.reshape(total, [size[0], size[1], number, classes]), [2, 0, 1, 3])
    in_height, in_width = (coverage(starts, self.window[i], size[i]) for i, starts in enumerate((ys, xs)))
    return total / tf.cast(in_height[:, tf.newaxis, tf.newaxis] * in_width[:, tf.newaxis], tf.float32)
