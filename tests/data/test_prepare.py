"""Cityscapes, GTA5 and CamVid: small trees in the official layout, every output pixel, every line of every list."""

import os
import pathlib

import numpy as np
import pytest
import scipy.io

from dataset import prepare_camvid, prepare_cityscapes, prepare_gta5
from tests.data.trees import OFFICIAL_LISTS, flat_mask, photo, png, read_list, save, snapshot
from utils import images
from utils.labels import CITYSCAPES_LABELS


def cityscapes_image(root, split, city, name, rng=None):
  photo(root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png')
  if rng is None:
    return None
  labels = rng.integers(0, 34, (5, 7)).astype(np.uint8)
  labels[0, 0] = 255  # a licence plate, -1
  instances = np.where(labels > 23, labels.astype(np.uint16) * 1000 + rng.integers(0, 40, (5, 7)), labels)
  stem = root / 'gtFine' / split / city / f'{name}_gtFine'
  save(f'{stem}_labelIds.png', labels)
  save(f'{stem}_instanceIds.png', instances.astype(np.uint16))
  return labels, instances


def test_cityscapes_masks_and_lists(tmp_path, rng, capsys):
  root = tmp_path / 'cs'
  truth = {}
  for split, city, number in (('train', 'ulm', 1), ('train', 'aachen', 2), ('train', 'ulm', 0), ('val', 'lindau', 0)):
    name = f'{city}_{number:06d}_000019'
    truth[split, city, name] = cityscapes_image(root, split, city, name, rng)
  cityscapes_image(root, 'test', 'berlin', 'berlin_000000_000019', rng)  # gtFine holds a dummy for it
  cityscapes_image(root, 'val', 'lindau', 'lindau_000007_000019')
  originals = snapshot(root)
  assert prepare_cityscapes.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 0
  by_id = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14}
  by_id |= {28: 15, 31: 16, 32: 17, 33: 18}
  for (split, city, name), (labels, instances) in truth.items():
    stem = root / 'gtFineId' / split / city / f'{name}_gtFineId'
    found, mode = png(f'{stem}_labelIds.png')
    assert mode == 'L'
    np.testing.assert_array_equal(found, [[by_id.get(int(i), 255) for i in row] for row in labels])
    np.testing.assert_array_equal(images.read_label(f'{stem}_instanceIds.png'), instances)
  image, label = 'leftImg8bit/{0}/{1}/{2}_leftImg8bit.png'.format, 'gtFineId/{0}/{1}/{2}_gtFineId_labelIds.png'.format
  ordered = [('train', 'aachen', 'aachen_000002_000019'), ('train', 'ulm', 'ulm_000000_000019')]
  ordered += [('train', 'ulm', 'ulm_000001_000019')]
  assert read_list(tmp_path / 'lists', 'train') == [f'{image(*at)} {label(*at)}' for at in ordered]
  val = 'val', 'lindau', 'lindau_000000_000019'
  assert read_list(tmp_path / 'lists', 'val') == [f'{image(*val)} {label(*val)}']
  assert read_list(tmp_path / 'lists', 'test') == [image('test', 'berlin', 'berlin_000000_000019')]
  assert not (root / 'gtFineId' / 'test').exists()
  assert originals.items() <= snapshot(root).items()
  err = capsys.readouterr().err
  assert 'val: 1 of the official 500' in err and '1 without labelIds in gtFine (lindau_000007_000019)' in err


@pytest.mark.skipif(
  not (OFFICIAL_LISTS / 'cityscapes').is_dir(), reason='the official id lists are not on this machine'
)
def test_cityscapes_lists_equal_the_official_ones(tmp_path, capsys):
  picture = save(tmp_path / 'picture.png', np.ones((1, 1), np.uint8))
  ids = {name: read_list(OFFICIAL_LISTS / 'cityscapes', name) for name in ('train', 'val', 'test')}
  for split, names in ids.items():
    for name in names:
      for folder, kind in (('leftImg8bit', 'leftImg8bit'), ('gtFine', 'gtFine_labelIds')):
        path = tmp_path / 'cs' / folder / split / name.split('_')[0] / f'{name}_{kind}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(picture, path)
  assert prepare_cityscapes.main(['--data-dir', str(tmp_path / 'cs'), '--list-dir', str(tmp_path / 'lists')]) == 0
  assert 'official' not in capsys.readouterr().err
  for split, names in ids.items():
    found = [pathlib.PurePath(line.split()[0]).name for line in read_list(tmp_path / 'lists', split)]
    assert sorted(found) == sorted(f'{name}_leftImg8bit.png' for name in names)


def test_gta5_ids_palettes_and_colours_become_train_ids(tmp_path, rng, capsys):
  root = tmp_path / 'gta5'
  labels = CITYSCAPES_LABELS[:34]
  ids = rng.integers(0, 34, (5, 7)).astype(np.uint8)
  ids[ids == 18] = 17  # a pole group has a pole's colour: only its id tells them apart
  expected = [[labels[i].train_id for i in row] for row in ids]
  colours = np.zeros((256, 3), np.uint8)
  colours[:34] = [label.colour for label in labels]
  save(root / 'labels' / '00001.png', ids)
  save(root / 'labels' / '00002.png', ids, colours)
  save(root / 'labels' / '00003.png', colours[ids])
  order = rng.permutation(34)
  reordered = np.zeros((256, 3), np.uint8)
  reordered[order] = colours[:34]
  save(root / 'labels' / '00004.png', order[ids].astype(np.uint8), reordered)
  groups = np.full((5, 7), 18, np.uint8)
  save(root / 'labels' / '00005.png', groups, colours)
  save(root / 'labels' / '00006.png', np.full((9, 9), 7, np.uint8))
  for i in range(1, 8):
    photo(root / 'images' / f'{i:05d}.png')
  scipy.io.savemat(root / 'split.mat', {'trainIds': [[1], [2]], 'valIds': [[3], [6]], 'testIds': [[4], [7]]})
  originals = snapshot(root)
  assert prepare_gta5.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 0
  for i in range(1, 5):
    np.testing.assert_array_equal(png(root / 'trainids' / f'0000{i}.png')[0], expected)
  np.testing.assert_array_equal(png(root / 'trainids' / '00005.png')[0], 255)
  line = 'images/0000{0}.png trainids/0000{0}.png'.format
  expected_lists = {'all': [1, 2, 3, 4, 5], 'train': [1, 2], 'val': [3], 'test': [4]}
  assert {name: read_list(tmp_path / 'lists', name) for name in expected_lists} == {
    name: list(map(line, numbers)) for name, numbers in expected_lists.items()
  }
  assert originals.items() <= snapshot(root).items()
  err = capsys.readouterr().err
  assert '1 with a label of another size (00006)' in err and '1 without a label (00007)' in err


def test_gta5_static_things_are_void_and_strange_colours_a_fault(tmp_path, capsys):
  root = tmp_path / 'gta5'
  photo(root / 'images' / '00001.png')
  photo(root / 'images' / '00002.png')
  save(root / 'labels' / '00001.png', np.full((5, 7, 3), 20, np.uint8))
  save(root / 'labels' / '00002.png', np.full((5, 7, 3), (129, 64, 128), np.uint8))
  assert prepare_gta5.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 1
  assert (
    '00002.png: the pixel at x 0, y 0 has the colour (129, 64, 128), which belongs to no class (35 pixels'
    in capsys.readouterr().err
  )
  np.testing.assert_array_equal(png(root / 'trainids' / '00001.png')[0], 255)


def test_camvid_lists(tmp_path, capsys):
  root = tmp_path / 'CamVid'
  for split, names in (('train', 'abc'), ('val', 'd'), ('test', 'e')):
    for name in names:
      photo(root / split / f'{name}.{"jpg" if split == "train" else "png"}')
      if name != 'b':
        flat_mask(root / f'{split}annot' / f'{name}.png')
  assert not prepare_camvid.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')])
  assert read_list(tmp_path / 'lists', 'train') == ['train/a.jpg trainannot/a.png', 'train/c.jpg trainannot/c.png']
  assert read_list(tmp_path / 'lists', 'val') == ['val/d.png valannot/d.png']
  assert read_list(tmp_path / 'lists', 'test') == ['test/e.png testannot/e.png']
  assert '1 without a label in trainannot (b)' in capsys.readouterr().err
