"""Labels that a confident prediction contradicts come first."""

import numpy as np

from dataset import suspects
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


def test_a_swapped_region_is_more_suspect_than_every_border():
  """Of 8 x 8 pixels, by a network that is sure but for 8 columns; it is framed, and nothing else is."""
  label = np.repeat([[0, 1]], 40, 1).repeat(60, 0)
  probabilities = np.eye(3)[label]
  probabilities[:, 36:44] = 0.55 * probabilities[:, 36:44] + 0.15
  borders = suspects.soft_minimum(suspects.pixel_scores(probabilities, label))
  label[10:18, 10:18] = 2
  quality = suspects.pixel_scores(probabilities, label)
  assert quality[10:18, 10:18].max() < 0.75 and quality[14, 14] == 0
  assert suspects.soft_minimum(quality) < borders - 0.1
  (region,) = suspects.regions(quality, label, probabilities.argmax(-1), label < 3)
  assert region[:7] == (10, 10, 18, 18, 64, 2, 0)
  scores = quality[10:18, 10:18]
  assert np.allclose(region[7:], (suspects.soft_minimum(scores), (1 - scores).sum()))


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
