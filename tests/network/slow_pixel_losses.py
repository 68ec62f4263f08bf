"""The losses as their papers write them: loops over images, classes and pixels, in float64."""

import itertools

import numpy as np

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


def lovasz(labels, logits):
  """The Jaccard loss of every set of worst pixels, weighted by the steps of the sorted errors."""
  total, classes = 0.0, logits.shape[-1]
  for label, probs in zip(labels, softmax(logits), strict=True):
    there = labelled(label, classes)
    losses = []
    for c in sorted(set(label[there])):
      truth, errors = label[there] == c, np.abs((label[there] == c) - probs[there][:, c])
      worst = np.argsort(-errors)
      errors = np.append(errors[worst], 0)
      for k in range(len(worst)):
        wrong = np.isin(np.arange(len(truth)), worst[: k + 1])
        jaccard = np.sum(truth & ~wrong) / np.sum(truth | wrong)
        losses.append((errors[k] - errors[k + 1]) * (1 - jaccard))
    total += sum(losses) / max(len(set(label[there])), 1)
  return total


def dice(labels, logits):
  total, classes = 0.0, logits.shape[-1]
  for label, probs in zip(labels, softmax(logits), strict=True):
    there = labelled(label, classes)
    losses = []
    for c in set(label[there]):
      p, t = probs[there][:, c], label[there] == c
      losses.append(1 - 2 * np.sum(p * t) / (np.sum(p**2) + np.sum(t)))
    total += np.mean(losses) if losses else 0
  return total


def focal(labels, logits):
  there = labelled(labels, logits.shape[-1])
  p = np.take_along_axis(softmax(logits)[there], labels[there][:, np.newaxis], -1)
  return -np.sum((1 - p) ** 2 * np.log(p))


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


def abl(labels, logits, moving=None, neighbours=None):
  """The sum and the number of the predicted boundary's pixels. `moving`, `neighbours`: those of another prediction."""
  total, count, classes = 0.0, 0, logits.shape[-1]
  height, width = labels.shape[1:]
  pixels = list(itertools.product(range(height), range(width)))
  every_p = softmax(logits)
  every_neighbour = every_p if neighbours is None else softmax(neighbours)
  every_moving = every_p if moving is None else softmax(moving)
  for label, p, of_neighbour, of_moving in zip(labels, every_p, every_neighbour, every_moving, strict=True):
    void = ~labelled(label, classes)
    on_boundary, change = void.copy(), np.zeros(label.shape)
    for y, x in pixels:
      for j in ((y + 1, x), (y, x + 1)):
        if j[0] < height and j[1] < width:
          on_boundary[y, x] |= label[y, x] != label[j]
          change[y, x] = max(change[y, x], np.sum(of_moving[y, x] * np.log(of_moving[y, x] / of_moving[j])))
    epsilon = max(np.sort(change.ravel())[::-1][max(1, len(pixels) // 100)], 1e-5)
    predicted = np.argwhere(change > epsilon)
    true = np.argwhere(on_boundary)
    if not len(true):
      continue

    def distance(y, x, true=true):
      return np.min(np.hypot(*(true - (y, x)).T))

    for y, x in pixels:
      if void[y, x] or not len(predicted) or np.min(np.max(np.abs(predicted - (y, x)), 1)) > 1:
        continue
      steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
      inside = [0 <= y + dy < height and 0 <= x + dx < width for dy, dx in steps]
      far = [distance(y + dy, x + dx) if there else np.inf for (dy, dx), there in zip(steps, inside, strict=True)]
      clipped = [(min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)) for dy, dx in steps]
      z = np.array([np.sum(of_neighbour[j] * np.log(of_neighbour[j] / p[y, x])) for j in clipped])
      log_q = z - np.log(np.sum(np.exp(z)))
      target = np.full(8, 0.2 / 7)
      target[int(np.argmin(far))] = 0.8
      total += min(distance(y, x), 20) / 20 * -np.dot(target, log_q)
      count += 1
  return total, count
