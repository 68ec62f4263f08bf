"""The losses that no package for PyTorch holds, as their papers write them, in float64."""

import itertools

import numpy as np
from scipy import ndimage

from tests.network.drawn import softmax


def labelled(label, classes):
  return (label >= 0) & (label < classes)


def cross_entropy(labels, logits, options):
  """The sum of the losses and the sum of the weights over the pixels that count."""
  log_p, classes = np.log(softmax(logits)), logits.shape[-1]
  weights, e = np.array(options.class_weights or [1.0] * classes), options.label_smoothing
  total = weight = 0.0
  for label, log_p_of_image in zip(labels, log_p, strict=True):
    pixels = zip(label.ravel(), log_p_of_image.reshape(-1, classes), strict=True)
    pixels = sorted([(p[y], y, p) for y, p in pixels if 0 <= y < classes], key=lambda pixel: pixel[0])
    for place, (log_p_y, y, p) in enumerate(pixels):
      hard = options.ohem_threshold is None or log_p_y < np.log(max(options.ohem_threshold, 1e-300))
      if hard or place < options.ohem_min_kept:
        total += (1 - e) * weights[y] * -log_p_y + e / classes * np.dot(weights, -p)
        weight += weights[y]
  return total, weight


def rmi(labels, logits):
  total, classes = 0.0, logits.shape[-1]
  for label, logit in zip(labels, np.asarray(logits, np.float64), strict=True):
    there = labelled(label, classes)
    if not there.any():
      continue
    corners = list(itertools.product(range(label.shape[0] - 2), range(label.shape[1] - 2)))
    for c in range(classes):
      maps = there & (label == c), np.maximum(there / (1 + np.exp(-logit[..., c])), 1e-6)
      y, p = (np.array([m[i : i + 3, j : j + 3].ravel() for i, j in corners], np.float64) for m in maps)
      y, p = y - y.mean(0), p - p.mean(0)
      ridge = 5e-4 * np.eye(9)
      conditional = y.T @ y - y.T @ p @ np.linalg.inv(p.T @ p + ridge) @ p.T @ y
      total += np.linalg.slogdet(conditional + ridge)[1] / 2 / 9
  return total


def kl(p, q):
  return np.sum(p * np.log(p / q), -1)


def at(x, step, outside=None):
  """What lies `step` (dy, dx) from each pixel of a map; beyond the border its last pixels, or `outside`."""
  (height, width, *_), (dy, dx) = x.shape, step
  border = {'mode': 'edge'} if outside is None else {'constant_values': outside}
  return np.pad(x, [(1, 1), (1, 1), (0, 0)][: x.ndim], **border)[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def abl(labels, logits, fixed=None):
  """The sum and the number of the predicted boundary's pixels. `fixed`: the prediction that decides where the boundary
  is and what the neighbours are."""
  total, count, around = 0.0, 0, [step for step in itertools.product((-1, 0, 1), repeat=2) if any(step)]
  for label, p, q in zip(labels, softmax(logits), softmax(logits if fixed is None else fixed), strict=True):
    void = ~labelled(label, p.shape[-1])
    true = void | (label != at(label, (1, 0))) | (label != at(label, (0, 1)))
    if not true.any():
      continue
    change = np.maximum(kl(q, at(q, (1, 0))), kl(q, at(q, (0, 1))))
    epsilon = max(np.sort(change.ravel())[::-1][max(1, change.size // 100)], 1e-5)
    predicted = ndimage.maximum_filter(change > epsilon, 3, mode='constant') & ~void
    distance = ndimage.distance_transform_edt(~true)
    nearest = np.argmin([at(distance, step, np.inf) for step in around], 0)
    likely = softmax(np.stack([kl(at(q, step), p) for step in around], -1))
    target = np.where(np.arange(8) == nearest[..., np.newaxis], 0.8, 0.2 / 7)
    losses = np.minimum(distance, 20) / 20 * -np.sum(target * np.log(likely), -1)
    total, count = total + np.sum(losses[predicted]), count + np.sum(predicted)
  return total, count
