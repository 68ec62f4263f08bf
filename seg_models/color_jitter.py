"""SSD's photometric distortion (Liu et al. 2016, arXiv 1512.02325), as in mmsegmentation's PhotoMetricDistortion."""

import tensorflow as tf

BRIGHTNESS = 32.0  # added to or taken from the values 0 to 255, at most
CONTRAST = SATURATION = (0.5, 1.5)  # factors of the pixels, and of the saturation
HUE = 18.0  # degrees, of 360, either way; OpenCV's hue of 8 bits, to which others add 18, counts in steps of 2
NUMBERS = 9  # that one image's distortion takes


def color_jitter(pixels, u):
  """Float32 RGB pixels [..., 3] from 0 to 255, distorted by `u` [NUMBERS], uniform in [0, 1).

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
