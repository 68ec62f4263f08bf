"""Labels that a confident prediction contradicts come first."""

import cv2
import numpy as np
import scipy.special

from dataset import make_demo, suspects
from tests import tiny
from tests.data import trees
from tests.predict import predicted
from utils import errors

checkpoint = predicted.checkpoint


def test_soft_minimum_lies_near_the_least():
  scores = np.array([0.1, 0.9, 0.9])
  weights = np.exp([9, 1, 1])
  assert np.isclose(suspects.soft_minimum(scores), (weights * scores).sum() / weights.sum())
  assert 0.1 < suspects.soft_minimum(scores) < 0.11 and np.isclose(suspects.soft_minimum(np.full(9, 0.3)), 0.3)


def test_void_does_not_count():
  label = np.random.default_rng(0).integers(0, 3, (20, 20))
  right = np.eye(3, dtype=np.float32)[label]
  label[5:9, 5:15] = 255
  np.testing.assert_allclose(suspects.pixel_scores(right, label), 1)
  assert suspects.regions(np.zeros((20, 20)), label, (label + 1) % 3, label == 255) == []


def simulated(random, truth: np.ndarray, classes: int) -> np.ndarray:
  """Probabilities as of a network that is unsure at borders and misses in places: logits of a blurred, moved truth and
  smooth noise."""
  moved = np.roll(truth, random.integers(-2, 3, 2), (0, 1))
  evidence = cv2.GaussianBlur(np.eye(classes, dtype=np.float32)[moved], (0, 0), 2)
  noise = np.concatenate([make_demo.noise(random, *truth.shape, 12) for _ in range(classes)], -1)
  return scipy.special.softmax(7 * evidence + noise, -1).astype(np.float32)


def test_swapped_regions_are_found():
  """Of 20 labels of 101 in which one region of 1.5 % of the image or more has another class, 18 are in the first 25,
  and the region is listed first in its image."""
  classes, random = len(make_demo.CLASSES), np.random.default_rng(0)
  scores, swapped, first = [], set(random.choice(101, 20, replace=False).tolist()), 0
  for number in range(101):
    label = make_demo.draw_scene(np.random.default_rng([0, 1, number]), 96, 120)[1]
    probabilities = simulated(random, np.minimum(label, classes - 1), classes)
    box = None
    if number in swapped:
      parts = []
      for value in np.unique(label[label < classes]):
        _, part, boxes, _ = cv2.connectedComponentsWithStats((label == value).astype(np.uint8))
        parts += [(value, part == i, boxes[i]) for i in range(1, len(boxes)) if boxes[i, 4] >= 0.015 * label.size]
      value, part, box = parts[random.integers(len(parts))]
      label[part] = (value + random.integers(1, classes)) % classes
    quality, valid = suspects.pixel_scores(probabilities, label), label < classes
    scores.append(suspects.soft_minimum(quality[valid]))
    found = suspects.regions(quality, label, probabilities.argmax(-1), valid)
    if box is not None and found:
      left, top, width, height, _ = box
      x, y = (found[0].left + found[0].right) / 2, (found[0].top + found[0].bottom) / 2
      first += left <= x <= left + width and top <= y <= top + height and found[0].predicted == value
  assert len(swapped & set(np.argsort(scores)[:25].tolist())) >= 18
  assert first >= 18


def test_a_list_is_ranked_and_pictured(checkpoint, tmp_path, capsys):
  """The labels are the network's own predictions, but for one region."""
  words = ['--image-dir', tmp_path / 'images', '--save-dir', tmp_path / 'out']
  for name in 'abc':
    predicted.picture(tmp_path / 'images' / f'{name}.png', 60, 80, seed=ord(name))
  network = [*predicted.NETWORK, *predicted.WINDOWS, '--restore-from', checkpoint]
  assert predicted.run([*network, *map(str, words)]) == 0
  label = predicted.gray(tmp_path / 'out', 'b').copy()
  part = label[20:40, 30:60]
  most = int(np.bincount(part.ravel()).argmax())
  part[part == most] = (most + 1) % 3
  trees.save(tmp_path / 'out' / 'gray' / 'b.png', label)
  (tmp_path / 'list.txt').write_text(''.join(f'images/{name}.png out/gray/{name}.png\n' for name in 'abc'))
  words = ['--data-dir', tmp_path, '--data-list', tmp_path / 'list.txt', '--out', tmp_path / 'found', '--pictures', 2]
  assert errors.run(suspects.main, [*network, *map(str, words)]) == 0
  rows = tiny.rows(tmp_path / 'found' / 'suspects.csv')
  assert [row['rank'] for row in rows] == sorted(row['rank'] for row in rows) and rows[-1]['rank'] == '3'
  assert rows[0]['image'].endswith('b.png') and float(rows[0]['image_score']) < float(rows[-1]['image_score'])
  assert (rows[0]['given'], rows[0]['predicted']) == (f'class {(most + 1) % 3}', f'class {most}')
  left, top, right, bottom = (int(rows[0][side]) for side in ('left', 'top', 'right', 'bottom'))
  assert 30 <= left < right <= 60 and 20 <= top < bottom <= 40
  assert rows[-1]['given'] == rows[-1]['left'] == ''  # nothing is contradicted there
  (tmp_path / 'found' / '003_old.png').write_bytes(b'of an earlier ranking')
  assert errors.run(suspects.main, [*network, *map(str, words)]) == 0
  pictures = sorted(path.name for path in (tmp_path / 'found').glob('*.png'))
  assert len(pictures) == 2 and pictures[0] == '001_b.png'
  assert trees.png(tmp_path / 'found' / '001_b.png')[0].shape == (60, 240, 3)
