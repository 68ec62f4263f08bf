"""Cityscapes, GTA5, CamVid and VOC 2012 with SBD: small trees in the official layout, every output pixel, every line of
every list, and what a second run does."""

import os
import re
import zlib

import numpy as np
import pytest
import scipy.io

from dataset import listing, prepare_camvid, prepare_cityscapes, prepare_gta5, prepare_voc12
from tests.data import trees
from tests.data.trees import flat_mask, photo, png, read_list, save, snapshot, tick
from utils import files, images, labels, lists
from utils.errors import InputError
from utils.labels import CITYSCAPES_LABELS


def official(err: str) -> dict[str, tuple]:
  """List -> how many lines it has, of how many, by the warnings."""
  found = re.findall(r'warning: (\S+): (\d+) of the official (\d+) images', err)
  return {name: (int(number), int(whole)) for name, number, whole in found}


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


def test_cityscapes_masks_and_lists(tmp_path, capsys):
  root, rng = tmp_path / 'cs', np.random.default_rng(0)
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
  for (split, city, name), (ids, instances) in truth.items():
    stem = root / 'gtFineId' / split / city / f'{name}_gtFineId'
    found, mode = png(f'{stem}_labelIds.png')
    assert mode == 'L'
    np.testing.assert_array_equal(found, [[by_id.get(int(i), 255) for i in row] for row in ids])
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
  assert '1 without a label (lindau/lindau_000007_000019)' in err
  assert official(err) == {'train': (3, 2975), 'val': (1, 500), 'test': (1, 1525)}


def test_gta5_ids_palettes_and_colours_become_train_ids(tmp_path, capsys):
  root, rng = tmp_path / 'gta5', np.random.default_rng(0)
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
  save(root / 'labels' / '00005.png', np.full((5, 7), 18, np.uint8), colours)  # groups of poles
  save(root / 'labels' / '00006.png', np.full((5, 7, 3), 20, np.uint8))  # static things
  save(root / 'labels' / '00007.png', np.full((9, 9), 7, np.uint8))
  save(root / 'labels' / '00008.png', np.full((5, 7, 3), (129, 64, 128), np.uint8))
  for i in range(1, 10):
    photo(root / 'images' / f'{i:05d}.png')
  scipy.io.savemat(root / 'split.mat', {'trainIds': [[1], [2]], 'valIds': [[3], [7]], 'testIds': [[4], [9]]})
  originals = snapshot(root)
  assert prepare_gta5.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 1
  for i in range(1, 7):
    np.testing.assert_array_equal(png(root / 'trainids' / f'0000{i}.png')[0], expected if i < 5 else 255)
  line = 'images/0000{0}.png trainids/0000{0}.png'.format
  expected_lists = {'all': [1, 2, 3, 4, 5, 6], 'train': [1, 2], 'val': [3], 'test': [4]}
  assert {name: read_list(tmp_path / 'lists', name) for name in expected_lists} == {
    name: list(map(line, numbers)) for name, numbers in expected_lists.items()
  }
  assert originals.items() <= snapshot(root).items()
  err = capsys.readouterr().err
  assert '1 with a label of another size (00007)' in err and '1 without a label (00009)' in err
  words = '00008.png: the pixel at x 0, y 0 has the colour (129, 64, 128), which belongs to no class (35 pixels'
  assert words in err


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
  err = capsys.readouterr().err
  assert '1 without a label (b)' in err
  assert official(err) == {'train': (2, 367), 'val': (1, 101), 'test': (1, 233)}


def write_ids(path, ids):
  files.write_text(path, '\n'.join(ids) + '\n')


@pytest.fixture
def voc(tmp_path):
  """Two official training images and one of val, one image of SBD alone; SBD has other masks for the official ones."""
  devkit, sbd = tmp_path / 'VOCdevkit', tmp_path / 'benchmark_RELEASE' / 'dataset'
  truth, rng = {}, np.random.default_rng(0)
  for name in ('2007_000001', '2007_000002', '2007_000003', '2008_000004'):
    photo(devkit / 'VOC2012' / 'JPEGImages' / f'{name}.jpg')
    classes, ids = rng.choice([*range(21), 255], (5, 7)), rng.choice([0, 1, 2, 3, 255], (5, 7))
    truth[name] = classes.astype(np.uint8), ids.astype(np.uint8)
  photo(devkit / 'VOC2012' / 'JPEGImages' / 'small' / '2007_000003.jpg')  # copies of the user's own, in no list
  flat_mask(devkit / 'VOC2012' / 'SegmentationClass' / 'small' / '2007_000003.png')
  for name in list(truth)[:3]:
    for folder, mask in zip(('SegmentationClass', 'SegmentationObject'), truth[name], strict=True):
      save(devkit / 'VOC2012' / folder / f'{name}.png', mask, labels.voc_colours())
  for name in ('2007_000001', '2007_000003', '2008_000004'):
    official = name != '2008_000004'
    for folder, struct, mask in zip(('cls', 'inst'), ('GTcls', 'GTinst'), truth[name], strict=True):
      mask = np.full_like(mask, 9) if official else np.where(mask == 255, 0, mask)
      (sbd / folder).mkdir(parents=True, exist_ok=True)
      fields = {'Segmentation': mask, 'CategoriesPresent': [1, 2]}  # of which one is read
      scipy.io.savemat(sbd / folder / f'{name}.mat', {struct: fields}, do_compression=True)
  truth['2008_000004'] = tuple(np.where(mask == 255, 0, mask) for mask in truth['2008_000004'])
  splits = devkit / 'VOC2012' / 'ImageSets' / 'Segmentation'
  write_ids(splits / 'train.txt', ['2007_000001', '2007_000002'])
  write_ids(splits / 'val.txt', ['2007_000003'])
  write_ids(splits / 'trainval.txt', ['2007_000001', '2007_000002', '2007_000003'])
  write_ids(devkit / 'VOC2012-test' / 'ImageSets' / 'Segmentation' / 'test.txt', ['2008_000009'])
  photo(devkit / 'VOC2012-test' / 'JPEGImages' / '2008_000009.jpg')
  return devkit, sbd.parent, truth


def prepare_voc(devkit, sbd, lists):
  flags = ['--data-dir', str(devkit), '--list-dir', str(lists)]
  return prepare_voc12.main(flags + (['--sbd-dir', str(sbd)] if sbd else []))


def test_voc_masks_and_lists(voc, tmp_path, capsys):
  devkit, sbd, truth = voc
  originals = snapshot(tmp_path)
  assert prepare_voc(devkit, sbd, tmp_path / 'lists') == 0
  for name, masks in truth.items():
    for folder, mask in zip(('segcls', 'seginst'), masks, strict=True):
      found, mode = png(devkit / 'VOC2012' / folder / f'{name}.png')
      assert mode == 'L'
      np.testing.assert_array_equal(found, mask)
  line = 'VOC2012/JPEGImages/{0}.jpg VOC2012/segcls/{0}.png'.format
  one, two, three, four = map(line, truth)
  expected = {'train': [one, two], 'val': [three], 'trainval': [one, two, three], 'train+': [one, two, four]}
  expected['test'] = ['VOC2012-test/JPEGImages/2008_000009.jpg']
  assert {name: read_list(tmp_path / 'lists', name) for name in expected} == expected
  assert originals.items() <= snapshot(tmp_path).items()
  assert len(lists.read_list(str(tmp_path / 'lists' / 'train+.txt'), str(devkit), True)) == 3
  numbers = {'train': (2, 1464), 'val': (1, 1449), 'trainval': (3, 2913), 'train+': (3, 10582), 'test': (1, 1456)}
  assert official(capsys.readouterr().err) == numbers


def test_voc_in_parts_and_test_images_in_the_training_folder(voc, tmp_path, capsys):
  devkit, home = voc[0], voc[0] / 'VOC2012'
  (home / 'JPEGImages' / '2007_000001.jpg').unlink()
  (home / 'SegmentationClass' / '2007_000003.png').unlink()
  for name in ('JPEGImages/2008_000009.jpg', 'ImageSets/Segmentation/test.txt'):
    (devkit / 'VOC2012-test' / name).rename(home / name)
  assert prepare_voc(devkit.parent, None, tmp_path / 'lists') == 0
  err = capsys.readouterr().err
  assert '1 without an image (2007_000001)' in err and '1 without a label (2007_000003)' in err
  assert not (tmp_path / 'lists' / 'val.txt').exists()
  assert read_list(tmp_path / 'lists', 'test') == ['VOC2012/JPEGImages/2008_000009.jpg']


def test_another_run_converts_what_is_not_whole_or_changed(voc, tmp_path, capsys):
  devkit, sbd, _ = voc
  tick(tmp_path)
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  first = snapshot(devkit)
  capsys.readouterr()
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  assert 'segcls: 0 files written, 4 up to date' in capsys.readouterr().out
  assert snapshot(devkit) == first
  torn = devkit / 'VOC2012' / 'segcls' / '2007_000001.png'
  whole = torn.read_bytes()
  torn.write_bytes(whole[:-20])
  source = devkit / 'VOC2012' / 'SegmentationClass' / '2008_000004.png'
  save(source, np.full((5, 7), 3, np.uint8), labels.voc_colours())  # an official mask where SBD's was
  os.utime(source, (1, 1))  # unpacked with an old date
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  assert 'segcls: 2 files written, 2 up to date' in capsys.readouterr().out and torn.read_bytes() == whole
  assert torn.stat().st_mode == source.stat().st_mode  # the permissions of any new file
  np.testing.assert_array_equal(png(devkit / 'VOC2012' / 'segcls' / '2008_000004.png')[0], 3)


def test_merged_masks_take_the_place_of_sbd(tmp_path):
  """SegmentationClassAug, grey class ids of all images that VOC or SBD labels, gives train+ without SBD."""
  root = trees.voc(tmp_path / 'VOCdevkit')
  for name in 'bc':
    photo(root / 'VOC2012' / 'JPEGImages' / f'{name}.jpg')
    flat_mask(root / 'VOC2012' / 'SegmentationClassAug' / f'{name}.png', 5)
  (root / 'VOC2012' / 'ImageSets' / 'Segmentation' / 'val.txt').write_text('c\n')
  assert prepare_voc12.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 0
  masks = [line.split()[1] for line in read_list(tmp_path / 'lists', 'train+')]
  assert masks == ['VOC2012/segcls/a.png', 'VOC2012/segcls/b.png']
  assert (tmp_path / 'lists' / 'classes.csv').read_text().splitlines()[2] == '1,aeroplane,128,0,0'


def test_an_archive_that_grows_is_refused(tmp_path):
  body = zlib.compress(bytes((16 << 20) + 1))
  data = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\0\1IM'
  (tmp_path / 'a.mat').write_bytes(data + (15).to_bytes(4, 'little') + len(body).to_bytes(4, 'little') + body)
  with pytest.raises(InputError, match='holds more than 16 MB'):
    listing.read_mat(str(tmp_path / 'a.mat'), ['x'], 'a MATLAB file', dict)
