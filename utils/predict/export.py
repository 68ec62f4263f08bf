"""Sliding-window prediction as one TensorFlow graph: what utils.predict.windows does, without this project.

Conventions: images uint8 RGB [N, h, w, 3] of any size; probabilities float32 [N, h, w, C]; classes uint8 [N, h, w].
"""

import tensorflow as tf

from network.common.layers import MEAN, resize_bilinear
from utils.predict.windows import coverage


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
    return total / (in_height[:, tf.newaxis, tf.newaxis] * in_width[:, tf.newaxis])


def window_starts(length, window: int, stride: int):
  """`utils.predict.windows.window_starts` of a scalar tensor, as a tensor."""
  number = (length - window + stride - 1) // stride + 1
  step = tf.math.divide_no_nan(tf.cast(length - window, tf.float64), tf.cast(number - 1, tf.float64))
  ends = tf.cast(tf.cast(tf.range(number), tf.float64) * step + float(window), tf.int32)
  return tf.concat([ends[:-1], [length]], 0) - window
