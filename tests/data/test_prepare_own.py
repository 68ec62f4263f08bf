"""Your own images and masks: how they are matched, split and listed, and the names of their classes."""

import numpy as np
import pytest

from dataset import prepare_own
from tests.data.trees import flat_mask, photo, save
from utils.errors import InputError

ENDING = ('--mask-ending', '_mask')


def mask(path, *values):
  save(path, np.resize(np.array(values, np.uint8), (5, 7)))


@pytest.fixture
def own(tmp_path):
  for i in range(20):
    photo(tmp_path / 'images' / ('deep' if i < 4 else '') / f'{i:02d} né.jpg')
    flat_mask(tmp_path / 'masks' / ('deep' if i < 4 else '') / f'{i:02d} né_mask.png')
  return tmp_path


def prepare(folder, *flags):
  """Exit code, lists by name, classes.txt."""
  lists = folder / 'lists'
  code = prepare_own.main(['--data-dir', str(folder), '--list-dir', str(lists), *flags])
  written = {path.stem: path.read_text().splitlines() for path in lists.glob('*.txt')}
  return code, written, written.pop('classes', None)


def test_pairs_are_matched_by_name_and_split_by_seed(own):
  flags = ['--val-fraction', '0.2', '--test-fraction', '0.1']
  code, lists, _ = prepare(own, *ENDING, *flags)
  assert code == 0 and {name: len(lines) for name, lines in lists.items()} == {'train': 14, 'val': 4, 'test': 2}
  assert len({line for lines in lists.values() for line in lines}) == 20
  assert prepare(own, *ENDING, *flags)[1] == lists
  assert prepare(own, *ENDING, *flags, '--seed', '1')[1] != lists
  for lines_of_one in lists.values():
    for line in lines_of_one:
      image, mask = line.split('\t')
      assert mask == image.replace('images', 'masks').replace('.jpg', '_mask.png') and (own / mask).exists()


def test_files_added_later_hardly_move_the_rest(own):
  before = set(prepare(own, *ENDING, '--val-fraction', '0.5')[1]['val'])
  for i in range(20, 24):
    photo(own / 'images' / f'{i} new.jpg')
    flat_mask(own / 'masks' / f'{i} new_mask.png')
  after = set(prepare(own, *ENDING, '--val-fraction', '0.5')[1]['val'])
  assert len(before - after) <= 4


def test_what_cannot_be_listed_is_named_and_left_out(own, capsys):
  flat_mask(own / 'masks' / '05 né_mask.png', 0, 7, 5)
  photo(own / 'images' / 'alone.jpg')
  photo(own / 'images' / 'a\tb.jpg')
  flat_mask(own / 'masks' / 'a\tb_mask.png')
  code, lists, _ = prepare(own, *ENDING)
  assert code == 1 and sum(map(len, lists.values())) == 19
  err = capsys.readouterr().err
  assert '05 né_mask.png: is 5 x 7 while' in err and 'holds a tab' in err and '1 files have no label' in err


@pytest.fixture
def split(tmp_path):
  """Folders of training and validation pairs in the layout images/SPLIT, masks/SPLIT."""
  for folder, names in (('train', 'ab'), ('val', 'c')):
    for name in names:
      photo(tmp_path / 'images' / folder / f'{name}.jpg')
      mask(tmp_path / 'masks' / folder / f'{name}.png', 0, 1, 3, 255)
  return tmp_path


SPLIT = ('--images', 'images/{split}', '--masks', 'masks/{split}')


def test_folders_that_are_split_already_are_the_lists(split):
  code, lists, _ = prepare(split, *SPLIT)
  pairs = {'train': ['train/a', 'train/b'], 'val': ['val/c']}
  assert code == 0 and lists == {
    name: [f'images/{pair}.jpg masks/{pair}.png' for pair in pairs[name]] for name in ('train', 'val')
  }


def test_test_images_without_masks_are_listed_alone(split):
  photo(split / 'images' / 'test' / 'd.jpg')
  assert prepare(split, *SPLIT)[1]['test'] == ['images/test/d.jpg']
  mask(split / 'masks' / 'test' / 'd.png', 1)
  assert prepare(split, *SPLIT)[1]['test'] == ['images/test/d.jpg masks/test/d.png']


def test_segnets_layout_with_a_void_of_its_own(tmp_path):
  for folder in ('train', 'val', 'test'):
    photo(tmp_path / folder / 'a.png')
    mask(tmp_path / f'{folder}annot' / 'a.png', 0, 1, 2)
  code, lists, classes = prepare(
    tmp_path, '--images', '{split}', '--masks', '{split}annot', '--ignore-label', '2', '--val-fraction', '0.5'
  )
  assert code == 0 and lists == {name: [f'{name}/a.png {name}annot/a.png'] for name in ('train', 'val', 'test')}
  assert classes == ['class_0', 'class_1']


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (('--images', 'images/{split}', '--masks', 'masks'), r'--masks masks: holds no \{split\}'),
    (('--images', 'images', '--masks', 'mask/{split}'), 'mask/train does not exist'),
    (('--images', 'photos/{split}', '--masks', 'masks/{split}'), 'photos/train does not exist'),
    (('--images', 'images/{split}', '--masks', '{split}'), '--masks train: is not a folder'),
    (('--images', '/usr/bin', '--masks', 'masks/train'), '--images /usr/bin: is not a folder below --data-dir'),
  ],
)
def test_a_split_that_is_not_there_is_refused(split, flags, words):
  with pytest.raises(InputError, match=words):
    prepare(split, *flags)
  assert not (split / 'lists').exists()


def test_classes_follow_the_ids_in_the_masks(split, capsys):
  assert prepare(split, *SPLIT)[2] == ['class_0', 'class_1', 'class_2', 'class_3']
  assert 'hold ids up to 3 but never 2' in capsys.readouterr().err


def test_names_of_the_user_are_kept(split):
  names = split / 'classes.txt'
  names.write_text('road\n\nsky\nwide tree\ncar\nrare\n')
  assert prepare(split, *SPLIT)[2] == ['road', 'sky', 'wide tree', 'car', 'rare']
  assert names.read_text() == 'road\n\nsky\nwide tree\ncar\nrare\n'
  names.write_text('road\nsky\n')
  with pytest.raises(InputError, match='classes.txt: has 2 names while the masks hold id 3'):
    prepare(split, *SPLIT)


def test_void_among_the_classes_is_refused(split):
  with pytest.raises(InputError, match='--ignore-label 1: the masks hold 3 too'):
    prepare(split, *SPLIT, '--ignore-label', '1')


def test_binary_masks_are_told_from_ids(tmp_path, capsys):
  photo(tmp_path / 'images' / 'a.jpg')
  photo(tmp_path / 'images' / 'b.jpg')
  for name in 'ab':
    mask(tmp_path / 'masks' / f'{name}.png', 0, 255)
  prepare(tmp_path)
  assert 'two classes, 0 is background and 255 is object' in capsys.readouterr().out
  (tmp_path / 'colors.txt').write_text('0 0 0 background\n255 255 255 object\n')
  assert prepare(tmp_path, '--colors', str(tmp_path / 'colors.txt'))[2] == ['background', 'object']
