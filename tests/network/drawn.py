"""What the tests of the losses share: random labels and logits, and numbers to hold against."""

import numpy as np
import tensorflow as tf

SHAPE = (2, 6, 7, 4)


def draw(shape=SHAPE, seed=0, sharpness=2.0):
  """Labels in patches, some of them no class, int32 [N, H, W]; logits [N, H, W, C]; raw weights [2, C, 3]."""
  rng = np.random.default_rng(seed)
  *grid, classes = shape
  coarse = rng.integers(0, classes, [grid[0], (grid[1] + 1) // 2, (grid[2] + 1) // 2])
  labels = coarse.repeat(2, 1).repeat(2, 2)[:, : grid[1], : grid[2]]
  void = rng.random(labels.shape) < 0.08
  labels[void] = rng.choice([255, -1, classes, classes + 7], void.sum())
  logits = rng.normal(scale=sharpness, size=shape).astype(np.float32)
  return labels.astype(np.int32), logits, rng.normal(size=(2, classes, 3)).astype(np.float32)


def softmax(x):
  x = np.exp(np.asarray(x, np.float64) - np.max(x, -1, keepdims=True))
  return x / x.sum(-1, keepdims=True)


def relative_error(a, b):
  return np.linalg.norm(np.subtract(a, b)) / max(np.linalg.norm(b), 1e-12)


def value_and_gradient(function, x):
  """`function(x)`, and its gradient for x."""
  x = tf.convert_to_tensor(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = function(x)
  return value, tape.gradient(value, x)


def numeric_gradient(function, x, step=1e-5):
  """Central differences of `function(x)`, a float64 number, for every entry of x."""
  x = np.asarray(x, np.float64)
  gradient = np.zeros(x.shape)
  for index in np.ndindex(x.shape):
    there = np.zeros(x.shape)
    there[index] = step
    gradient[index] = (function(x + there) - function(x - there)) / (2 * step)
  return gradient
