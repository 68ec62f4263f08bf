"""How well predictions follow the truth's boundaries: boundary IoU, boundary F-score, mIoU near boundaries.

All of them look at `ScoredImage.regions`: the edge of void is an edge of both, truth and prediction.
"""

import cv2
import numpy as np

from utils.score import metrics
from utils.score.image import Report, ScoredImage

BAND = 0.02  # of the image's diagonal: the band of boundary IoU, its authors' default
TOLERANCE = 0.0075  # of the image's diagonal: the tolerance of the F-score, as its authors chose it
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


class BoundaryIoU:
  """The IoU of the parts of a class that lie within a distance of their own contours, over the data set.

  Cheng et al., Boundary IoU, CVPR 2021, equation 2; the distance is 2 % of the diagonal, and the image's border is a
  contour, as in the authors' code.
  """

  def __init__(self, num_classes: int, share: float = BAND):
    self.num_classes, self.share = num_classes, share
    self.truth, self.pred, self.both = (np.zeros(num_classes, np.int64) for _ in range(3))

  def add(self, image: ScoredImage) -> None:
    truth, pred = image.regions
    width = max(1, round(self.share * np.hypot(*truth.shape)))
    truth_band, pred_band = band(truth, width, border=True), band(pred, width, border=True)
    both = truth_band & pred_band & (truth == pred)
    for counts, labels in ((self.truth, truth[truth_band]), (self.pred, pred[pred_band]), (self.both, truth[both])):
      counts += np.bincount(labels, minlength=self.num_classes)[: self.num_classes]

  def join(self, other: 'BoundaryIoU') -> None:
    self.truth += other.truth
    self.pred += other.pred
    self.both += other.both

  def report(self) -> Report:
    iou = metrics.ratio(self.both, self.truth + self.pred - self.both)
    return Report({'mean boundary IOU': metrics.mean(iou)}, {'boundary_iou': iou})


class BoundaryF:
  """The boundary F-score: F of precision (predicted contour pixels of a class near the truth's contour of that class)
  and recall (the reverse), per class and image; a class' score is its mean over the images in which either has a
  contour of it.

  Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013, section 2.2. Near: at most
  0.75 % of the diagonal away. A contour pixel touches another region, diagonally or not; the image's border is none.
  """

  def __init__(self, num_classes: int, tolerance: float = TOLERANCE):
    self.tolerance = tolerance
    self.sum, self.images = np.zeros(num_classes), np.zeros(num_classes, np.int64)

  def add(self, image: ScoredImage) -> None:
    contours = [np.where(band(labels, 1, border=False), labels, image.num_classes) for labels in image.regions]
    reach = self.tolerance * np.hypot(*image.truth.shape)
    for c in np.union1d(*contours):
      if c < image.num_classes:
        self.sum[c] += f_score(contours[0] == c, contours[1] == c, reach)
        self.images[c] += 1

  def join(self, other: 'BoundaryF') -> None:
    self.sum += other.sum
    self.images += other.images

  def report(self) -> Report:
    scores = metrics.ratio(self.sum, self.images)
    return Report({'mean boundary F': metrics.mean(scores)}, {'boundary_f': scores})


def f_score(truth: np.ndarray, pred: np.ndarray, reach: float) -> float:
  """2PR / (P + R) of two sets of pixels, bool [H, W], not both empty; pixels match within `reach` (Euclidean)."""
  if not truth.any() or not pred.any():
    return 0.0
  either = truth | pred
  rows, columns = (np.flatnonzero(either.any(axis=axis)) for axis in (1, 0))
  window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # beyond it there is nothing to match
  truth, pred = truth[window], pred[window]
  precision = (distance_to(truth)[pred] <= reach).mean()
  recall = (distance_to(pred)[truth] <= reach).mean()
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def distance_to(pixels: np.ndarray, metric: int = cv2.DIST_L2) -> np.ndarray:
  """float32 [H, W]: the distance of each pixel to the nearest of `pixels`, of which there is at least one."""
  mask = cv2.DIST_MASK_PRECISE if metric == cv2.DIST_L2 else cv2.DIST_MASK_3
  return cv2.distanceTransform((~pixels).astype(np.uint8), metric, mask)


class Trimap:
  """mIoU over the pixels with another region of the truth at most w pixels away, for several w: the trimap curve.

  Kohli et al., Robust higher order potentials for enforcing label consistency, IJCV 2009, section 6; void counts as
  another region, as in VOC, where it lies on the boundaries. Distances are taken as in `band`.
  """

  def __init__(self, num_classes: int, widths: tuple[int, ...] = WIDTHS):
    self.widths = widths
    self.rings = np.zeros((len(widths), num_classes, num_classes + 1), np.int64)  # truth, prediction by nearest width

  def add(self, image: ScoredImage) -> None:
    truth, _ = image.regions
    contour = band(truth, 1, border=False)
    if not contour.any():
      return
    ring = np.searchsorted(self.widths, distance_to(contour, cv2.DIST_C) + 1)
    near = (ring < len(self.widths)) & (truth < image.num_classes)
    cells = image.num_classes * (image.num_classes + 1)
    code = metrics.clip(image.pred[near], image.num_classes).astype(np.int64)
    code = np.minimum(code, image.num_classes) + (image.num_classes + 1) * truth[near] + cells * ring[near]
    self.rings += np.bincount(code, minlength=self.rings.size).reshape(self.rings.shape)

  def join(self, other: 'Trimap') -> None:
    self.rings += other.rings

  def report(self) -> Report:
    curve = {width: metrics.iou(matrix) for width, matrix in zip(self.widths, self.rings.cumsum(axis=0), strict=True)}
    means = {f'mean IOU within {width} px of boundaries': metrics.mean(iou) for width, iou in curve.items()}
    return Report(means, {f'iou_within_{width}px': iou for width, iou in curve.items()})


METRICS = {'boundary IoU': BoundaryIoU, 'boundary F': BoundaryF, 'trimap': Trimap}
