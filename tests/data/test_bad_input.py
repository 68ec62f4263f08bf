"""What the scripts below dataset/ say about bad input: one line that names the cause and the fix, and no
partial output."""

import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from dataset import check, make_demo, prepare_camvid, prepare_cityscapes, prepare_gta5, prepare_own, prepare_voc12
from tests.data.trees import camvid, cityscapes, flat_mask, gta5, own, photo, raw_png, voc
from utils import errors


def pair(folder, name='a', line=None):
  """An image and its label, and a list that names them."""
  photo(folder / f'{name}.jpg', 6, 8)
  flat_mask(folder / f'{name}.png', 0, 6, 8)
  (folder / 'list.txt').write_text(f'{name}.jpg {name}.png\n' if line is None else line)
  return folder


def words_of(script, folder, flags) -> list[str]:
  """The script gets the folder as --data-dir and writes lists to folder/lists."""
  argv = ['--out-dir' if script is make_demo else '--data-dir', folder]
  argv += [flag.replace('HERE', str(folder)) for flag in flags]
  if script.__name__.startswith('dataset.prepare') and '--list-dir' not in argv:
    argv += ['--list-dir', folder / 'lists']
  return [*map(str, argv)]


LIST = ['--data-list', 'HERE/list.txt']
# script, how its folder is made, flags, what the one line holds
BAD_USE = [
  (check, pair, [], '--data-list is empty'),
  (check, pair, ['--data-list', 'HERE/gone.txt'], 'gone.txt: no such list file'),
  (check, lambda f: pair(f, line=' \n\n'), LIST, 'holds no line'),
  (check, pair, [*LIST, '--ignore-label', '3'], '--ignore-label 3 is a class (0 to 20'),
  (make_demo, lambda f: f, ['--image-size', '96,8'], 'give height,width from 64 to 4096'),
  (make_demo, lambda f: (f / 'VOCdevkit').mkdir() or f, [], 'a VOCdevkit that is not demo data'),
  (prepare_voc12, lambda f: f, [], 'holds no VOC2012/JPEGImages'),
  (prepare_voc12, lambda f: (voc(f) / 'VOC2012/segcls').symlink_to('SegmentationClass'), [], 'the original itself'),
  (prepare_voc12, lambda f: (voc(f) / 'VOC2012/segcls').symlink_to(f), [], 'segcls: is a link'),
  (prepare_voc12, lambda f: (voc(f) / 'VOC2012/segcls').write_text(''), [], 'segcls: cannot be written'),
  (prepare_cityscapes, lambda f: (f / 'leftImg8bit').mkdir(), [], 'holds no gtFine; unpack leftImg8bit_train'),
  (prepare_camvid, lambda f: f, [], 'holds no train'),
  (prepare_camvid, camvid, ['--list-dir', 'HERE/train/a.png'], '--list-dir '),
  (prepare_camvid, lambda f: photo(camvid(f) / 'train/a.jpg'), [], 'a.png: differs from'),
  (prepare_gta5, lambda f: f, [], 'holds no images/*.png and labels/*.png'),
  (prepare_gta5, lambda f: (gta5(f) / 'labels/00001.png').rename(f / 'labels/2.png'), [], '*.png of one name'),
  (prepare_gta5, gta5, ['--split-file', 'HERE/gone.mat'], 'gone.mat: no such file'),
  (prepare_gta5, gta5, ['--split-file', 'HERE/images/00001.png'], 'is not a MATLAB file with trainIds'),
  (prepare_own, own, ['--mask-ending', '_m'], 'check the folder and --mask-ending'),
  (prepare_own, own, ['--mask-ending', '-m'], '; one that begins with - is given with --mask-ending='),
  (prepare_own, lambda f: (own(f) / 'masks/a.png').rename(f / 'masks/b.png'), [], 'no image has the name of a label'),
  (prepare_own, own, ['--images', 'images/{split}'], '--masks masks: holds no {split}'),
  (prepare_own, own, ['--masks', 'mask/{split}'], 'mask/train does not exist'),
  (prepare_own, own, ['--images', 'photos/{split}', '--masks', 'masks/{split}'], 'photos/train does not exist'),
  (prepare_own, own, ['--images', '/usr/bin'], '--images /usr/bin: is not a folder below --data-dir'),
  (prepare_own, own, ['--coco', 'x.json', '--zero-is-void'], 'not allowed with argument --coco'),
  (prepare_own, own, ['--val-fraction', '.6', '--test-fraction', '.5'], 'leave no train'),
]


@pytest.mark.parametrize(('script', 'make', 'flags', 'words'), BAD_USE)
def test_refused_in_one_line_with_nothing_written(refused, tmp_path, script, make, flags, words):
  make(tmp_path)
  refused(script.main, words_of(script, tmp_path, flags), words)


# What a bad file in a good folder leads to: it is named, the rest is done, the code is 1.
def pipe(path):
  path.unlink(missing_ok=True)
  os.mkfifo(path)


def cityscapes_file(folder, kind):
  return cityscapes(folder) / 'gtFine' / 'train' / 'ulm' / f'b_gtFine_{kind}.png'


def sbd_file(folder):
  (voc(folder) / 'sbd' / 'cls').mkdir(parents=True)
  return folder / 'sbd' / 'cls' / 'b.mat'


def own_file(folder):
  photo(own(folder) / 'images' / 'b.png')
  return folder / 'masks' / 'b.png'


def gta5_image(folder, end=None):
  """A second pair, whose image ends at byte `end`, beside folders that are named like images. Returns where its label
  goes."""
  flat_mask(gta5(folder) / 'labels' / '00002.png', 7)
  image = pathlib.Path(photo(folder / 'images' / '00002.png'))
  image.write_bytes(image.read_bytes()[:end])
  for name in ('images', 'labels'):
    (folder / name / '00003.png').mkdir()
  return folder / 'trainids' / '00002.png'


def deep(folder, colour, value):
  (pair(folder) / 'a.jpg').write_bytes(raw_png(8, 6, 16, colour, (b'\0' + value * 8 * (colour + 1)) * 6))


def unreadable(folder):
  photo(own(folder) / 'images' / 'private' / 'b.png')
  (folder / 'images' / 'private').chmod(0)


def long_names(folder):
  """Names of 254 bytes, and one mask that cannot be read."""
  Image.new('RGB', (7, 5)).save(own_file(folder).parents[1] / 'images' / f'{"n" * 250}.tif')
  flat_mask(folder / 'masks' / f'{"n" * 250}.png', 255)
  (folder / 'masks' / 'b.png').write_bytes(b'')


NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason='root may read every folder')
BOMB = raw_png(50000, 50000, 8, 2, bytes(100))
RGB, GREY, CLEAR = (Image.new(mode, (8, 6)) for mode in ('RGB', 'L', 'RGBA'))
BAD_FILES = [
  (check, lambda f: pair(f, line='a.jpg a.png extra\n'), LIST, 'is not `image label`'),
  (check, lambda f: pipe(pair(f) / 'a.jpg'), LIST, 'a.jpg is not a file'),
  (check, lambda f: (pair(f) / 'a.jpg').write_bytes(BOMB), LIST, 'cut it into parts'),
  (check, lambda f: deep(f, 0, b'\x0f\xa0'), LIST, 'a.jpg: has 16 bits a sample but no value above 4095, so the'),
  (check, lambda f: deep(f, 2, b'\x3f\xff'), LIST, 'no value above 16383, so the'),
  (check, lambda f: deep(f, 2, b'\x00\x07'), LIST, 'no value above 255, so the'),
  (check, lambda f: Image.new('I;16', (8, 6), 300).save(pair(f) / 'a.png'), LIST, 'holds 300 (48 pixels)'),
  (prepare_voc12, lambda f: flat_mask(voc(f) / 'VOC2012/SegmentationClass/b.png', 37), [], 'b.png: holds 37, which is'),
  (prepare_voc12, lambda f: sbd_file(f).write_bytes(b''), ['--sbd-dir', 'HERE/sbd'], 'b.mat: is not a MATLAB file'),
  (prepare_cityscapes, lambda f: cityscapes_file(f, 'labelIds').write_bytes(b''), [], 'Ids.png: cannot be decoded'),
  (prepare_cityscapes, lambda f: RGB.save(cityscapes_file(f, 'instanceIds')), [], 'is a RGB picture'),
  (prepare_gta5, lambda f: gta5_image(f, -20), [], '00002.png: cannot be decoded (its end is missing)'),
  (prepare_gta5, lambda f: gta5_image(f).mkdir(parents=True), [], '00002.png: is a folder, not a file'),
  (prepare_gta5, lambda f: CLEAR.save(gta5(f) / 'labels/00002.png'), [], '00002.png: has transparent pixels'),
  (prepare_gta5, lambda f: CLEAR.convert('LA').save(gta5(f) / 'labels/00002.png'), [], 'is a LA picture, not one of'),
  (prepare_gta5, lambda f: GREY.save(gta5(f) / 'labels/00002.png', 'JPEG'), [], 'is JPEG, not a PNG of'),
  (prepare_own, lambda f: pipe(own_file(f)), [], 'b.png: is a pipe, not a file'),
  (prepare_own, long_names, ['--val-fraction', '0'], 'b.png: cannot be decoded'),
  pytest.param(prepare_own, unreadable, [], 'private: Permission denied; its files are left out', marks=NOT_ROOT),
]


@pytest.mark.parametrize(('script', 'make', 'flags', 'words'), BAD_FILES)
def test_a_bad_file_is_named_and_the_rest_is_done(capsys, tmp_path, script, make, flags, words):
  make(tmp_path)
  assert errors.run(script.main, words_of(script, tmp_path, flags)) == 1
  err = capsys.readouterr().err
  lines = [line for line in err.splitlines() if line.startswith('error: ')]
  assert any(words in line for line in lines) and 'Traceback' not in err
  if script is not check:
    assert list((tmp_path / 'lists').glob('*.txt'))
  assert not list(tmp_path.rglob('.*'))


def test_a_disk_that_fills_up_is_one_line_and_leaves_no_half_file(capsys, tmp_path, full_disk):
  cityscapes(tmp_path)
  with full_disk(40):
    assert errors.run(prepare_cityscapes.main, words_of(prepare_cityscapes, tmp_path, [])) == 1
  err = capsys.readouterr().err
  last = err.splitlines()[-1]
  assert last.startswith('error: ') and 'Traceback' not in err
  assert 'gtFineId_labelIds.png: cannot be written (File too large)' in last
  assert not [path for path in (tmp_path / 'gtFineId').rglob('*') if path.is_file()]


FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'dataset'
PROGRAMS = [path for path in sorted(FOLDER.glob('*.py')) if '__main__' in path.read_text(encoding='utf-8')]


@pytest.mark.parametrize('program', PROGRAMS, ids=lambda path: path.stem)
def test_every_program_starts_from_any_folder(program, tmp_path):
  assert subprocess.run([sys.executable, program, '--help'], cwd=tmp_path, capture_output=True).returncode == 0
