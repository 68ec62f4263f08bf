"""Sliding windows, scales and flips against a slow reading of their definition, with a stand-in for the network."""

import functools
import itertools
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf

from network.common.layers import MEAN, Conv
from seg_models.names import MODELS, build, padded_size, size_problem
from tests import recorded, tiny
from utils import devices
from utils.errors import RunError
from utils.images import read_label
from utils.predict.outputs import class_map
from utils.predict.run import read_image
from utils.predict.windows import freeze, probability_function, resize_scores, scores, window_starts

CLASSES = tiny.CLASSES
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
WHOLE = functools.partial(padded_size, 'fcn8s')


def picture(height, width, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stand_in(windows):
  """Probabilities [B, H, W, 3] that depend on the pixel and on its place in the window, so that neither a window in
  the wrong place nor a wrong mean goes unnoticed."""
  height, width = windows.shape[1:3]
  y, x = np.mgrid[:height, :width] / (height + width)
  logits = windows / 100 + np.stack([x, y, x * y], -1) * 4
  return tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()


# The definition, slowly.


def slow_starts(length, window, stride):
  number = math.ceil((length - window) / stride) + 1
  step = (length - window) / (number - 1) if number > 1 else 0
  ends = [window + i * step for i in range(number)]
  return [int(round(end, 9)) - window for end in ends]


def slow_resize(array, size, half_pixel):
  """Bilinear: TensorFlow 1's (source = target * in / out) or OpenCV's (pixel centres at half), an axis at a time."""
  for axis, number in enumerate(size):
    length = array.shape[axis]
    places = (np.arange(number) + 0.5 * half_pixel) * length / number - 0.5 * half_pixel
    array = np.apply_along_axis(lambda line, at=places: np.interp(at, np.arange(len(line)), line), axis, array)
  return array


def slow_scores(image, window, strides, scales, flip):
  height, width = image.shape[:2]
  total = np.zeros((height, width, CLASSES))
  for scale in scales:
    size = [max(1, int(side * scale)) for side in (height, width)]
    sides = window(*size) if callable(window) else window
    resized = slow_resize(image.astype(float), size, half_pixel=False) - MEAN
    for mirrored in (False, True) if flip else (False,):
      padded = np.zeros((*np.maximum(size, sides), 3))
      padded[: size[0], : size[1]] = resized[:, ::-1] if mirrored else resized
      sums, counts = np.zeros((*padded.shape[:2], CLASSES)), np.zeros((*padded.shape[:2], 1))
      for y in slow_starts(padded.shape[0], sides[0], strides[0]):
        for x in slow_starts(padded.shape[1], sides[1], strides[1]):
          place = np.s_[y : y + sides[0], x : x + sides[1]]
          sums[place] += stand_in(padded[place][np.newaxis])[0]
          counts[place] += 1
      assert counts.min() >= 1
      mean = (sums / counts)[: size[0], : size[1]]
      score = slow_resize(mean, (height, width), half_pixel=True)
      total += score[:, ::-1] if mirrored else score
  return total


@pytest.mark.parametrize(
  ('size', 'window', 'strides', 'scales', 'flip'),
  [
    ((20, 33), (16, 16), (10, 10), (1.0,), False),
    ((20, 33), (16, 24), (7, 24), (1.0,), True),
    ((17, 12), (16, 16), (16, 5), SCALES, False),
    ((15, 21), (16, 16), (11, 11), SCALES, True),
    ((5, 40), (16, 16), (3, 16), (0.5, 1.25), True),
    ((9, 7), (16, 16), (16, 16), (0.5, 1.0, 1.75), True),
    ((1, 1), (16, 16), (16, 16), SCALES, True),
    ((1, 40), (16, 16), (16, 16), SCALES, True),
    ((2, 3), (16, 16), (16, 16), SCALES, True),
    ((20, 33), WHOLE, (8, 8), SCALES, True),  # one window at each scale, which is the image padded to a size that fits
    ((5, 7), WHOLE, (8, 8), SCALES, True),
  ],
)
def test_scores_are_their_definition(size, window, strides, scales, flip):
  image = picture(*size)
  batch_size = 1 if window is WHOLE else 3
  ((key, same, got),) = scores([('a', image)], stand_in, window, strides, scales, flip, batch_size)
  want = slow_scores(image, window, strides, scales, flip)
  assert key == 'a' and same is image and got.shape == want.shape and got.dtype == np.float32
  np.testing.assert_allclose(got, want, atol=2e-5)
  np.testing.assert_allclose(got.sum(-1), len(scales) * (1 + flip), atol=1e-4)


def test_windows_begin_where_the_formula_says():
  for length in (*range(8, 60, 5), 480, 1792, 3584):
    for window, stride in ((8, 1), (8, 3), (8, 8), (13, 13), (48, 32), (480, 320)):
      if length >= window:
        starts = window_starts(length, window, stride).tolist()
        ends = np.linspace(window, length, len(starts)).astype(int)
        assert starts == slow_starts(length, window, stride) == (ends - window).tolist()
        assert window_starts(tf.constant(length), window, stride).numpy().tolist() == starts


@pytest.mark.parametrize('batch_size', [1, 2, 7, 1000])
def test_batches_across_images_scales_and_flips_change_nothing(batch_size):
  """No images, one at a time, in batches that straddle images, and all in one: the same, in order, by full batches."""
  assert list(scores([], stand_in, (16, 16), (8, 8))) == []
  images = [(i, picture(10 + 7 * i, 31 - 5 * i, seed=i)) for i in range(5)]
  settings = ((16, 16), (9, 9), (0.5, 1.0, 1.5), True)
  sizes = []

  def counted(windows):
    sizes.append(len(windows))
    return stand_in(windows)

  alone = [next(scores([one], counted, *settings))[2] for one in images]
  number = len(sizes)
  sizes.clear()
  together = list(scores(images, counted, *settings, batch_size=batch_size))
  assert [key for key, *_ in together] == [0, 1, 2, 3, 4]
  for (*_, got), want in zip(together, alone, strict=True):
    np.testing.assert_allclose(got, want, atol=1e-6)
  assert sizes == [batch_size] * math.ceil(number / batch_size)


@pytest.mark.parametrize('model', MODELS)
def test_padded_size_is_the_smallest_that_the_model_takes(model):
  for size in ((1, 1), (47, 48), (100, 49), (96, 97)):
    for stride in (8, 16):
      padded = padded_size(model, *size, stride)
      larger = itertools.product(range(size[0], padded[0] + 1), range(size[1], padded[1] + 1))
      assert [side for side in larger if size_problem(model, *side, stride) is None] == [padded]


@pytest.mark.parametrize('classes', [2, 128, 129, 255, 257])
def test_scores_of_many_classes_are_resized_alike(classes):
  """OpenCV takes 128 channels at most."""
  score = np.random.default_rng(0).random((6, 9, classes), np.float32)
  got = resize_scores(score, (8, 13))
  for i in (0, classes // 2, classes - 1):
    np.testing.assert_allclose(got[..., i], cv2.resize(score[..., i], (13, 8)), atol=1e-6)
  assert got.shape == (8, 13, classes)


def test_failure_of_the_network_reaches_the_caller():
  def fail(windows):
    raise tf.errors.ResourceExhaustedError(None, None, 'OOM')

  with pytest.raises(RunError, match='2 windows of 16 x 16 .* give a smaller --batch-size'):
    list(scores([(0, picture(20, 20))], fail, (16, 16), (8, 8), batch_size=2))


# The network around it.


@pytest.fixture(scope='module')
def recorded_network():
  """ResNet-101 PSPNet with the recorded weights, as a function from windows of 96 x 96 pixels to probabilities."""
  model = build('pspnet', 'resnet_v1_101', 21)
  for v in model.variables:
    v.assign(recorded.weights(v.name.split(':')[0], v.shape))
  freeze(model)
  return probability_function(model, (96, 96))


@pytest.mark.parametrize(
  ('script', 'names', 'scales', 'flip'),
  [('inference', ('val_0', 'val_1', 'val_2'), (1.0,), False), ('inference_msc', ('val_0',), SCALES, True)],
)
def test_recorded_predictions(recorded_network, script, names, scales, flip):
  """What the 2018 scripts predicted, near ties apart."""
  images = [(name, read_image(str(recorded.GOLDEN / 'images' / f'{name}.jpg'), math.inf)) for name in names]
  for name, _, score in scores(images, recorded_network, (96, 96), (64, 64), scales, flip, batch_size=8):
    want = read_label(str(recorded.GOLDEN / script / f'{name}.png'))
    assert np.mean(class_map(score) == want) > 0.998


@pytest.mark.parametrize(
  ('name', 'backbone', 'kind'),
  [
    *((name, 'toy', kind) for name in MODELS for kind in ('float32', 'bfloat16')),
    ('fcn8s', 'resnet_v1_14', 'float32'),
    ('deeplabv3plus', 'efficientnet_lite0', 'float32'),
  ],
)
def test_frozen_model_predicts_as_before(name, backbone, kind):
  """Batch norm folded into the weights, with averages that are not the initial ones."""
  model = build(name, backbone, CLASSES)
  random = np.random.default_rng(0)
  for v in model.variables:
    if 'BatchNorm' in v.name:
      v.assign(random.uniform(0.5, 1.5, v.shape))
  devices.apply(model, kind)
  windows = tf.constant(random.normal(0, 50, (2, 48, 48, 3)), tf.float32)
  want = model(windows).numpy()
  freeze(model)
  got = model(windows).numpy()
  assert not model.variables and got.dtype == np.float32
  assert all(conv.batch_norm is None for conv in model.submodules if isinstance(conv, Conv))
  assert np.linalg.norm(got - want) < {'float32': 1e-5, 'bfloat16': 0.03}[kind] * np.linalg.norm(want)


def test_probabilities_are_those_of_the_resized_logits():
  """Feature (i, j) sits on pixel (8i, 8j): there the probabilities are the softmax of the logits themselves."""
  toy = tiny.toy()
  windows = tf.constant(np.random.default_rng(0).normal(0, 50, (2, 24, 32, 3)), tf.float32)
  got = probability_function(toy, (24, 32))(windows).numpy()
  assert got.shape == (2, 24, 32, CLASSES)
  np.testing.assert_allclose(got[:, ::8, ::8], tf.nn.softmax(toy(windows)), atol=1e-6)
  np.testing.assert_allclose(got.sum(-1), 1, atol=1e-5)
