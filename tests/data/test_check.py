"""The check before training: what it lets through, and the one line it says about what it does not."""

import pathlib

import numpy as np
import pytest

from dataset import check
from tests.data.trees import raw_png, save
from utils import checks, lists
from utils.errors import InputError
from utils.labels import voc_colours


@pytest.fixture
def pair(tmp_path):
  """A sound pair of 6 x 8 pixels, classes 0 to 2 and void."""
  label = np.arange(48).reshape(6, 8) % 3
  label[0, 0] = 255
  image = np.random.default_rng(0).integers(0, 255, (6, 8, 3))
  return lists.Pair(save(tmp_path / 'a.jpg', image), save(tmp_path / 'a.png', label))


def fault(*pairs, num_classes=3, ignore_label=255):
  with pytest.raises(InputError) as caught:
    checks.check_pairs(list(pairs), num_classes, ignore_label)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_sound_pairs_pass(pair, tmp_path):
  """Without a label, with a palette, with bytes behind a picture's end, with 16 bits that are black."""
  palette = save(tmp_path / 'p.png', np.arange(48).reshape(6, 8) % 3, voc_colours())
  trailing = tmp_path / 't.jpg'
  trailing.write_bytes(pathlib.Path(pair.image).read_bytes() + b'camera notes')
  black = tmp_path / 'black.png'
  black.write_bytes(raw_png(8, 6, 16, 2, bytes((1 + 8 * 6) * 6)))
  images = [lists.Pair(str(path), palette) for path in (trailing, black)]
  checks.check_pairs([pair, lists.Pair(pair.image, None), *images], 3, 255)


def test_void_is_255_and_ignore_label_and_nothing_else(tmp_path, pair):
  label = lists.Pair(pair.image, save(tmp_path / 'v.png', np.arange(48).reshape(6, 8) % 12))
  checks.check_pairs([label], 11, 11)
  message = fault(label, num_classes=11)
  assert label.label in message and 'holds 11 (4 pixels)' in message and '--ignore-label 11' in message
  assert '8 (4 pixels), 9 (4 pixels)' in fault(label, num_classes=8)


def cut(source, target, size) -> str:
  target.write_bytes(pathlib.Path(source).read_bytes()[:size])
  return str(target)


@pytest.mark.parametrize(
  ('make', 'words'),
  [
    (lambda p, path: p._replace(label=save(path, np.full((6, 8), 255))), 'void everywhere'),
    (lambda p, path: p._replace(label=save(path, np.zeros((6, 8, 3), int))), 'is a RGB picture'),
    (lambda p, path: p._replace(label=save(path, np.zeros((8, 6), int))), 'is 6 x 8 while'),
    (lambda p, path: p._replace(label=save(path, [[38, 75, 113, 220, 0, 0, 0, 0]] * 6)), 'prepare_voc12.py'),
    (lambda p, path: p._replace(label=save(path.with_suffix('.bmp'), np.zeros((6, 8), int))), 'BMP, and labels'),
    (lambda p, path: p._replace(label=str(path)), 'no such file'),
    (lambda p, path: p._replace(image=save(path.with_suffix('.gif'), np.zeros((6, 8), int))), 'is GIF'),
    (lambda p, path: p._replace(image=cut(p.image, path, 0)), 'it is empty'),
    (lambda p, path: p._replace(image=cut(p.image, path, -2)), 'its end is missing'),
    (lambda p, path: p._replace(label=cut(p.label, path, -30)), 'cannot be decoded'),
  ],
)
def test_refuses_in_one_line_that_names_the_first_faulty_file(pair, tmp_path, make, words):
  bad = make(pair, tmp_path / 'bad.png')
  later = [pair._replace(label=f'{pair.label}.{i}') for i in range(20)]
  message = fault(pair, bad, *later)
  assert words in message and (bad.image if bad.image != pair.image else bad.label) in message


def test_checker_reports_all_it_finds(pair, tmp_path, capsys):
  stray = save(tmp_path / 's.png', np.full((6, 8), 7))
  twin = cut(pair.image, tmp_path / 'a.jpeg', None)
  lines = [('a.jpg', 'a.png'), ('a.jpeg', 's.png'), ('gone.jpg', 'a.png')]
  (tmp_path / 'list.txt').write_text('\n'.join(map(' '.join, lines)))
  flags = ['--data-dir', str(tmp_path), '--data-list', str(tmp_path / 'list.txt'), '--num-classes', '3']
  assert check.main(flags) == 1
  out, err = capsys.readouterr()
  assert 'class   1:           16 pixels' in out and 'stray   7:           48 pixels' in out and '3 problems' in out
  assert f'{stray}: holds 7 (48 pixels)' in err and 'gone.jpg is not a file' in err and f'{twin} would both' in err
  (tmp_path / 'list.txt').write_text('a.jpg a.png\n')
  assert check.main(flags) == 0
