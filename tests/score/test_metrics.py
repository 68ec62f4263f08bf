"""Every score equals a slow reading of its definition, on random and on degenerate label images."""

import functools

import numpy as np
import pytest

from tests.data.trees import save
from tests.score import scored
from utils import labels, metrics
from utils.score import boundaries, calibration, cityscapes, instances, scoring

VOID = 255


def shapes_and_labels(num_classes=4):
  """Pairs (prediction, truth): random ones, then what is easily forgotten."""
  rng = np.random.default_rng(5)
  values = [*range(num_classes), VOID]
  cases = []
  for height, width in ((23, 31), (40, 17)):
    truth = scored.blobs(rng, height, width, values)
    cases.append((scored.spoiled(rng, truth, range(num_classes + 2)), truth))
  noise = rng.integers(0, 256, [19, 26], np.uint8)
  cases.append((noise, noise[::-1].copy()))
  for height, width in ((1, 1), (1, 9), (6, 1)):
    truth = scored.blobs(rng, height, width, values)
    cases.append((scored.spoiled(rng, truth, range(num_classes)), truth))
  flat = np.full([9, 12], 2, np.uint8)
  half = flat.copy()
  half[:, 5:] = 1
  void = np.full_like(flat, VOID)
  cases += [(flat, void), (flat, flat), (half, flat), (flat, half), (void, half)]
  cases += [(half.astype(np.uint16) + 300 * (half == 1).astype(np.uint16), half), (half, half.astype(np.int32) - 2)]
  return cases


CASES = shapes_and_labels()


def valid(truth, classes):
  return (truth.astype(np.int64) >= 0) & (truth.astype(np.int64) < classes)


def slow_confusion(pred, truth, classes):
  matrix = np.zeros([classes, classes + 1], np.int64)
  for p, t in zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True):
    if 0 <= t < classes:
      matrix[t, p if 0 <= p < classes else classes] += 1
  return matrix


@pytest.mark.parametrize('classes', [1, 2, 255, 256])
@pytest.mark.parametrize('high, dtype, shape', [(256, np.uint8, [13, 21]), (70_000, np.int32, [13, 21]),
                                                (3, np.uint8, [0, 5])])  # fmt: skip
def test_confusion_of_any_number_of_classes_and_pixels(classes, high, dtype, shape):
  pred, truth = np.random.default_rng(classes).integers(0, high, [2, *shape]).astype(dtype)
  np.testing.assert_array_equal(metrics.confusion(pred, truth, classes), slow_confusion(pred, truth, classes))


@pytest.mark.parametrize('pred, truth', CASES)
def test_scores_of_a_matrix_equal_their_definitions(pred, truth):
  keep = valid(truth, 4)
  p, t = pred[keep].astype(int), truth[keep].astype(int)
  counts = np.array([[(t == c).sum(), (p == c).sum(), ((t == c) & (p == c)).sum()] for c in range(4)]).T
  iou = [((p == c) & (t == c)).sum() / n if (n := ((p == c) | (t == c)).sum()) else np.nan for c in range(4)]
  accuracy = [(p[t == c] == c).mean() if (t == c).any() else np.nan for c in range(4)]
  means = [np.nan] * 4
  if t.size:
    weighted = np.nansum([(t == c).mean() * iou[c] for c in range(4)])
    means = [np.nanmean(iou), (p == t).mean(), np.nanmean(accuracy), weighted]
  matrix = metrics.confusion(pred, truth, 4)
  np.testing.assert_array_equal(matrix, slow_confusion(pred, truth, 4))
  report = scoring.report({'confusion': matrix})
  np.testing.assert_allclose(list(report.means.values())[:4], means)
  np.testing.assert_allclose(list(report.columns.values())[:4], [iou, accuracy, *counts[:2]])
  np.testing.assert_array_equal(metrics.iou_stats(pred, truth, 4, 0), counts)


# Boundaries, by their definitions: a pixel's window, a class at a time.


def slow_regions(pred, truth, classes):
  """Ground truth and prediction as maps of classes, -1 for void and -2 for a prediction outside the classes."""
  true = np.where(valid(truth, classes), truth.astype(int), -1)
  return true, np.where(true == -1, -1, np.where(valid(pred, classes), pred.astype(int), -2))


def near_another(region, width, border):
  """bool [H, W]: whether the window of 2 width + 1 pixels around holds another region."""
  padded = np.pad(region, width, **{'constant_values': -3} if border else {'mode': 'edge'})
  windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
  return (windows != region[..., None, None]).any(axis=(2, 3))


def slow_f(truth, pred, reach):
  t, p = np.argwhere(truth), np.argwhere(pred)
  if not len(t) or not len(p):
    return 0.0
  distances = np.hypot(*(t[:, None] - p[None]).transpose(2, 0, 1))
  precision, recall = (distances.min(0) <= reach).mean(), (distances.min(1) <= reach).mean()
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('share, tolerance', [(0.1, 0.0075), (0.02, 0.06)])
@pytest.mark.parametrize('pred, truth', CASES)
def test_boundary_scores_equal_their_definitions(pred, truth, share, tolerance):
  diagonal = np.hypot(*truth.shape)
  regions = slow_regions(pred, truth, 4)
  bands = [near_another(region, max(1, round(share * diagonal)), border=True) for region in regions]
  contours = [near_another(region, 1, border=False) for region in regions]
  iou, f = np.full([2, 4], np.nan)
  for c in range(4):
    t, p = ((region == c) & near for region, near in zip(regions, bands, strict=True))
    if (t | p).any():
      iou[c] = (t & p).sum() / (t | p).sum()
    t, p = ((region == c) & near for region, near in zip(regions, contours, strict=True))
    if (t | p).any():
      f[c] = slow_f(t, p, tolerance * diagonal)
  count = functools.partial(boundaries.count, band_share=share, tolerance=tolerance)
  columns = boundaries.report(scored.counted([scored.image(pred, truth, 4)], count)).columns
  np.testing.assert_allclose(columns['boundary_iou'], iou)
  np.testing.assert_allclose(columns['boundary_f'], f, rtol=1e-6)
  for width in boundaries.WIDTHS[:4]:
    near = near_another(regions[0], width, border=False)
    expected = metrics.iou(slow_confusion(pred[near], truth[near], 4))
    np.testing.assert_allclose(columns[f'iou_within_{width}px'], expected)


def test_boundary_f_is_the_mean_over_the_images_with_a_contour():
  flat, halves = np.zeros([6, 8], np.uint8), np.repeat(np.uint8([[0, 1]]), 4, axis=1).repeat(6, axis=0)
  images = [scored.image(pred, truth, 3) for pred, truth in ((halves, halves), (flat, halves), (flat, flat))]
  columns = boundaries.report(scored.counted(images, boundaries.count)).columns
  np.testing.assert_array_equal(columns['boundary_f'], [0.5, 0.5, np.nan])


def test_contours_exactly_as_far_apart_as_the_tolerance_are_near():
  truth, pred = np.zeros([2, 25, 25], np.uint8)
  truth[9, 9] = pred[10, 16] = 1  # 1 and 7 pixels: the root of 50, which is 0.2 of the diagonal
  assert boundaries.f_scores(scored.image(pred, truth, 2), tolerance=0.2)[0, 1] == 1


@pytest.mark.parametrize('classes', [253, 256])  # regions of 8 bits, of 16
def test_boundaries_of_as_many_classes_as_eight_bits_hold(classes):
  truth = scored.blobs(np.random.default_rng(9), 30, 30, range(0, 256, 5))
  report = boundaries.report(scored.counted([scored.image(truth, truth, classes)], boundaries.count))
  assert all(np.nanmin(column) == 1 for column in report.columns.values())


# Instances.


def slow_instances(images, classes):
  """IoU and number of instances by class."""
  weighted, number, present = np.zeros(classes), np.zeros(classes), set()
  for pred, truth, ids in images:
    keep = valid(truth, classes)
    present |= {*truth[keep].tolist(), *pred[keep].tolist()}
    for instance in set(ids[keep].tolist()) - {VOID}:
      c = np.bincount(truth[keep & (ids == instance)]).argmax()
      p, t = pred[keep] == c, truth[keep] == c
      number[c] += 1
      weighted[c] += (p & t).sum() / (p | t).sum()
  return [weighted[c] / max(number[c], 1) if c in present else np.nan for c in range(classes)], number


def instance_images(deep):
  rng = np.random.default_rng(8)
  for pred, truth in CASES:
    high = 700 if deep else 12
    small = rng.integers(0, high, [truth.shape[0] // 4 + 1, truth.shape[1] // 4 + 1])
    ids = np.kron(small, np.ones([4, 4], int))[: truth.shape[0], : truth.shape[1]]
    ids[rng.random(ids.shape) < 0.1] = VOID
    yield pred, truth, ids.astype(np.uint16 if deep else np.uint8)


@pytest.mark.parametrize('deep', [False, True])
def test_instance_wise_iou_equals_its_definition(deep):
  images = list(instance_images(deep))
  report = instances.report(scored.counted([scored.image(p, t, 4, i) for p, t, i in images], instances.count))
  np.testing.assert_allclose(list(report.columns.values()), slow_instances(images, 4))


# Cityscapes' rules: by hand, and by the official program.


def cityscapes_case(seed, shape=(64, 128)):
  """Prediction and truth in train ids, instance ids as Cityscapes codes them, truth in label ids."""
  rng = np.random.default_rng(seed)
  ids = scored.blobs(rng, *shape, [0, 4, 7, 9, 11, 21, 23, 24, 25, 26, 26, 27, 29, 30, 33])
  number = scored.blobs(rng, *shape, range(4)).astype(int)
  has_instances = np.array([x.instance_size > 0 for x in labels.CITYSCAPES_LABELS[:34]])
  coded = np.where(has_instances[ids], 1000 * ids.astype(int) + number, ids).astype(np.uint16)
  truth = labels.CITYSCAPES_TRAIN_IDS[ids]
  pred = scored.spoiled(rng, np.where(truth == VOID, 0, truth).astype(np.uint8), range(19), 0.4)
  return pred, truth, coded, ids


def cityscapes_report(images):
  counted = scored.counted(images, cityscapes.count)
  return metrics.joined(scoring.report(counted), cityscapes.report(counted))


def test_cityscapes_scores_of_two_cars_on_a_road():
  road, car, truck = 0, 13, 14
  truth = np.array([[car, car, car, car, car, car, road, road]], np.uint8)
  pred = np.array([[car, car, car, truck, car, road, car, road]], np.uint8)
  coded = np.array([[26001] * 4 + [26002] * 2 + [7, 999_999]], np.int32)
  report = cityscapes_report([scored.image(pred, truth, 19, coded)])
  (size,) = (label.instance_size for label in labels.CITYSCAPES_TRAINED if label.train_id == car)
  # Of 4 and 2 pixels of cars 3 and 1 are predicted as cars, one as a truck; one pixel of the road as a car.
  assert report.columns['iiou'][car] == pytest.approx(size * (3 / 4 + 1 / 2) / (2 * size + 1))
  assert report.more['category_iiou']['vehicle'] == pytest.approx(size * (4 / 4 + 1 / 2) / (2 * size + 1))
  assert [report.more['category_iou'][name] for name in ('vehicle', 'flat')] == pytest.approx([5 / 7, 1 / 3])


def test_cityscapes_scores_equal_the_official_program(tmp_path, monkeypatch):
  """Runs where cityscapesscripts is installed, as bashscripts/test.sh does."""
  official = pytest.importorskip('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')
  cases, preds, truths = [cityscapes_case(seed) for seed in range(6)], [], []
  for i, (pred, _, coded, ids) in enumerate(cases):
    preds.append(save(tmp_path / 'pred' / f'a_{i:06d}_000000.png', labels.CITYSCAPES_LABEL_IDS[pred]))
    truths.append(save(tmp_path / 'gt' / f'a_{i:06d}_000000_gtFine_labelIds.png', ids))
    save(tmp_path / 'gt' / f'a_{i:06d}_000000_gtFine_instanceIds.png', coded)
  monkeypatch.setattr(np, 'in1d', np.isin, raising=False)  # its name in NumPy 1
  official.args.quiet, official.args.JSONOutput = True, False
  expected = official.evaluateImgLists(preds, truths, official.args)

  report = cityscapes_report([scored.image(pred, truth, 19, coded) for pred, truth, coded, _ in cases])
  for name, scores in (
    ('classScores', dict(zip(labels.CITYSCAPES.names, report.columns['iou'], strict=True))),
    ('classInstScores', dict(zip(labels.CITYSCAPES.names, report.columns['iiou'], strict=True))),
    ('categoryScores', report.more['category_iou']),
    ('categoryInstScores', report.more['category_iiou']),
  ):
    assert scores == pytest.approx({key: expected[name][key] for key in scores}, nan_ok=True)
  averages = ('averageScoreClasses', 'averageScoreInstClasses', 'averageScoreCategories', 'averageScoreInstCategories')
  means = ('mean IOU', 'mean iIOU', 'mean category IOU', 'mean category iIOU')
  np.testing.assert_allclose([report.means[name] for name in means], [expected[name] for name in averages])


def test_calibration_error_is_the_mean_distance_of_accuracy_and_confidence():
  """By bins of 1/15, over pixels whose truth and prediction are classes: three in the last bin, of which two are right,
  and a right one of confidence 0.4."""
  image = scored.image(np.uint8([[0, 0, 1, 1, 255, 1]]), np.uint8([[0, 0, 0, 1, 1, 255]]), 3)
  image.of_same_size = lambda path: np.uint8([[255, 250, 245, 102, 9, 9]])
  got = calibration.report(calibration.count(image))
  assert got.means['expected calibration error'] == pytest.approx((250 / 255 - 2 / 3) * 3 / 4 + (1 - 0.4) / 4)
  assert got.more['reliability']['share'].tolist() == [0] * 6 + [1 / 4] + [0] * 7 + [3 / 4]
