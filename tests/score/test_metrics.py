"""Every score equals a slow reading of its definition, on random and on degenerate label images."""

import numpy as np
import pytest

from tests.score import scored
from utils.data import labels
from utils.score import boundaries, cityscapes, metrics, scoring

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


@pytest.mark.parametrize('pred, truth', CASES)
def test_confusion_equals_a_loop_over_pixels(pred, truth):
  np.testing.assert_array_equal(metrics.confusion(pred, truth, 4), slow_confusion(pred, truth, 4))


@pytest.mark.parametrize('classes', [1, 2, 255, 256])
def test_confusion_of_any_number_of_classes(classes):
  rng = np.random.default_rng(classes)
  for high in (256, 70_000):
    pred, truth = (rng.integers(0, high, [13, 21]).astype(np.uint8 if high == 256 else np.int32) for _ in range(2))
    np.testing.assert_array_equal(metrics.confusion(pred, truth, classes), slow_confusion(pred, truth, classes))


def test_confusion_of_nothing_is_zero():
  nothing = np.zeros([0, 5], np.uint8)
  assert not metrics.confusion(nothing, nothing, 3).any()


@pytest.mark.parametrize('pred, truth', CASES)
def test_scores_of_a_matrix_equal_their_definitions(pred, truth):
  keep = valid(truth, 4)
  p, t = pred[keep].astype(int), truth[keep].astype(int)
  matrix = metrics.confusion(pred, truth, 4)
  iou = [((p == c) & (t == c)).sum() / n if (n := ((p == c) | (t == c)).sum()) else np.nan for c in range(4)]
  accuracy = [(p[t == c] == c).mean() if (t == c).any() else np.nan for c in range(4)]
  weights = [(t == c).mean() if t.size else np.nan for c in range(4)]
  weighted = np.nansum(np.multiply(weights, iou)) if t.size else np.nan
  np.testing.assert_allclose(metrics.iou(matrix), iou)
  np.testing.assert_allclose(metrics.class_accuracy(matrix), accuracy)
  np.testing.assert_allclose(metrics.pixel_accuracy(matrix), (p == t).mean() if t.size else np.nan)
  np.testing.assert_allclose(metrics.frequency_weighted_iou(matrix), weighted)
  known = [value for value in iou if value == value]
  np.testing.assert_allclose(metrics.mean(metrics.iou(matrix)), np.mean(known) if known else np.nan)
  counts = metrics.iou_stats(pred, truth, 4, 0)
  np.testing.assert_array_equal(counts, [[(t == c).sum() for c in range(4)], [(p == c).sum() for c in range(4)],
                                         [((t == c) & (p == c)).sum() for c in range(4)]])  # fmt: skip


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


@pytest.mark.parametrize('pred, truth', CASES)
def test_boundary_iou_equals_its_definition(pred, truth):
  width = max(1, round(0.1 * np.hypot(*truth.shape)))
  regions = slow_regions(pred, truth, 4)
  bands = [near_another(region, width, border=True) for region in regions]
  expected = []
  for c in range(4):
    t, p = ((region == c) & near for region, near in zip(regions, bands, strict=True))
    expected.append((t & p).sum() / (t | p).sum() if (t | p).any() else np.nan)
  metric = boundaries.BoundaryIoU(4, share=0.1)
  metric.add(scored.image(pred, truth, 4))
  np.testing.assert_allclose(metric.report().columns['boundary_iou'], expected)


def slow_f(truth, pred, reach):
  t, p = np.argwhere(truth), np.argwhere(pred)
  if not len(t) or not len(p):
    return 0.0
  distances = np.hypot(*(t[:, None] - p[None]).transpose(2, 0, 1))
  precision, recall = (distances.min(0) <= reach).mean(), (distances.min(1) <= reach).mean()
  return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize('tolerance', [0.0075, 0.06])
def test_boundary_f_equals_its_definition(tolerance):
  scores = [[] for _ in range(4)]
  metric = boundaries.BoundaryF(4, tolerance)
  for pred, truth in CASES:
    contours = [np.where(near_another(region, 1, border=False), region, -1) for region in slow_regions(pred, truth, 4)]
    for c in range(4):
      t, p = (contour == c for contour in contours)
      if t.any() or p.any():
        scores[c].append(slow_f(t, p, tolerance * np.hypot(*truth.shape)))
    metric.add(scored.image(pred, truth, 4))
  np.testing.assert_allclose(metric.report().columns['boundary_f'], [np.mean(s) for s in scores], rtol=1e-6)


@pytest.mark.parametrize('pred, truth', CASES)
def test_trimap_equals_the_iou_of_the_band(pred, truth):
  metric = boundaries.Trimap(4, widths=(1, 3))
  metric.add(scored.image(pred, truth, 4))
  columns = metric.report().columns
  for width in (1, 3):
    near = near_another(slow_regions(pred, truth, 4)[0], width, border=False)
    expected = metrics.iou(slow_confusion(pred[near], truth[near], 4))
    np.testing.assert_allclose(columns[f'iou_within_{width}px'], expected)


@pytest.mark.parametrize('make', [boundaries.BoundaryIoU, boundaries.BoundaryF])
def test_perfect_boundaries_score_one_whatever_is_predicted_in_void(make):
  rng = np.random.default_rng(2)
  truth = scored.blobs(rng, 40, 50, [0, 1, 2, VOID])
  pred = np.where(truth == VOID, rng.integers(0, 5, truth.shape), truth)
  metric = make(3)
  metric.add(scored.image(pred.astype(np.uint8), truth, 3))
  (scores,) = metric.report().columns.values()
  np.testing.assert_array_equal(scores, np.ones(3))


def test_boundaries_of_as_many_classes_as_eight_bits_hold():
  rng = np.random.default_rng(9)
  truth = scored.blobs(rng, 30, 30, range(0, 256, 5))
  for make in boundaries.METRICS.values():
    few, many = make(253), make(256)
    few.add(scored.image(truth, truth, 253))
    many.add(scored.image(truth, truth, 256))
    one, other = few.report().columns, many.report().columns
    assert one.keys() == other.keys() and all(np.nanmin(column) == 1 for column in other.values())


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
  metric = scored.fed(scoring.InstanceWise(4), [scored.image(p, t, 4, i) for p, t, i in images])
  expected, number = slow_instances(images, 4)
  np.testing.assert_allclose(metric.iou(), expected)
  np.testing.assert_array_equal(metric.instances, number)


def test_a_class_that_is_predicted_alone_scores_0_as_it_does_by_pixels():
  pred, truth = np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 1, 1, VOID]], np.uint8)
  metric = scored.fed(scoring.InstanceWise(4), [scored.image(pred, truth, 4, np.array([[0, 1, 1, 2]], np.uint8))])
  np.testing.assert_array_equal(metric.iou(), [1, 0.5, 0, np.nan])
  assert metric.report().means == {'mean instance-wise IOU': 0.5}


def test_void_and_unlabelled_instances_are_none():
  truth = np.array([[0, 0, VOID, 1]], np.uint8)
  ids = np.array([[3, VOID, 7, 0]], np.uint8)
  np.testing.assert_array_equal(scoring.instances_by_class(truth, ids, 2), [1, 1])


# Cityscapes' rules: by hand, and by the official program.


def cityscapes_case(seed, shape=(30, 40)):
  """Prediction and truth in train ids, instance ids as Cityscapes codes them, truth in label ids."""
  rng = np.random.default_rng(seed)
  ids = scored.blobs(rng, *shape, [0, 4, 7, 9, 11, 21, 23, 24, 25, 26, 26, 27, 29, 30, 33])
  number = scored.blobs(rng, *shape, range(4)).astype(int)
  has_instances = np.array([x.instance_size > 0 for x in labels.CITYSCAPES_LABELS[:34]])
  instances = np.where(has_instances[ids], 1000 * ids.astype(int) + number, ids).astype(np.uint16)
  to_train = np.full(256, VOID, np.uint8)
  for label in labels.CITYSCAPES_TRAINED:
    to_train[label.id] = label.train_id
  truth = to_train[ids]
  pred = scored.spoiled(rng, np.where(truth == VOID, 0, truth).astype(np.uint8), range(19), 0.4)
  return pred, truth, instances, ids


def test_cityscapes_scores_of_two_cars_on_a_road():
  road, car, truck = 0, 13, 14
  truth = np.array([[car, car, car, car, car, car, road, road]], np.uint8)
  pred = np.array([[car, car, car, truck, car, road, car, road]], np.uint8)
  image = scored.image(pred, truth, 19, np.array([[26001] * 4 + [26002] * 2 + [7, 7]], np.uint16))
  (size,) = (label.instance_size for label in labels.CITYSCAPES_TRAINED if label.train_id == car)
  weighted = scored.fed(cityscapes.InstanceWeighted(19), [image]).report()
  plain = scored.fed(cityscapes.Categories(19), [image]).report()
  # Of 4 and 2 pixels of cars 3 and 1 are predicted as cars, one as a truck; one pixel of the road as a car.
  assert weighted.columns['iiou'][car] == pytest.approx(size * (3 / 4 + 1 / 2) / (2 * size + 1))
  assert weighted.more['category_iiou']['vehicle'] == pytest.approx(size * (4 / 4 + 1 / 2) / (2 * size + 1))
  assert (plain.more['category_iou']['vehicle'], plain.more['category_iou']['flat']) == pytest.approx((5 / 7, 1 / 3))


def test_cityscapes_scores_equal_the_official_program(tmp_path, monkeypatch):
  """Runs where cityscapesscripts is installed, as bashscripts/test.sh does."""
  official = pytest.importorskip('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')
  back = np.array([label.id for label in labels.CITYSCAPES_TRAINED], np.uint8)
  cases, preds, truths = [cityscapes_case(seed, (64, 128)) for seed in range(6)], [], []
  for i, (pred, _, instances, ids) in enumerate(cases):
    preds.append(scored.save(tmp_path / 'pred' / f'a_{i:06d}_000000.png', back[pred]))
    truths.append(scored.save(tmp_path / 'gt' / f'a_{i:06d}_000000_gtFine_labelIds.png', ids))
    scored.save(tmp_path / 'gt' / f'a_{i:06d}_000000_gtFine_instanceIds.png', instances)
  monkeypatch.setattr(np, 'in1d', np.isin, raising=False)  # its name in NumPy 1
  official.args.quiet, official.args.JSONOutput = True, False
  expected = official.evaluateImgLists(preds, truths, official.args)

  images = [scored.image(pred, truth, 19, instances) for pred, truth, instances, _ in cases]
  weighted = scored.fed(cityscapes.InstanceWeighted(19), images).report()
  plain = scored.fed(cityscapes.Categories(19), images).report()
  matrix = scored.fed(scoring.Confusion(19), images).report()
  names = [label.name for label in labels.CITYSCAPES_TRAINED]
  np.testing.assert_allclose(matrix.columns['iou'], [expected['classScores'][name] for name in names])
  np.testing.assert_allclose(weighted.columns['iiou'], [expected['classInstScores'][name] for name in names])
  for ours, theirs in (
    (plain.more['category_iou'], 'categoryScores'),
    (weighted.more['category_iiou'], 'categoryInstScores'),
  ):
    assert ours == pytest.approx({name: expected[theirs][name] for name in ours}, nan_ok=True)
  averages = ('averageScoreClasses', 'averageScoreInstClasses', 'averageScoreCategories', 'averageScoreInstCategories')
  means = (matrix.means['mean IOU'], weighted.means['mean iIOU'], plain.means['mean category IOU'],
           weighted.means['mean category iIOU'])  # fmt: skip
  np.testing.assert_allclose(means, [expected[name] for name in averages])
