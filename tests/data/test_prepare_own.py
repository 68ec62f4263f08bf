"""prepare_own: how images and labels are matched, split and listed, the names of the classes, and what is wrong with
labels, in one line. Every form of labels gives the same masks."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.data import labelled
from tests.data.labelled import classes, label, lines
from tests.data.trees import flat_mask, photo, save, tick, turned
from utils import images
from utils.labels import read_classes, voc_colours

ENDING = ('--mask-ending', '_mask')
SPLIT = ('--images', 'images/{split}', '--masks', 'masks/{split}')


def prepare(folder, *flags) -> int:
  return labelled.prepare(folder, '--val-fraction', '0.5', *flags)


def mask(path, *values):
  save(path, np.resize(values, (5, 7)))


@pytest.fixture
def own(tmp_path):
  for i in range(20):
    sub = 'deep' if i < 4 else ''
    photo(tmp_path / 'images' / sub / f'{i:02d} né.jpg')
    flat_mask(tmp_path / 'masks' / sub / f'{i:02d} né_mask.png')
  return tmp_path


@pytest.fixture
def split(tmp_path):
  """Folders of training and validation pairs in the layout images/SPLIT, masks/SPLIT."""
  for folder, names in (('train', 'ab'), ('val', 'c')):
    for name in names:
      photo(tmp_path / 'images' / folder / f'{name}.jpg')
      mask(tmp_path / 'masks' / folder / f'{name}.png', 0, 1, 3, 255)
  return tmp_path


def test_pairs_are_matched_by_name_and_split_by_seed(own, capsys):
  """Files that are added later hardly move the rest."""
  flags = [*ENDING, '--val-fraction', '0.2', '--test-fraction', '0.1']
  written = []
  for seed in ('0', '0', '1'):
    assert prepare(own, *flags, '--seed', seed) == 0
    written.append([lines(own, name) for name in ('train', 'val', 'test')])
  assert [len(part) for part in written[0]] == [14, 4, 2] and written[0] == written[1] != written[2]
  listed = sum(written[0], [])
  assert len(set(listed)) == 20
  for line in listed:
    image, mask = line.split('\t')
    assert mask == image.replace('images', 'masks').replace('.jpg', '_mask.png') and (own / mask).exists()
  assert prepare(own, *ENDING) == 0 and 'test.txt: is of an earlier split' in capsys.readouterr().out
  assert (
    not (own / 'lists/test.txt').exists() and (own / 'lists/test.txt.old').read_text().splitlines() == written[2][2]
  )
  before = set(lines(own, 'val'))
  for i in range(20, 24):
    photo(own / 'images' / f'{i} new.jpg')
    flat_mask(own / 'masks' / f'{i} new_mask.png')
  prepare(own, *ENDING)
  assert len(before - set(lines(own, 'val'))) <= 4


def test_what_cannot_be_listed_is_named_and_left_out(own, capsys):
  flat_mask(own / 'masks' / '05 né_mask.png', 0, 7, 5)
  photo(own / 'images' / 'alone.jpg')
  photo(own / 'images' / 'a\tb.jpg')
  flat_mask(own / 'masks' / 'a\tb_mask.png')
  assert prepare(own, *ENDING) == 1 and len(lines(own)) == 19
  err = capsys.readouterr().err
  assert '05 né_mask.png: is 5 x 7 while' in err and 'holds a tab' in err and '1 files have no label' in err


def test_another_annotator_and_other_images_are_converted_anew(tmp_path):
  """Of one name: what is in label_ids and images_png was made from other files."""
  for number, name in enumerate('abcd'):
    for folder, value in (('rgb', 10), ('nir', 20)):
      save(tmp_path / folder / f'{name}.tif', np.full((5, 7, 3), value, np.uint8))
    mask(tmp_path / 'masks' / f'{name}_1stHO.png', *np.uint16([0, 1, number % 2]))
    mask(tmp_path / 'masks' / f'{name}_2ndHO.png', *np.uint16([1, 1, 0]))
  tick(tmp_path)
  for folder, ending in (('rgb', '_1stHO'), ('nir', '_2ndHO')):
    assert prepare(tmp_path, '--images', folder, '--mask-ending', ending) == 0
    want = np.asarray(Image.open(tmp_path / 'masks' / f'a{ending}.png'))
    np.testing.assert_array_equal(label(tmp_path, 'a'), want)
    assert np.asarray(Image.open(tmp_path / 'images_png/a.png')).max() == {'rgb': 10, 'nir': 20}[folder]


def test_labels_of_photos_that_lie_turned_keep_their_pixels(tmp_path):
  """With --resize-labels too, and where COCO's sizes are those of the file."""
  stored = labelled.TRUTH[:40]
  for name in 'abcd':
    photo(tmp_path / 'images' / f'{name}.jpg', 40, 80, exif=turned(6))
    save(tmp_path / 'masks' / f'{name}.png', stored)
  assert prepare(tmp_path, '--resize-labels') == 0
  np.testing.assert_array_equal(label(tmp_path, 'a'), images.upright(stored, 6))
  content = labelled.coco(labelled.CAR, names='abcd')
  for image in content['images']:
    image['height'] = 40
  (tmp_path / 'coco.json').write_text(json.dumps(content))
  assert prepare(tmp_path, '--coco', 'coco.json', '--drop-empty') == 0
  np.testing.assert_array_equal(label(tmp_path, 'a'), images.upright(labelled.square()[:40], 6))


def test_ids_beyond_eight_bits_and_a_map_of_more_ids_than_there_are(tmp_path, capsys):
  ids = np.array([0, 311, 523])[labelled.TRUTH].astype(np.uint16)
  ids[0] = 255
  labelled.mask_files(tmp_path, ids)
  (tmp_path / 'map.txt').write_text('0 -> sea\n111 -> city\n255 -> void\n311 -> forest\n523 -> sea\n')
  assert prepare(tmp_path, '--class-map', 'map.txt') == 0
  assert 'no mask holds 111\n' in capsys.readouterr().err and classes(tmp_path) == ['sea', 'forest']
  np.testing.assert_array_equal(label(tmp_path)[1:], np.array([0, 1, 0])[labelled.TRUTH][1:])


def test_one_bit_masks_beside_black_and_white_ones_are_pointed_out(tmp_path, capsys):
  labelled.mask_files(tmp_path, labelled.square(255))
  Image.fromarray(labelled.square().astype(bool)).save(tmp_path / 'masks' / 'img0.png')
  assert prepare(tmp_path) == 0
  assert 'no mask holds both 1 and 255, which is void: masks/img0.png holds 1, masks/img1' in capsys.readouterr().err


def test_masks_that_number_objects_are_pointed_out(tmp_path, capsys):
  cells = np.arange(labelled.HEIGHT)[:, np.newaxis].repeat(labelled.WIDTH, axis=1).astype(np.uint8)
  labelled.mask_files(tmp_path, np.minimum(cells, 15))
  assert prepare(tmp_path) == 0 and not capsys.readouterr().err  # classes that all images hold
  save(tmp_path / 'masks' / 'img0.png', np.minimum(cells, 8))
  assert prepare(tmp_path) == 0
  assert 'which is 8 to 15: do they number the objects of one class?' in capsys.readouterr().err


def test_an_image_that_is_missing_does_not_lend_its_labels(tmp_path, capsys):
  """Where the file names no folder, the only image of a name is meant."""
  for name in ('cam1/1', 'cam2/2', 'cam3/3'):
    labelled.photo(tmp_path / 'images' / f'{name}.jpg')
  content = labelled.coco(*labelled.SCENE, names=('cam1/1', 'cam1/2', '3'))
  (tmp_path / 'a.json').write_text(json.dumps(content))
  assert prepare(tmp_path, '--coco', 'a.json', '--val-fraction', '0') == 0
  assert lines(tmp_path, 'train') == [f'images/{name}.jpg label_ids/{name}.png' for name in ('cam1/1', 'cam3/3')]
  assert '1 of its images are missing (cam1/2)' in capsys.readouterr().err


def test_a_class_map_of_splits_and_images_that_are_in_two(tmp_path, capsys):
  """Of one folder of images, in other spellings. A class of the map need not be in every split, nor have one id there.
  classes.txt names the new classes, not the ids."""
  labelled.images(tmp_path, 'abc')
  train = labelled.coco(*labelled.SCENE, names='ab')
  val = labelled.coco({**labelled.CAR, 'category_id': 3}, names='bc', categories=[('car', 3)])
  for split, content in (('training', train), ('valid', val)):
    (tmp_path / f'{split}.json').write_text(json.dumps(content))
  (tmp_path / 'map.txt').write_text('3 -> plant\n')
  assert prepare(tmp_path, '--coco', '{split}.json', '--class-map', 'map.txt') == 0
  assert '1 images are in several splits: images/b.jpg' in capsys.readouterr().err
  assert classes(tmp_path) == ['background', 'car', 'plant']
  assert lines(tmp_path, 'val') == [f'images/{name}.jpg label_ids/val/{name}.png' for name in 'bc']
  np.testing.assert_array_equal(label(tmp_path, 'val/c'), labelled.square())
  (tmp_path / 'valid.json').write_text((tmp_path / 'valid.json').read_text().replace('"car"', '"truck"'))
  for line, says in (
    ('bus -> car', "no class 'bus'; they have car, tree"),
    ('3 -> car', '3 is tree and truck, in diff'),
  ):
    (tmp_path / 'map.txt').write_text(line)
    assert prepare(tmp_path, '--coco', '{split}.json', '--class-map', 'map.txt') == 2
    assert says in capsys.readouterr().err
  labelled.mask_files(tmp_path, np.array([0, 7, 15])[labelled.TRUTH].astype(np.uint8))
  (tmp_path / 'classes.txt').write_text('person\ncar\n')
  (tmp_path / 'map.txt').write_text('15 -> person\n7 -> car\n')
  assert prepare(tmp_path, '--class-map', 'map.txt') == 2
  assert "has no class 'class_0'" in capsys.readouterr().err


def test_what_is_void_everywhere_by_its_own_label_is_left_out(tmp_path, capsys):
  for name, value in zip('abc', (0, 1, 11), strict=True):
    photo(tmp_path / 'images' / f'{name}.jpg')
    mask(tmp_path / 'masks' / f'{name}.png', value)
  assert prepare(tmp_path, '--ignore-label', '11') == 0
  assert '1 labels are void everywhere and are left out: c' in capsys.readouterr().err and len(lines(tmp_path)) == 2
  assert classes(tmp_path) == ['class_0', 'class_1']


def test_folders_that_are_split_already_are_the_lists(split, capsys):
  assert prepare(split, *SPLIT) == 0
  assert lines(split) == [f'images/{name}.jpg masks/{name}.png' for name in ('train/a', 'train/b', 'val/c')]
  assert classes(split) == ['class_0', 'class_1', 'class_2', 'class_3']
  assert 'hold ids up to 3 but never 2' in capsys.readouterr().err
  photo(split / 'images' / 'test' / 'd.jpg')
  assert prepare(split, *SPLIT) == 0 and lines(split, 'test') == ['images/test/d.jpg']
  mask(split / 'masks' / 'test' / 'd.png', 1)
  assert prepare(split, *SPLIT) == 0 and lines(split, 'test') == ['images/test/d.jpg masks/test/d.png']


def test_splits_in_capitals_and_a_val_from_train(tmp_path, capsys):
  for split in ('Train', 'TEST'):
    for i in range(8):
      photo(tmp_path / 'images' / split / f'{i}.jpg')
      mask(tmp_path / 'masks' / split.lower() / f'{i}.png', 0, 1)
  assert prepare(tmp_path, *SPLIT) == 0
  assert [len(lines(tmp_path, name)) for name in ('train', 'val', 'test')] == [4, 4, 8]
  assert '--val-fraction 0.5 of train becomes val' in capsys.readouterr().out
  assert prepare(tmp_path, *SPLIT, '--val-fraction', 0) == 0 and 'not used' not in capsys.readouterr().out


def test_split_files_and_names_that_begin_with_folders(tmp_path):
  """Test images without labels are listed alone."""
  for split, names in (('train', 'ab'), ('val', 'c'), ('test', 'd')):
    for name in names:
      labelled.photo(tmp_path / f'{split}2017' / f'{name}.jpg')
    if split != 'test':
      content = labelled.coco(*labelled.SCENE, names=[f'coco/{split}2017/{name}' for name in names])
      (tmp_path / f'instances_{split}.json').write_text(json.dumps(content))
  assert prepare(tmp_path, '--images', '{split}2017', '--coco', 'instances_{split}.json') == 0
  line = '{0}2017/{1}.jpg label_ids/{0}/{1}.png'.format
  assert lines(tmp_path) == [line('train', 'a'), line('train', 'b'), line('val', 'c')]
  assert lines(tmp_path, 'test') == ['test2017/d.jpg']


def test_names_of_the_user_are_kept(split, capsys):
  names = split / 'classes.txt'
  names.write_text('road\n\nsky\nwide tree\ncar\nrare\n')
  assert prepare(split, *SPLIT) == 0 and classes(split) == ['road', 'sky', 'wide tree', 'car', 'rare']
  names.write_text('road\nsky\n')
  assert prepare(split, *SPLIT) == 2
  assert 'classes.txt: has 2 names while the masks hold id 3' in capsys.readouterr().err
  # A class map's lines name classes of classes.txt, whose order stays.
  names.write_text('truck\nroad\nsky\ncar\n')
  (split / 'map.txt').write_text('truck -> car\n1 -> void\n')
  assert prepare(split, *SPLIT, '--class-map', 'map.txt') == 0 and classes(split) == ['truck', 'road', 'sky', 'car']
  np.testing.assert_array_equal(np.unique(label(split, 'train/a')), [3, 255])


def originals(folder):
  made = {'label_ids', 'lists'}
  return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file() and not made & set(path.parts)}


@pytest.mark.parametrize('form', labelled.FORMS)
def test_every_form_gives_the_same_masks_once_and_again_after_changes(capsys, tmp_path, form):
  flags = labelled.write(tmp_path, form)
  tick(tmp_path)
  before = originals(tmp_path)
  assert prepare(tmp_path, *flags) == 0 and capsys.readouterr().err == ''
  np.testing.assert_array_equal(label(tmp_path), labelled.TRUTH)
  np.testing.assert_array_equal(label(tmp_path, 'img3'), 0)
  with Image.open(tmp_path / 'label_ids' / 'img0.png') as image:
    np.testing.assert_array_equal(np.asarray(image.convert('RGB')), voc_colours()[labelled.TRUTH])
  assert classes(tmp_path) == (['class_0', 'class_1', 'class_2'] if form == 'zero-is-void' else labelled.CLASSES)
  assert sorted(lines(tmp_path)) == [f'images/{name}.jpg label_ids/{name}.png' for name in labelled.NAMES]
  assert originals(tmp_path) == before
  first = (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns
  prepare(tmp_path, *flags)
  assert (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns == first
  (tmp_path / 'classes.txt').write_text('tree\nhouse\ncar\nbackground\n')
  prepare(tmp_path, *flags)
  ids = [0, 1, 2] if form == 'zero-is-void' else [3, 2, 0]
  np.testing.assert_array_equal(label(tmp_path), np.array(ids)[labelled.TRUTH])
  assert classes(tmp_path) == ['tree', 'house', 'car', 'background']


def edited(kind, more=False, **changes):
  """A part of the scene's first image, category, annotation or shape replaced; with `more`, in one more like it."""
  path = 'json/img0.json' if kind == 'shapes' else 'coco.json'

  def make(folder):
    content = json.loads((folder / path).read_text())
    first, *others = content[kind]
    content[kind] = [*([first] if more else []), first | changes, *others]
    (folder / path).write_text(json.dumps(content))

  return make


def replace(name, text):
  return lambda folder: (folder / name).write_text(text)


def shape(text):
  """Something else in place of the first car of CVAT's file."""
  return replace('cvat.xml', labelled.cvat().replace(labelled.POLYGON, text, 1))


def tiff(name, array, **options):
  """A TIFF in the place of the first image or mask."""

  def make(folder):
    next(folder.glob(f'{name}.*')).unlink()
    save(folder / f'{name}.tif', array, **options)

  return make


def renamed(**names):
  """COCO's file with other names of the classes; sizes are text, as some converters write them."""
  text = json.dumps(labelled.coco()).replace('"width": 80', '"width": "80"')
  for old, new in names.items():
    text = text.replace(f'"{old}"', f'"{new}"')
  return replace('coco.json', text)


SLIVER = [[3, 3.6, 9, 3.6, 9, 4.4]]
LINE = labelled.POLYGON + '<polyline label="car" points="1,1;2,2"/>'
DONE = [  # form, what is done to its files, more flags, what is said, the value of background, car and tree
  ('coco', lambda f: None, '--unlabelled void', '1 labels are void everywhere', [255, 0, 1]),
  ('coco', edited('annotations', segmentation=SLIVER), '', '1 annotations of car were skipped: no pixel centre', None),
  ('coco', renamed(car='a|b'), '', '15.0% of the outlined pixels of a|b are covered by outlines of other', [0, 1, 2]),
  ('coco', renamed(car='void', tree='ignore'), '--drop-empty --max-void 1', '', [0, 255, 255]),
  ('coco', edited('annotations', iscrowd=1), '', '1 annotations of car are crowds (iscrowd): void', [0, 255, 2]),
  ('coco', renamed(tree='Unlabelled'), '', '', [0, 1, 255]),
  ('cvat', replace('cvat.xml', labelled.cvat(LINE)), '', '1 classes have no annotation and are left out: tree', None),
  ('cvat', shape(LINE), '', '1 annotations of car were skipped: polyline', None),
]


@pytest.mark.parametrize(('form', 'change', 'more', 'words', 'values'), DONE)
def test_what_was_done_is_said(capsys, tmp_path, form, change, more, words, values):
  flags = labelled.write(tmp_path, form)
  change(tmp_path)
  assert prepare(tmp_path, *flags, *more.split()) == 0 and words in ''.join(capsys.readouterr())
  if values:
    np.testing.assert_array_equal(label(tmp_path), np.array(values)[labelled.TRUTH])


def test_what_the_ids_mean_is_written_down(tmp_path):
  (tmp_path / 'label_ids').mkdir()
  (tmp_path / 'label_ids' / 'conversion.txt').write_bytes(b'\xff damaged')
  prepare(tmp_path, *labelled.write(tmp_path, 'coco'))
  record = (tmp_path / 'label_ids' / 'conversion.txt').read_text().splitlines()
  assert '--coco coco.json: pixels without a label are background' in record[0]
  assert record[1:4] == ['0 background', '1 car (category 7)', '2 tree (category 3)']
  assert read_classes(tmp_path / 'label_ids' / 'classes.csv').names == labelled.CLASSES
  (tmp_path / 'label_ids' / 'conversion.txt').write_text('whatever a killed run left')
  assert prepare(tmp_path, '--coco', 'coco.json', '--unlabelled', 'void') == 0  # is not taken for that of before
  np.testing.assert_array_equal(label(tmp_path), np.array([255, 0, 1])[labelled.TRUTH])


OUTSIDE = [[81.5, 1], [83, 1], [83, 30]]
OTHER_IMAGES = json.dumps(labelled.coco(names='cd'))
GREY, RGB = labelled.TRUTH, np.zeros((60, 80, 3), np.uint8)
STACK = {'save_all': True, 'append_images': [Image.fromarray(GREY)] * 2}
MASK = '<mask label="car" rle="4" left="81" top="0" width="4" height="1"/>'
# form, what is done to its files, exit code (2: nothing is written, 1: the rest is done), what the line holds
BAD = [
  ('zero-is-void', lambda f: (f / 'label_ids').symlink_to('masks'), 2, 'label_ids: is a link'),
  ('coco', replace('coco.json', '{"images": ['), 2, 'coco.json: is damaged'),
  ('coco', replace('coco.json', '[]'), 2, 'coco.json: is not COCO JSON'),
  ('coco', replace('coco.json', '{"images": []}'), 2, "coco.json: has no 'categories'"),
  ('coco', edited('annotations', category_id=9), 2, 'annotation 1 has category_id 9'),
  ('coco', edited('annotations', image_id=9), 2, 'annotation 1 has image_id 9'),
  ('coco', edited('images', file_name='old/img1.jpg'), 2, 'has two images of the name img1'),
  ('coco', replace('coco.json', OTHER_IMAGES), 2, '2 of its images are missing (c, d)'),
  ('coco', edited('images', file_name='go\nne.jpg'), 0, '1 of its images are missing (go ne); put them'),
  ('coco', edited('images', file_name=None), 2, 'coco.json: is not COCO JSON (file_name None is not text)'),
  ('coco', edited('categories', name='a\nb'), 2, "class name 'a\\nb': is empty, holds a line end"),
  ('coco', edited('categories', name='\ud800'), 2, "class name '\\ud800': is empty, holds a line end or is not"),
  ('coco', edited('images', more=True, file_name='b.jpg'), 2, "its images 'img0.jpg' and 'b.jpg' have the same id 10"),
  ('coco', edited('categories', more=True, name='b'), 2, "its categories 'car' and 'b' have the same id 7"),
  ('coco', edited('images', more=True, id=None), 2, "the entry 'img0.jpg' of its images has no id"),
  ('coco', replace('coco.json', 'PK\3\4rest'), 2, 'is a .zip archive'),
  ('coco', lambda f: (f / 'coco.json').write_bytes(b'{"a": "Stra\xdfe"}'), 2, 'is not UTF-8 text'),
  ('coco', edited('images', width=13), 1, 'was made for 13 x 60 while'),
  ('coco', edited('annotations', segmentation=[sum(OUTSIDE, [])]), 1, 'annotation 1 (car) of'),
  ('coco', edited('annotations', segmentation={'counts': [80], 'size': [8, 10]}), 1, 'of the size [8, 10]'),
  ('labelme', replace('json/img0.json', '{'), 1, 'img0.json: is damaged'),
  ('labelme', replace('json/img0.json', '{"images": []}'), 1, "img0.json: has no 'shapes' where LabelMe JSON has it"),
  ('labelme', replace('classes.txt', 'background\ncar\n'), 2, "classes.txt: has no class 'tree'"),
  ('labelme', replace('classes.txt', 'car\ntree\n'), 2, 'classes.txt: has no class background'),
  ('labelme', replace('classes.txt', 'background\ncar\ntree\nvoid\n'), 2, "classes.txt: 'void' is not a class"),
  ('labelme', edited('shapes', label='Car'), 0, 'if they are one, give --class-map with the line `car -> Car`'),
  ('labelme', edited('shapes', points=OUTSIDE), 1, 'shape 1 (car) of'),
  ('labelme', edited('shapes', shape_type='mask'), 1, 'is a mask of 4 points'),
  ('labelme', lambda f: labelled.photo(f / 'images/img0.png'), 2, 'img0.png: differs from images/img0.jpg'),
  ('cvat', replace('cvat.xml', '<annotations><image'), 2, 'cvat.xml: is damaged'),
  ('cvat', replace('cvat.xml', '<svg/>'), 2, 'cvat.xml: holds no annotated image'),
  ('cvat', replace('cvat.xml', '<annotations><track/></annotations>'), 2, 'cvat.xml: is CVAT for video 1.1'),
  ('cvat', replace('cvat.xml', '<annotations><image name="a.jpg"/></annotations>'), 2, "has no 'width' where CVAT"),
  ('cvat', shape('<box label="bus"/>'), 2, "box 2 of img0.jpg has the label 'bus'"),
  ('cvat', shape('<polygon label="car" points="1,1;2,x;3,3"/>'), 1, 'polygon 2 of img0.jpg (car)'),
  ('cvat', shape('<box label="car" xtl="2"/>'), 1, 'has no ytl'),
  ('cvat', shape(MASK), 1, 'is a mask of 4 x 1 at (81, 0), outside 80 x 60'),
  ('cvat', shape(MASK.replace('"4"', '"99999"')), 1, 'is a mask of 99999 x 1'),
  ('colors', replace('colors.txt', '0 0 0 background\n'), 1, 'pixel at x 44, y 10 has the colour (10, 200, 10)'),
  ('colors', replace('colors.txt', '# nothing\n'), 2, 'colors.txt: holds no line'),
  ('colors', replace('colors.txt', '0 0 0 a\n1 2 256 b\n'), 2, 'colors.txt line 2: `1 2 256 b` is not `r g b name`'),
  ('colors', replace('colors.txt', 'name,r,g,b\na,1,2\n'), 2, 'line 2: `a,1,2` is not `r g b name`'),
  ('colors', replace('colors.txt', '1 2 3 a\n1 2 3 b\n'), 2, 'line 2: the colour (1, 2, 3) is there already, as a'),
  ('colors', lambda f: (f / 'colors.txt').unlink(), 2, 'colors.txt: no such file; give a colour table'),
  ('colors', lambda f: labelled.photo(f / 'masks' / 'c.png'), 0, 'masks: 1 files have no image and are left out: c'),
  ('colors', lambda f: labelled.photo(f / 'label_ids' / 'x.png'), 2, 'label_ids: is there and was not written'),
  ('zero-is-void', lambda f: Image.new('I;16', (80, 60), 300).save(f / 'masks/img0.png'), 1, 'holds 300, and class'),
  ('zero-is-void', tiff('masks/img0', np.full((60, 80), -9999, np.int32)), 1, 'holds -9999, and class ids are 0 to'),
  ('zero-is-void', lambda f: photo(f / 'images/img0.jpg', 60, 80, exif=turned(3)), 1, 'has EXIF orientation 3'),
  ('zero-is-void', tiff('images/img0', np.full((60, 80), 4000, np.uint16)), 1, 'has 16 bits a sample, not 8; convert'),
  ('zero-is-void', tiff('images/img0', RGB, tiffinfo={274: 6}), 1, 'has orientation 6; save it upright'),
  ('zero-is-void', tiff('masks/img0', GREY, **STACK), 1, 'img0.tif: holds 3 pictures; save each as a file'),
]


@pytest.mark.parametrize(('form', 'spoil', 'code', 'words'), BAD)
def test_what_is_wrong_is_one_line(capsys, tmp_path, form, spoil, code, words):
  """Also of what was right in an earlier run: it is not listed any more."""
  flags = labelled.write(tmp_path, form)
  if code == 1:
    prepare(tmp_path, *flags)
  spoil(tmp_path)
  capsys.readouterr()
  before = sorted(tmp_path.rglob('*'))
  found, err = prepare(tmp_path, *flags), capsys.readouterr().err
  assert found == code and words in err and 'Traceback' not in err
  if code == 2:
    assert err.startswith('error: ') and err.count('\n') == 1
    assert sorted(tmp_path.rglob('*')) == before
  else:
    assert (tmp_path / 'lists' / 'train.txt').is_file() and not list(tmp_path.rglob('.*'))
    assert sum(words in line for line in err.splitlines()) == 1
    assert code == 0 or not any('img0' in path.read_text() for path in (tmp_path / 'lists').glob('*.txt'))
