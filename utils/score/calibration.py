"""Whether confidences are right: the reliability curve and the expected calibration error of `--confidence`'s files.

Pixels are grouped by confidence into `BINS` bins of equal width. With acc and conf the share of right pixels and the
mean confidence of bin B of n pixels' |B|, ECE = sum over B of |B| / n |acc(B) - conf(B)| (Guo et al., On calibration of
modern neural networks, ICML 2017, equation 3). Void pixels and those that `--min-confidence` left out are not counted.
"""

import numpy as np

from utils import metrics
from utils.metrics import Scores
from utils.score.scoring import ScoredImage, Sums

BINS = 15


def count(image: ScoredImage) -> Sums:
  """Pixels by their confidence in 255ths, int64 [2, 256]: all, and those that are right."""
  confidence = image.of_same_size(image.files.confidence)
  counted = metrics.class_ids(image.truth, image.num_classes) < image.num_classes
  counted &= metrics.class_ids(image.pred, image.num_classes) < image.num_classes
  right = counted & (image.pred == image.truth)
  return {'by_confidence': np.stack([np.bincount(confidence[pixels], minlength=256) for pixels in (counted, right)])}


def report(sums: Sums) -> Scores:
  """ECE, and of each bin its share of the pixels, mean confidence and accuracy, [3, BINS]; NaN for empty bins."""
  pixels, right = sums['by_confidence']
  values = np.arange(256) / 255
  place = np.minimum(np.arange(256) * BINS // 255, BINS - 1)
  number, correct, total = (np.bincount(place, x, BINS) for x in (pixels, right, pixels * values))
  accuracy, confidence = metrics.ratio(correct, number), metrics.ratio(total, number)
  share = metrics.ratio(number, number.sum())
  error = float(np.nansum(share * np.abs(accuracy - confidence))) if number.any() else float('nan')
  bins = {'share': share, 'confidence': confidence, 'accuracy': accuracy}
  return Scores({'expected calibration error': error}, {}, {'reliability': bins})
