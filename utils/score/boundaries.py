"""How well predictions follow the boundaries of the ground truth: boundary IoU, boundary F-score, mIoU near boundaries.

All use `ScoredImage.regions`, in which an edge of void is an edge of both ground truth and prediction.
"""

import cv2
import numpy as np

from utils.score import metrics
from utils.score.image import Metric, Report, ScoredImage

BAND = 0.02  # of the image's diagonal: the band of boundary IoU, its authors' default
TOLERANCE = 0.0075  # of the image's diagonal: the tolerance of the F-score, its authors' choice
WIDTHS = (1, 2, 4, 8, 16, 32)  # pixels: the bands of the trimap curve


def band(labels: np.ndarray, width: int, border: bool) -> np.ndarray:
  """bool [H, W]: the pixels with another region at most `width` pixels away in each direction (diagonals too).

  With `border`, the outside of the image is another region.
  """
  window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
  edge = {'borderType': cv2.BORDER_REPLICATE}
  if border:
    edge = {'borderType': cv2.BORDER_CONSTANT, 'borderValue': float(np.iinfo(labels.dtype).max)}
  return cv2.dilate(labels, window, **edge) != cv2.erode(labels, window, **edge)


class BoundaryIoU(Metric):
  """The IoU, over the data set, of the pixels of a class within a distance of their own contours.

  Cheng et al., Boundary IoU, CVPR 2021, equation 2; the distance is 2 % of the diagonal, and the image's border is a
  contour, as in the authors' code.
  """

  def __init__(self, num_classes: int, share: float = BAND):
    self.num_classes, self.share = num_classes, share
    self.pixels = np.zeros((3, num_classes), np.int64)  # near contours: of ground truth, of prediction, in both

  def add(self, image: ScoredImage) -> None:
    truth, pred = image.regions
    width = max(1, round(self.share * np.hypot(*truth.shape)))
    truth_band, pred_band = band(truth, width, border=True), band(pred, width, border=True)
    both = truth_band & pred_band & (truth == pred)
    for counts, labels in zip(self.pixels, (truth[truth_band], pred[pred_band], truth[both]), strict=True):
      counts += np.bincount(labels, minlength=self.num_classes)[: self.num_classes]

  def report(self) -> Report:
    truth, pred, both = self.pixels
    iou = metrics.ratio(both, truth + pred - both)
    return Report({'mean boundary IOU': metrics.mean(iou)}, {'boundary_iou': iou})


class BoundaryF(Metric):
  """The F-score of precision (predicted contour pixels of a class near true contour pixels of that class) and recall
  (the reverse), per class and image; the mean over the images in which either has a contour of the class.

  Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013, section 2.2. Near: at most
  0.75 % of the diagonal away. A contour pixel touches another region, diagonally or not; the image's border is none.
  """

  def __init__(self, num_classes: int, tolerance: float = TOLERANCE):
    self.tolerance = tolerance
    self.f_sum, self.images = np.zeros(num_classes), np.zeros(num_classes, np.int64)

  def add(self, image: ScoredImage) -> None:
    contours = [np.where(band(labels, 1, border=False), labels, image.num_classes) for labels in image.regions]
    distance = self.tolerance * np.hypot(*image.truth.shape)
    for c in np.union1d(*contours):
      if c < image.num_classes:
        self.f_sum[c] += f_score(contours[0] == c, contours[1] == c, distance)
        self.images[c] += 1

  def report(self) -> Report:
    scores = metrics.ratio(self.f_sum, self.images)
    return Report({'mean boundary F': metrics.mean(scores)}, {'boundary_f': scores})


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
  """float32 [H, W]: the distance of each pixel to the nearest of `pixels`, of which there is at least one."""
  mask = cv2.DIST_MASK_PRECISE if metric == cv2.DIST_L2 else cv2.DIST_MASK_3
  return cv2.distanceTransform((~pixels).astype(np.uint8), metric, mask)


class Trimap(Metric):
  """The trimap curve: mIoU over the pixels with another region of the ground truth at most w pixels away, by w.

  Kohli et al., Robust higher order potentials for enforcing label consistency, IJCV 2009, section 6. Void is another
  region, as in VOC, where it lies on the boundaries. Distances are those of `band`.
  """

  def __init__(self, num_classes: int, widths: tuple[int, ...] = WIDTHS):
    self.widths = widths
    # A confusion matrix of each ring: the pixels nearer than one width but not nearer than the width before.
    self.rings = np.zeros((len(widths), num_classes, num_classes + 1), np.int64)

  def add(self, image: ScoredImage) -> None:
    truth, _ = image.regions
    contour = band(truth, 1, border=False)
    if not contour.any():
      return
    ring = np.searchsorted(self.widths, distance_to(contour, cv2.DIST_C) + 1)
    for i, matrix in enumerate(self.rings):
      matrix += metrics.confusion(image.pred[ring == i], image.truth[ring == i], image.num_classes)

  def report(self) -> Report:
    curve = {width: metrics.iou(matrix) for width, matrix in zip(self.widths, self.rings.cumsum(axis=0), strict=True)}
    means = {f'mean IOU within {width} px of boundaries': metrics.mean(iou) for width, iou in curve.items()}
    return Report(means, {f'iou_within_{width}px': iou for width, iou in curve.items()})


METRICS = {'boundary IoU': BoundaryIoU, 'boundary F': BoundaryF, 'trimap': Trimap}
