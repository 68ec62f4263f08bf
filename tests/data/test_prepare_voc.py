"""VOC 2012 with SBD: every output pixel, every line of every list, and what a second run does."""

import os
import pathlib
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from dataset import listing, prepare_voc12
from tests.data import trees
from tests.data.trees import OFFICIAL_LISTS, flat_mask, photo, png, read_list, save, snapshot
from utils import files, labels, lists
from utils.errors import InputError


def write_ids(path, ids):
  files.write_text(path, '\n'.join(ids) + '\n')


@pytest.fixture
def voc(tmp_path, rng):
  """Two official training images and one of val, one image of SBD alone; SBD has other masks for the official ones."""
  devkit, sbd = tmp_path / 'VOCdevkit', tmp_path / 'benchmark_RELEASE' / 'dataset'
  truth = {}
  for name in ('2007_000001', '2007_000002', '2007_000003', '2008_000004'):
    photo(devkit / 'VOC2012' / 'JPEGImages' / f'{name}.jpg')
    classes, ids = rng.choice([*range(21), 255], (5, 7)), rng.choice([0, 1, 2, 3, 255], (5, 7))
    truth[name] = classes.astype(np.uint8), ids.astype(np.uint8)
  for name in list(truth)[:3]:
    for folder, mask in zip(('SegmentationClass', 'SegmentationObject'), truth[name], strict=True):
      save(devkit / 'VOC2012' / folder / f'{name}.png', mask, labels.voc_colours())
  for name in ('2007_000001', '2007_000003', '2008_000004'):
    official = name != '2008_000004'
    for folder, struct, mask in zip(('cls', 'inst'), ('GTcls', 'GTinst'), truth[name], strict=True):
      mask = np.full_like(mask, 9) if official else np.where(mask == 255, 0, mask)
      write_sbd(sbd / folder / f'{name}.mat', struct, mask)
  truth['2008_000004'] = tuple(np.where(mask == 255, 0, mask) for mask in truth['2008_000004'])
  splits = devkit / 'VOC2012' / 'ImageSets' / 'Segmentation'
  write_ids(splits / 'train.txt', ['2007_000001', '2007_000002'])
  write_ids(splits / 'val.txt', ['2007_000003'])
  write_ids(splits / 'trainval.txt', ['2007_000001', '2007_000002', '2007_000003'])
  write_ids(devkit / 'VOC2012-test' / 'ImageSets' / 'Segmentation' / 'test.txt', ['2008_000009'])
  photo(devkit / 'VOC2012-test' / 'JPEGImages' / '2008_000009.jpg')
  return devkit, sbd.parent, truth


def write_sbd(path, struct, mask):
  """The struct of SBD's files: Segmentation beside fields that nobody here reads."""
  path.parent.mkdir(parents=True, exist_ok=True)
  boundaries = np.empty((20, 1), object)
  boundaries[:] = [[scipy.sparse.csc_matrix(mask == 1)]] * 20
  fields = {'Boundaries': boundaries, 'Segmentation': mask, 'CategoriesPresent': np.array([1, 2])}
  scipy.io.savemat(path, {struct: fields}, do_compression=True)


def prepare_voc(devkit, sbd, lists):
  flags = ['--data-dir', str(devkit), '--list-dir', str(lists)]
  return prepare_voc12.main(flags + (['--sbd-dir', str(sbd)] if sbd else []))


def test_voc_masks_and_lists(voc, tmp_path):
  devkit, sbd, truth = voc
  originals = snapshot(tmp_path)
  assert prepare_voc(devkit, sbd, tmp_path / 'lists') == 0
  for name, masks in truth.items():
    for folder, mask in zip(('segcls', 'seginst'), masks, strict=True):
      found, mode = png(devkit / 'VOC2012' / folder / f'{name}.png')
      assert mode == 'L'
      np.testing.assert_array_equal(found, mask)
  line = 'VOC2012/JPEGImages/{0}.jpg VOC2012/segcls/{0}.png'.format
  assert read_list(tmp_path / 'lists', 'train') == [line('2007_000001'), line('2007_000002')]
  assert read_list(tmp_path / 'lists', 'val') == [line('2007_000003')]
  assert read_list(tmp_path / 'lists', 'trainval') == [line(f'2007_00000{i}') for i in (1, 2, 3)]
  assert read_list(tmp_path / 'lists', 'train+') == [line('2007_000001'), line('2007_000002'), line('2008_000004')]
  assert read_list(tmp_path / 'lists', 'test') == ['VOC2012-test/JPEGImages/2008_000009.jpg']
  assert originals.items() <= snapshot(tmp_path).items()
  assert len(lists.read_list(str(tmp_path / 'lists' / 'train+.txt'), str(devkit), True)) == 3


def test_voc_in_parts_warns_with_reasons_and_ids(voc, tmp_path, capsys):
  devkit, _, _ = voc
  (devkit / 'VOC2012' / 'JPEGImages' / '2007_000001.jpg').unlink()
  (devkit / 'VOC2012' / 'SegmentationClass' / '2007_000003.png').unlink()
  assert prepare_voc(devkit, None, tmp_path / 'lists') == 0
  err = capsys.readouterr().err
  assert 'warning: train: 1 of the official 1464' in err
  assert '1 without an image in JPEGImages (2007_000001)' in err and '1 without a mask (2007_000003)' in err
  assert not (tmp_path / 'lists' / 'val.txt').exists()


def test_voc_one_bad_file_does_not_stop_the_rest(voc, tmp_path, capsys):
  devkit, sbd, _ = voc
  (devkit / 'VOC2012' / 'SegmentationClass' / '2007_000002.png').write_bytes(b'no picture')
  (sbd / 'dataset' / 'cls' / '2008_000004.mat').write_bytes(b'no struct')
  flat_mask(devkit / 'VOC2012' / 'SegmentationClass' / '2007_000003.png', 37)
  assert prepare_voc(devkit, sbd, tmp_path / 'lists') == 1
  err = capsys.readouterr().err
  for words in (
    '2007_000002.png: cannot be decoded',
    '2008_000004.mat: is not a MATLAB file',
    'holds 37',
    '3 files failed',
  ):
    assert words in err
  assert len(read_list(tmp_path / 'lists', 'train')) == 1
  assert sorted(os.listdir(devkit / 'VOC2012' / 'segcls')) == ['2007_000001.png']


def test_voc_test_images_unpacked_into_the_training_folder(voc, tmp_path):
  devkit, _, _ = voc
  home = devkit / 'VOC2012'
  (devkit / 'VOC2012-test' / 'JPEGImages' / '2008_000009.jpg').rename(home / 'JPEGImages' / '2008_000009.jpg')
  split = pathlib.Path('ImageSets') / 'Segmentation' / 'test.txt'
  (devkit / 'VOC2012-test' / split).rename(home / split)
  prepare_voc(devkit.parent, None, tmp_path / 'lists')
  assert read_list(tmp_path / 'lists', 'test') == ['VOC2012/JPEGImages/2008_000009.jpg']


@pytest.mark.skipif(not (OFFICIAL_LISTS / 'voc2012').is_dir(), reason='the official id lists are not on this machine')
def test_voc_lists_equal_the_official_ones(tmp_path, capsys):
  ids = {name: read_list(OFFICIAL_LISTS / 'voc2012', name) for name in ('train', 'val', 'trainval', 'test', 'trainaug')}
  devkit, sbd = tmp_path / 'VOCdevkit', tmp_path / 'sbd'
  mask, mat = save(tmp_path / 'mask.png', np.ones((1, 1), np.uint8)), tmp_path / 'mask.mat'
  scipy.io.savemat(mat, {'GTcls': {'Segmentation': np.ones((1, 1), np.uint8)}})
  sources = [(devkit / 'VOC2012' / 'JPEGImages', '.jpg', mask, {*ids['trainaug'], *ids['val']})]
  sources += [(devkit / 'VOC2012-test' / 'JPEGImages', '.jpg', mask, ids['test'])]
  sources += [(devkit / 'VOC2012' / 'SegmentationClass', '.png', mask, ids['trainval'])]
  sources += [(sbd / 'dataset' / 'cls', '.mat', mat, {*ids['trainaug']} - {*ids['train'][:500]} | {*ids['val'][:900]})]
  for folder, suffix, source, names in sources:
    folder.mkdir(parents=True)
    for name in names:
      os.link(source, folder / (name + suffix))
  for name in ('train', 'val', 'trainval', 'test'):
    home = 'VOC2012-test' if name == 'test' else 'VOC2012'
    write_ids(devkit / home / 'ImageSets' / 'Segmentation' / f'{name}.txt', ids[name])
  assert prepare_voc(devkit, sbd, tmp_path / 'lists') == 0
  assert 'official' not in capsys.readouterr().err
  for name, official in (('train+', 'trainaug'), *((name, name) for name in ('train', 'val', 'trainval', 'test'))):
    found = [pathlib.PurePath(line.split()[0]).stem for line in read_list(tmp_path / 'lists', name)]
    assert len(found) == len(ids[official]) and set(found) == set(ids[official])


def test_second_run_writes_nothing_and_mends_what_is_not_whole(voc, tmp_path, capsys):
  devkit, sbd, _ = voc
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  first = snapshot(devkit)
  capsys.readouterr()
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  assert 'segcls: 0 files written, 4 up to date' in capsys.readouterr().out
  assert snapshot(devkit) == first
  torn = devkit / 'VOC2012' / 'segcls' / '2007_000001.png'
  torn.write_bytes(torn.read_bytes()[:-20])
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  assert {path: data for path, (data, _) in snapshot(devkit).items()} == {
    path: data for path, (data, _) in first.items()
  }


def test_a_mask_that_changed_is_converted_again(voc, tmp_path):
  devkit, sbd, _ = voc
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  source = devkit / 'VOC2012' / 'SegmentationClass' / '2008_000004.png'
  save(source, np.full((5, 7), 3, np.uint8), labels.voc_colours())  # an official mask where SBD's was
  os.utime(source, (1, 1))  # unpacked with an old date
  prepare_voc(devkit, sbd, tmp_path / 'lists')
  np.testing.assert_array_equal(png(devkit / 'VOC2012' / 'segcls' / '2008_000004.png')[0], 3)


def test_merged_masks_take_the_place_of_sbd(tmp_path):
  """SegmentationClassAug, grey class ids of all images that VOC or SBD labels, gives train+ without SBD."""
  root = trees.voc(tmp_path / 'VOCdevkit')
  for name in 'bc':
    photo(root / 'VOC2012' / 'JPEGImages' / f'{name}.jpg')
    flat_mask(root / 'VOC2012' / 'SegmentationClassAug' / f'{name}.png', 5)
  (root / 'VOC2012' / 'ImageSets' / 'Segmentation' / 'val.txt').write_text('c\n')
  assert prepare_voc12.main(['--data-dir', str(root), '--list-dir', str(tmp_path / 'lists')]) == 0
  assert [line.split()[1] for line in read_list(tmp_path / 'lists', 'train+')] == [
    'VOC2012/segcls/a.png',
    'VOC2012/segcls/b.png',
  ]
  assert (tmp_path / 'lists' / 'classes.csv').read_text().splitlines()[2] == '1,aeroplane,128,0,0'


def test_an_archive_that_grows_is_refused(tmp_path):
  body = zlib.compress(bytes(64 << 20))
  data = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\0\1IM'
  (tmp_path / 'a.mat').write_bytes(data + (15).to_bytes(4, 'little') + len(body).to_bytes(4, 'little') + body)
  with pytest.raises(InputError, match='holds more than 16 MB'):
    listing.read_mat(str(tmp_path / 'a.mat'), ['x'], 'a MATLAB file', dict)
