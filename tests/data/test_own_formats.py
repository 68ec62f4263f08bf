"""prepare_own with labels as people have them: every form gives the same masks, and what is wrong is one line."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from dataset import prepare_own
from tests.data import labelled, trees
from utils import errors, labels


def prepare(capsys, folder, flags):
  """Exit code and error lines."""
  argv = ['--data-dir', str(folder), '--list-dir', str(folder / 'lists'), '--val-fraction', '0.5', *flags]
  code = errors.run(prepare_own.main, argv)
  return code, capsys.readouterr().err


def mask_of_coco(capsys, folder, content):
  """The scene's mask, made from this COCO file."""
  labelled.write(folder, 'coco')
  (folder / 'coco.json').write_text(content if isinstance(content, str) else json.dumps(content))
  assert prepare(capsys, folder, ['--coco', 'coco.json'])[0] == 0
  return mask(folder)


def mask(folder, name='a'):
  with Image.open(folder / 'label_ids' / f'{name}.png') as image:
    assert image.mode == 'P'
    label = np.asarray(image)
    np.testing.assert_array_equal(np.asarray(image.convert('RGB')), labels.voc_colours()[label])
    return label


def originals(folder):
  return {
    path: path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and not {'label_ids', 'lists'} & set(path.parts)
  }


@pytest.mark.parametrize('form', labelled.FORMS)
def test_every_form_gives_the_same_masks(capsys, tmp_path, form):
  flags = labelled.write(tmp_path, form)
  before = originals(tmp_path)
  assert prepare(capsys, tmp_path, flags) == (0, '')
  np.testing.assert_array_equal(mask(tmp_path), labelled.truth())
  np.testing.assert_array_equal(mask(tmp_path, 'b'), 0)
  names = ['class_0', 'class_1', 'class_2'] if form == 'zero-is-void' else labelled.NAMES
  assert (tmp_path / 'lists' / 'classes.txt').read_text().split() == names
  lines = sorted((tmp_path / 'lists' / f'{name}.txt').read_text() for name in ('train', 'val'))
  assert lines == [f'images/{name}.jpg label_ids/{name}.png\n' for name in 'ab']
  assert originals(tmp_path) == before


@pytest.mark.parametrize('form', labelled.FORMS)
def test_conversions_are_made_once_and_again_after_changes(capsys, tmp_path, form):
  flags = labelled.write(tmp_path, form)
  prepare(capsys, tmp_path, flags)
  first = (tmp_path / 'label_ids' / 'a.png').stat().st_mtime_ns
  prepare(capsys, tmp_path, flags)
  assert (tmp_path / 'label_ids' / 'a.png').stat().st_mtime_ns == first
  (tmp_path / 'classes.txt').write_text('tree\nhouse\ncar\nbackground\n')
  prepare(capsys, tmp_path, flags)
  ids = [0, 1, 2] if form == 'zero-is-void' else [3, 2, 0]
  np.testing.assert_array_equal(mask(tmp_path), np.array(ids)[labelled.truth()])
  assert (tmp_path / 'lists' / 'classes.txt').read_text().split() == ['tree', 'house', 'car', 'background']


def test_what_the_ids_mean_is_written_down(capsys, tmp_path):
  (tmp_path / 'label_ids').mkdir()
  (tmp_path / 'label_ids' / 'conversion.txt').write_bytes(b'\xff damaged')
  prepare(capsys, tmp_path, labelled.write(tmp_path, 'coco'))
  record = (tmp_path / 'label_ids' / 'conversion.txt').read_text().splitlines()
  assert '--coco coco.json: pixels without a label are background' in record[0]
  assert record[4:] == ['16.7% of the outlined pixels of car are covered by outlines of other classes']
  assert record[1:4] == ['0 background', '1 car (category 7)', '2 tree (category 3)']
  assert (tmp_path / 'label_ids' / 'classes.txt').read_text().split() == labelled.NAMES


def test_unlabelled_pixels_may_be_void(capsys, tmp_path):
  flags = labelled.write(tmp_path, 'coco')
  code, err = prepare(capsys, tmp_path, [*flags, '--unlabelled', 'void'])
  assert code == 0 and '1 labels are void everywhere' in err
  np.testing.assert_array_equal(mask(tmp_path), np.array([255, 0, 1])[labelled.truth()])
  assert (tmp_path / 'lists' / 'classes.txt').read_text().split() == ['car', 'tree']


def test_crowds_and_what_is_named_void_are_void(capsys, tmp_path):
  content = labelled.coco()
  content['annotations'][0]['iscrowd'] = 1
  content['annotations'].append({'id': 3, 'image_id': 11, 'category_id': 7, 'segmentation': [[0, 0, 3, 0, 3, 3, 0, 3]]})
  np.testing.assert_array_equal(mask_of_coco(capsys, tmp_path, content), np.array([0, 255, 2])[labelled.truth()])
  renamed = json.dumps(labelled.coco()).replace('"tree"', '"Unlabelled"')
  np.testing.assert_array_equal(mask_of_coco(capsys, tmp_path, renamed), np.array([0, 1, 255])[labelled.truth()])


def test_small_outlines_are_on_top_whatever_their_order(capsys, tmp_path):
  content = labelled.coco()
  content['annotations'].reverse()
  assert mask_of_coco(capsys, tmp_path, content)[3, 6] == labelled.truth()[3, 6] == 2
  prepare(capsys, tmp_path, ['--coco', 'coco.json', '--order', 'file'])
  assert mask(tmp_path)[3, 6] == 1


def test_split_files_and_names_that_begin_with_folders(capsys, tmp_path):
  for split, names in (('train', 'ab'), ('val', 'c'), ('test', 'd')):
    for name in names:
      labelled.photo(tmp_path / f'{split}2017' / f'{name}.jpg')
    if split != 'test':
      content = labelled.coco([f'coco/{split}2017/{name}.jpg' for name in names])
      (tmp_path / f'instances_{split}.json').write_text(json.dumps(content))
  code, err = prepare(capsys, tmp_path, ['--images', '{split}2017', '--coco', 'instances_{split}.json'])
  assert (code, err) == (0, '')
  lists = {name: (tmp_path / 'lists' / f'{name}.txt').read_text().splitlines() for name in ('train', 'val', 'test')}
  line = '{0}2017/{1}.jpg label_ids/{0}/{1}.png'.format
  assert lists == {
    'train': [line('train', 'a'), line('train', 'b')],
    'val': [line('val', 'c')],
    'test': ['test2017/d.jpg'],
  }


def test_splits_of_one_folder_of_images_and_other_spellings(capsys, tmp_path):
  for name in 'abc':
    labelled.photo(tmp_path / 'images' / f'{name}.jpg')
  for split, names in (('training', 'ab'), ('valid', 'c')):
    content = labelled.coco([f'{name}.jpg' for name in names])
    (tmp_path / f'{split}.json').write_text(json.dumps(content))
  assert prepare(capsys, tmp_path, ['--coco', '{split}.json']) == (0, '')
  assert len((tmp_path / 'lists' / 'train.txt').read_text().splitlines()) == 2
  assert (tmp_path / 'lists' / 'val.txt').read_text() == 'images/c.jpg label_ids/val/c.png\n'


def test_shapes_without_an_area_are_left_out_with_a_warning(capsys, tmp_path):
  labelled.write(tmp_path, 'cvat')
  box, line = '<box label="car" xtl="2" ytl="3" xbr="8" ybr="7"/>', '<polyline label="car" points="1,1;2,2"/>'
  (tmp_path / 'cvat.xml').write_text(labelled.cvat(box + line))
  code, err = prepare(capsys, tmp_path, ['--cvat', 'cvat.xml'])
  assert code == 0 and '1 classes have no annotation and are left out: tree' in err
  assert '1 annotations of car were skipped: polyline' in (tmp_path / 'label_ids' / 'conversion.txt').read_text()
  assert (mask(tmp_path) == 1).sum() == 24


def edited(form, **changes):
  """Writes the scene with a part of its first image, category, annotation or shape replaced."""

  def make(folder):
    content = getattr(labelled, form)()
    for place, value in changes.items():
      kind, key = place.split('__')
      content[kind][0][key] = value
    path = folder / 'coco.json' if form == 'coco' else folder / 'json' / 'a.json'
    path.write_text(json.dumps(content))

  return make


def replace(name, text):
  return lambda folder: (folder / name).write_text(text)


OUTSIDE = [[13.5, 1], [15, 1], [15, 30]]
# form, what is done to its files, exit code (2: nothing is written, 1: the rest is done), what the line holds
BAD = [
  ('coco', replace('coco.json', '{"images": ['), 2, 'coco.json: is damaged'),
  ('coco', replace('coco.json', '[]'), 2, 'coco.json: is not COCO JSON'),
  ('coco', replace('coco.json', '{"images": []}'), 2, "coco.json: has no 'categories'"),
  ('coco', lambda f: (f / 'coco.json').unlink(), 2, 'coco.json: no such file'),
  ('coco', edited('coco', annotations__category_id=9), 2, 'annotation 1 has category_id 9'),
  ('coco', edited('coco', annotations__image_id=9), 2, 'annotation 1 has image_id 9'),
  ('coco', edited('coco', images__file_name='b.jpg'), 2, 'has two images of the name b'),
  ('coco', edited('coco', images__file_name='old/b.jpg'), 2, 'has two images of the name b'),
  ('coco', edited('coco', images__file_name='gone.jpg'), 0, '1 of its images are missing (gone); put them below --im'),
  (
    'coco',
    replace('coco.json', json.dumps(labelled.coco(['c.jpg', 'd.jpg']))),
    2,
    '2 of its images are missing (c, d)',
  ),
  ('coco', edited('coco', images__file_name='go\nne.jpg'), 0, 'are missing (go ne); put them below --images'),
  ('coco', edited('coco', images__file_name=None), 2, 'coco.json: is not COCO JSON (file_name None is not text)'),
  ('coco', edited('coco', categories__name='a\nb'), 2, "class name 'a\\nb': is empty, holds a line end"),
  ('coco', edited('coco', categories__name=' '), 2, "class name '': is empty"),
  ('coco', edited('coco', categories__name='\ud800'), 2, "class name '\\ud800': is empty, holds a line end or is not"),
  ('coco', edited('coco', images__width=13), 1, 'was made for 13 x 9 while'),
  ('coco', edited('coco', annotations__segmentation=[sum(OUTSIDE, [])]), 1, 'annotation 1 (car) of'),
  ('coco', edited('coco', annotations__segmentation={'counts': [80], 'size': [8, 10]}), 1, 'mask of the size [8, 10]'),
  ('labelme', replace('json/a.json', '{'), 1, 'a.json: is damaged'),
  ('labelme', replace('json/a.json', '{"images": []}'), 1, "a.json: has no 'shapes' where LabelMe JSON has it"),
  ('labelme', replace('classes.txt', 'background\ncar\n'), 2, "classes.txt: has no class 'tree'"),
  ('labelme', replace('classes.txt', 'car\ntree\n'), 2, 'classes.txt: has no class background'),
  ('labelme', replace('classes.txt', 'background\ncar\ntree\nvoid\n'), 2, "classes.txt: 'void' is not a class"),
  ('labelme', edited('labelme', shapes__points=OUTSIDE), 1, 'shape 1 (car) of'),
  ('labelme', edited('labelme', shapes__shape_type='mask'), 1, 'is a mask of 4 points'),
  ('labelme', lambda f: os.rename(f / 'images/b.jpg', f / 'images/c.jpg'), 0, '1 of its images are missing (b)'),
  ('labelme', lambda f: labelled.photo(f / 'images/b.png'), 2, 'b.png: differs from images/b.jpg'),
  ('labelme', lambda f: trees.save(f / 'images/a.jpg', np.zeros((9, 9), np.uint8)), 1, 'was made for 12 x 9 while'),
  ('cvat', replace('cvat.xml', '<annotations><image'), 2, 'cvat.xml: is damaged'),
  ('cvat', replace('cvat.xml', '<svg/>'), 2, 'cvat.xml: holds no annotated image'),
  ('cvat', replace('cvat.xml', '<annotations><image name="a.jpg"/></annotations>'), 2, "has no 'width' where CVAT"),
  ('cvat', replace('cvat.xml', labelled.cvat('<box label="bus"/>')), 2, "box 1 of a.jpg has the label 'bus'"),
  ('cvat', replace('cvat.xml', labelled.cvat(names=('a.jpg', 'a.png'))), 2, 'has two images of the name a'),
  ('cvat', replace('cvat.xml', labelled.cvat(names=('a.jpg', 'gone.jpg'))), 0, '1 of its images are missing (gone)'),
  ('cvat', replace('cvat.xml', labelled.cvat('<box label="car" xtl="2"/>')), 1, 'box 1 of a.jpg (car) of'),
  (
    'cvat',
    replace('cvat.xml', labelled.cvat('<polygon label="car" points="1,1;2,x;3,3"/>')),
    1,
    'polygon 1 of a.jpg (car)',
  ),
  (
    'cvat',
    replace('cvat.xml', labelled.cvat('<mask label="car" rle="4" left="13" top="0" width="4" height="1"/>')),
    1,
    'is a mask of 4 x 1 at (13, 0), outside 12 x 9',
  ),
  ('colors', replace('colors.txt', '0 0 0 background\n'), 1, 'pixel at x 6, y 1 has the colour (10, 200, 10)'),
  ('colors', replace('colors.txt', 'black\n'), 2, 'colors.txt line 1: `black` is not `r g b name`'),
  ('colors', lambda f: (f / 'colors.txt').unlink(), 2, 'colors.txt: no such file; give a colour table'),
  ('colors', lambda f: labelled.photo(f / 'masks' / 'c.png'), 0, 'masks: 1 files have no image and are left out: c'),
  ('colors', lambda f: Image.new('RGB', (5, 5)).save(f / 'masks' / 'b.png'), 1, 'label_ids/b.png: is 5 x 5 while'),
  ('colors', lambda f: labelled.photo(f / 'label_ids' / 'x.png'), 2, 'label_ids: is there and was not written'),
  ('zero-is-void', lambda f: labelled.photo(f / 'masks' / 'b.png'), 0, '1 labels are void everywhere'),
  ('zero-is-void', lambda f: Image.new('I;16', (12, 9), 300).save(f / 'masks/b.png'), 1, 'b.png: holds 300, and class'),
]


@pytest.mark.parametrize(('form', 'spoil', 'code', 'words'), BAD)
def test_what_is_wrong_is_one_line(capsys, tmp_path, form, spoil, code, words):
  flags = labelled.write(tmp_path, form)
  spoil(tmp_path)
  before = sorted(tmp_path.rglob('*'))
  found, err = prepare(capsys, tmp_path, flags)
  assert found == code and words in err and 'Traceback' not in err
  if code == 2:
    assert err.startswith('error: ') and err.count('\n') == 1
    assert sorted(tmp_path.rglob('*')) == before
  else:
    assert (tmp_path / 'lists' / 'train.txt').is_file()
    assert not list(tmp_path.rglob('.*'))
    assert sum(words in line for line in err.splitlines()) == 1


def test_a_mask_that_became_faulty_is_not_listed_any_more(capsys, tmp_path):
  flags = labelled.write(tmp_path, 'coco')
  prepare(capsys, tmp_path, flags)
  edited('coco', annotations__segmentation=[sum(OUTSIDE, [])])(tmp_path)
  assert prepare(capsys, tmp_path, flags)[0] == 1
  lines = [path.read_text() for path in (tmp_path / 'lists').glob('t*.txt')]
  assert 'images/a.jpg' not in ''.join(lines)


def test_two_forms_at_once_are_refused(capsys, tmp_path):
  labelled.write(tmp_path, 'colors')
  code, err = prepare(capsys, tmp_path, ['--coco', 'x.json', '--zero-is-void'])
  assert code == 2 and '--zero-is-void and --coco are labels of two kinds' in err
