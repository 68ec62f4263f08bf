"""How well predictions follow the boundaries of the ground truth.

Boundary IoU: the IoU, over the data set, of the pixels of a class within a distance of their own contours (Cheng et
  al., Boundary IoU, CVPR 2021, equation 2). The distance is 2 % of the diagonal, and the image's border is a contour,
  as in the authors' code.
Boundary F-score: of precision (predicted contour pixels of a class near true contour pixels of that class) and recall
  (the reverse), per class and image; the mean over the images in which either has a contour of the class (Csurka et
  al., What is a good evaluation measure for semantic segmentation?, BMVC 2013, section 2.2). Near: at most 0.75 % of
  the diagonal away. A contour pixel touches another region, diagonally or not; the image's border is not a contour.
Trimap curve: mIoU over the pixels with another region of the ground truth at most w pixels away, by w (Kohli et al.,
  Robust higher order potentials for enforcing label consistency, IJCV 2009, section 6). Void is another region, as in
  VOC, where it lies on the boundaries.

All use `ScoredImage.regions`, in which an edge of void is an edge of both ground truth and prediction.
"""

import cv2
import numpy as np

from utils import metrics
from utils.metrics import Scores
from utils.score.scoring import ScoredImage, Sums

BAND = 0.02  # of the image's diagonal: the distance of boundary IoU
TOLERANCE = 0.0075  # of the image's diagonal: the distance of the F-score
WIDTHS = (1, 2, 4, 8, 16, 32)  # pixels: the distances of the trimap curve


def count(image: ScoredImage, band_share: float = BAND, tolerance: float = TOLERANCE) -> Sums:
  """`band_share` and `tolerance` are distances as fractions of the image's diagonal."""
  return {
    'near_contours': near_contours(image, band_share),
    'f_scores': f_scores(image, tolerance),
    'rings': rings(image),
  }


def report(sums: Sums) -> Scores:
  return metrics.joined(of_contours(sums), trimap_curve(sums))


def of_contours(sums: Sums) -> Scores:
  truth, pred, both = sums['near_contours']
  iou, f = metrics.ratio(both, truth + pred - both), metrics.ratio(*sums['f_scores'])
  means = {'mean boundary IOU': metrics.mean(iou), 'mean boundary F': metrics.mean(f)}
  return Scores(means, {'boundary_iou': iou, 'boundary_f': f})


def trimap_curve(sums: Sums) -> Scores:
  curve = {width: metrics.iou(matrix) for width, matrix in zip(WIDTHS, sums['rings'].cumsum(axis=0), strict=True)}
  means = {f'mean IOU within {width} px of boundaries': metrics.mean(iou) for width, iou in curve.items()}
  return Scores(means, {f'iou_within_{width}px': iou for width, iou in curve.items()})


def band(labels: np.ndarray, width: int, border: bool) -> np.ndarray:
  """bool [H, W]: the pixels with another region at most `width` pixels away in each direction (diagonals too).

  With `border`, the outside of the image is another region.
  """
  window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
  edge = {'borderType': cv2.BORDER_REPLICATE}
  if border:
    edge = {'borderType': cv2.BORDER_CONSTANT, 'borderValue': float(np.iinfo(labels.dtype).max)}
  return cv2.dilate(labels, window, **edge) != cv2.erode(labels, window, **edge)


def near_contours(image: ScoredImage, band_share: float) -> np.ndarray:
  """The pixels near their own contours by class, [3, C]: of ground truth, of prediction, in both."""
  truth, pred = image.regions
  width = max(1, round(band_share * np.hypot(*truth.shape)))
  truth_band, pred_band = band(truth, width, border=True), band(pred, width, border=True)
  both = truth_band & pred_band & (truth == pred)
  regions = (truth[truth_band], pred[pred_band], truth[both])
  return np.stack([np.bincount(ids, minlength=image.num_classes)[: image.num_classes] for ids in regions])


def f_scores(image: ScoredImage, tolerance: float) -> np.ndarray:
  """The F-score of each class, 0 where it has none, and whether it has one: [2, C]."""
  contours = [np.where(band(labels, 1, border=False), labels, image.num_classes) for labels in image.regions]
  distance = tolerance * np.hypot(*image.truth.shape) * (1 + 1e-6)  # OpenCV's roots err by as much as 1e-7
  scores = np.zeros((2, image.num_classes))
  for c in np.union1d(*contours):
    if c < image.num_classes:
      scores[:, c] = f_score(contours[0] == c, contours[1] == c, distance), 1
  return scores


def f_score(truth: np.ndarray, pred: np.ndarray, distance: float) -> float:
  """2PR / (P + R) of two sets of pixels, bool [H, W], not both empty; pixels match within a Euclidean `distance`."""
  if not truth.any() or not pred.any():
    return 0.0
  either = truth | pred
  rows, columns = (np.flatnonzero(either.any(axis=axis)) for axis in (1, 0))
  window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # holds all pixels of both sets
  truth, pred = truth[window], pred[window]
  precision = (distance_to(truth)[pred] <= distance).mean()
  recall = (distance_to(pred)[truth] <= distance).mean()
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def distance_to(pixels: np.ndarray, metric: int = cv2.DIST_L2) -> np.ndarray:
  """float32 [H, W]: the distance of each pixel to the nearest of `pixels`, a large number if there is none."""
  mask = cv2.DIST_MASK_PRECISE if metric == cv2.DIST_L2 else cv2.DIST_MASK_3
  return cv2.distanceTransform((~pixels).astype(np.uint8), metric, mask)


def rings(image: ScoredImage) -> np.ndarray:
  """A confusion matrix of each ring, [rings, C, C + 1]: the pixels that have another region of the ground truth at most
  one of `WIDTHS` away, as `band` measures it, but not within the width before."""
  contour = band(image.regions[0], 1, border=False)
  ring = np.searchsorted(WIDTHS, distance_to(contour, cv2.DIST_C) + 1)
  inside = [ring == i for i in range(len(WIDTHS))]
  return np.stack([metrics.confusion(image.pred[x], image.truth[x], image.num_classes) for x in inside])
