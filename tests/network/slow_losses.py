"""The affinity losses as the paper writes them: a NumPy loop over the pixels, in float64. What the fast ones equal."""

import numpy as np


def pairs(labels, num_classes, size):
  """(image, centre, neighbour) of every pair that counts; pixels are (y, x)."""
  count, height, width = labels.shape
  steps = (-size, 0, size)
  around = [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]

  def is_class(n, y, x):
    return 0 <= y < height and 0 <= x < width and 0 <= int(labels[n, y, x]) < num_classes

  for n, y, x in np.ndindex(count, height, width):
    for dy, dx in around:
      if is_class(n, y, x) and is_class(n, y + dy, x + dx) and is_class(n, y - dy, x - dx):
        yield n, (y, x), (y + dy, x + dx)


def sums_and_counts(labels, probs, num_classes, margin, sizes):
  """Sums by centre label and size (edge [C, S], nonedge [C, S]); counts (edge [S], nonedge [S])."""
  sums, counts = np.zeros([2, num_classes, len(sizes)]), np.zeros([2, len(sizes)])
  probs = np.asarray(probs, np.float64)
  for s, size in enumerate(sizes):
    for n, i, j in pairs(labels, num_classes, size):
      p_i, p_j = (np.clip(probs[(n, *pixel)], 1e-4, 1) for pixel in (i, j))
      q_i, q_j = (np.clip(1 - probs[(n, *pixel)], 1e-4, 1) for pixel in (i, j))
      kl = p_j * np.log(p_j / p_i) + q_j * np.log(q_j / q_i)
      label_i, label_j = int(labels[(n, *i)]), int(labels[(n, *j)])
      edge = (np.arange(num_classes) == label_i) != (np.arange(num_classes) == label_j)
      sums[0, label_i, s] += np.maximum(0, margin - kl[edge]).sum()
      sums[1, label_i, s] += kl[~edge].sum()
      counts[:, s] += edge.sum(), (~edge).sum()
  return sums, counts


def losses(labels, probs, num_classes, margin, weights, sizes):
  """Means over the edge and over the non-edge entries of each size, [2, S]; weights [2, C, S], 1 for the plain loss."""
  sums, counts = sums_and_counts(labels, probs, num_classes, margin, sizes)
  return np.divide((weights * sums).sum(1), counts, out=np.zeros_like(counts), where=counts > 0)
