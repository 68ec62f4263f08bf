"""What users bring: small sets of each kind, after public reports, and what is right for each."""

import collections
import pathlib
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dataset import check
from dataset.formats import drawing, masks
from tests.data.labelled import (
  COLUMNS,
  HEIGHT,
  POLYGON,
  ROWS,
  SQUARE,
  WIDTH,
  classes,
  coco_file,
  cvat_file,
  grey_png,
  images,
  label,
  labelme_files,
  lines,
  mask_files,
  mask_shape,
  prepare,
  square,
)
from tests.data.trees import photo, save
from utils import files

CAR = {'segmentation': [SQUARE]}
FACADE = {'category_id': 2, 'segmentation': [[5, 4, 70, 4, 70, 56, 5, 56]]}
SMALL = {'category_id': 2, 'segmentation': [[60, 5, 70, 5, 70, 15, 60, 15]]}
DIRT = {'category_id': 3, 'segmentation': [[5, 5, 15, 5, 15, 15, 5, 15]]}
TWO = '0 0 0 background\n255 255 255 object\n'
MAP = 'sedan -> car\n2 -> car  # by its id\ndirt -> void\n'
TURNED = [[20, 30], [40, 10], [55, 25], [35, 45]]
DIAMOND = (ROWS + COLUMNS >= 49) & (ROWS + COLUMNS < 79) & (COLUMNS - ROWS >= -10) & (COLUMNS - ROWS < 30)
CIRCLE = np.hypot(COLUMNS + 0.5 - 6, ROWS + 0.5 - 30) < 14
FOUR = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4).astype(np.uint8)
MANY = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 300
RAMP = square(255)
RAMP[20:40, 29] = np.linspace(1, 254, 20)
ALPHA = np.where(COLUMNS < 10, 0, 255).astype(np.uint8)
FIVE_VOID = np.where(COLUMNS < 5, 255, square())
KINDS = {'car': 'polygon', 'night': 'tag', 'joint': 'points', 'body': 'skeleton'}
LABELS = ''.join(f'<label><name>{name}</name><type>{kind}</type></label>' for name, kind in KINDS.items())
LABELS += '<label><name>arm</name><type>any</type><parent>body</parent></label>'


def shape(kind, points):
  return {'shape_type': kind, 'points': points}


# make(folder), flags, exit code, what is said, the first label (None: not converted, or refused), the classes
Case = collections.namedtuple('Case', 'make flags code said label classes', defaults=('', 0, '', None, None))
A_COCO, A_LABELME, COLOURS = '--coco a.json', '--labelme json', '--colors colors.txt'
CASES = {
  'a category of crowds alone is drawn as its class': Case(
    lambda f: coco_file(f, {**CAR, 'iscrowd': 1}), A_COCO, 0, '4 annotations of car are marked as crowd', square()
  ),
  'ids as text are those as numbers': Case(lambda f: coco_file(f, {**CAR, 'category_id': '1'}), A_COCO, label=square()),
  'thin outlines are left out': Case(
    lambda f: coco_file(f, {'segmentation': [SQUARE, [40.0, 30.0]]}),
    A_COCO,
    0,
    '4 annotations of car have an',
    square(),
  ),
  'no outline': Case(
    lambda f: coco_file(f, CAR, {'segmentation': []}, {'bbox': [1, 1, 2, 2]}),
    A_COCO,
    0,
    '8 annotations of car were skipp',
  ),
  'boxes alone': Case(lambda f: coco_file(f, {'bbox': [1, 1, 20, 20]}), A_COCO, 2, 'boxes without a single outline'),
  'two images of one id': Case(
    lambda f: coco_file(f, CAR, images={'file_name': 'b'}), A_COCO, 2, "'img0.jpg' and 'b' have"
  ),
  'two classes of one id': Case(lambda f: coco_file(f, CAR, categories={'name': 'b'}), A_COCO, 2, 'have the same id 1'),
  'no id': Case(lambda f: coco_file(f, CAR, images={'id': None}), A_COCO, 2, 'has no id'),
  'small over large': Case(
    lambda f: coco_file(f, CAR, FACADE, names=('window', 'facade')),
    A_COCO,
    said='11.8% of the outlined pixels of facade are covered',
    label=np.where(square(), 1, square(2, rows=(4, 56), columns=(5, 70))),
  ),
  'what an order covers is no silent loss': Case(
    lambda f: coco_file(f, CAR, FACADE, names=('window', 'facade')),
    f'{A_COCO} --order file',
    2,
    'no pixel of the labels is window',
  ),
  'a class map merges, renames and leaves out': Case(
    lambda f: coco_file(f, CAR, SMALL, DIRT, names=('sedan', 'lorry', 'dirt'), text=MAP),
    f'{A_COCO} --class-map map.txt',
    label=square() + square(1, rows=(5, 15), columns=(60, 70)) + square(255, rows=(5, 15), columns=(5, 15)),
    classes=['background', 'car'],
  ),
  'a class map of another set': Case(
    lambda f: coco_file(f, CAR, text='sedann -> car\n'), f'{A_COCO} --class-map map.txt', 2, "no class 'sedann'"
  ),
  'an archive': Case(lambda f: images(f) and (f / 'a.json').write_bytes(b'PK\3\4rest'), A_COCO, 2, 'is a .zip archive'),
  'another encoding': Case(
    lambda f: images(f) and (f / 'a.json').write_bytes('{"name": "Stra\u00dfe"}'.encode('cp1252')), A_COCO, 2, 'UTF-8'
  ),
  'a circle over the border': Case(
    lambda f: labelme_files(f, shape('circle', [[6, 30], [20, 30]])),
    A_LABELME,
    0,
    '4 outlines of cell reach over the b',
    CIRCLE,
  ),
  'an oriented rectangle': Case(
    lambda f: labelme_files(f, shape('oriented_rectangle', TURNED)), A_LABELME, label=DIAMOND
  ),
  'a rotation': Case(lambda f: labelme_files(f, shape('rotation', TURNED)), A_LABELME, label=DIAMOND),
  'a mask at whole numbers': Case(
    lambda f: labelme_files(f, mask_shape('cell', 30.0, 20.0)), A_LABELME, label=square()
  ),
  'a mask is rounded': Case(
    lambda f: labelme_files(f, mask_shape('cell', 30.7, 20.3)), A_LABELME, label=square(columns=(31, 51))
  ),
  'a mask is clipped': Case(
    lambda f: labelme_files(f, mask_shape('cell', -5.0, 20.0)), A_LABELME, label=square(columns=(0, 15))
  ),
  'labels without area are no classes': Case(
    lambda f: cvat_file(f, POLYGON + '<tag label="night"/>', labels=LABELS),
    '--cvat a.xml',
    classes=['background', 'car'],
  ),
  'black and white': Case(
    lambda f: mask_files(f, square(255)), '', 0, '0 is background and 255 is object', square(), ['background', 'object']
  ),
  'smaller than the image': Case(lambda f: mask_files(f, square()[::2, ::2]), '', 2, 'img0.png: is 40 x 30'),
  'many smaller are one line': Case(lambda f: mask_files(f, square()[::2, ::2]), '', 2, '(and 3 more: '),
  'resized': Case(lambda f: mask_files(f, square()[::2, ::2]), '--resize-labels', label=square()),
  'grey of 2 bits': Case(lambda f: mask_files(f, grey_png(FOUR, 2)), label=FOUR),
  'grey of 4 bits': Case(lambda f: mask_files(f, grey_png(FOUR, 4)), label=FOUR),
  'gif': Case(lambda f: mask_files(f, square(), '.gif', 'P'), label=square()),
  'tiff': Case(lambda f: mask_files(f, square(), '.tif'), label=square()),
  'bmp': Case(lambda f: mask_files(f, square(), '.bmp'), label=square()),
  'npy': Case(lambda f: mask_files(f, square().astype(np.int64), '.npy'), label=square()),
  '16 bits': Case(lambda f: mask_files(f, square().astype(np.uint16)), label=square()),
  '1 bit': Case(lambda f: mask_files(f, square() > 0), label=square()),
  'three equal channels': Case(lambda f: mask_files(f, square(), mode='RGB'), label=square()),
  'minus one is void': Case(lambda f: mask_files(f, np.where(FIVE_VOID == 255, -1, square()), '.npy'), label=FIVE_VOID),
  'smoothed edges': Case(lambda f: mask_files(f, RAMP), '', 2, 'mostly gaps'),
  'smoothed edges by the line that is said': Case(
    lambda f: mask_files(f, RAMP, colors=TWO), f'{COLOURS} --color-tolerance 128', 0, '80 pixels took the', RAMP > 127
  ),
  'mostly gaps': Case(lambda f: mask_files(f, square(15)), '', 2, 'mostly gaps'),
  'gaps that are named': Case(
    lambda f: mask_files(f, square(15), map='0 -> background\n15 -> person\n'),
    '--class-map map.txt',
    label=square(),
    classes=['background', 'person'],
  ),
  '0 is void': Case(
    lambda f: mask_files(f, np.where(COLUMNS < 5, 255, FOUR)),
    '--zero-is-void',
    label=np.where((COLUMNS < 5) | (FOUR == 0), 255, FOUR - 1),
    classes=['class_0', 'class_1', 'class_2'],
  ),
  '0 is void, and 2': Case(
    lambda f: mask_files(f, FOUR),
    '--zero-is-void --ignore-label 2',
    label=np.where(FOUR % 2 == 0, 255, FOUR - 1),
  ),
  '16-bit levels are no colours': Case(
    lambda f: mask_files(f, square().astype(np.uint16) * 256, colors=TWO), COLOURS, 2, '16-bit grey levels'
  ),
  'transparent pixels are void': Case(
    lambda f: mask_files(f, np.dstack([square(255)] * 3 + [ALPHA]), colors=TWO),
    COLOURS,
    0,
    '2400 transparent pixels are void',
    np.where(ALPHA == 0, 255, square()),
  ),
  'white on transparent': Case(lambda f: mask_files(f, np.dstack([square(255)] * 4)), '', 2, 'mogrify -background'),
  'jpeg of colours': Case(lambda f: mask_files(f, square(255), '.jpg', colors=TWO), COLOURS, label=square()),
  'jpeg, black and white': Case(lambda f: mask_files(f, square(255), '.jpg'), label=square()),
  'void everywhere': Case(lambda f: mask_files(f, square(255, 255)), '', 2, 'void'),
  'hardly anything to learn': Case(
    lambda f: mask_files(f, square(1, 255, rows=(20, 25))), '', 2, '% of the pixels are void'
  ),
  'too many ids': Case(lambda f: mask_files(f, MANY), '', 2, 'at most 255 classes'),
  '0 as void': Case(lambda f: mask_files(f, square()), '--ignore-label 0', 2, '--zero-is-void'),
  'colours': Case(
    lambda f: mask_files(f, np.dstack([square(9), square(7), square(3)])),
    '',
    2,
    '--colors colors.txt, whose lines are `0 0 0 NAME`, `9 7 3 NAME`',
  ),
}


@pytest.mark.parametrize('case', CASES)
def test_what_users_bring(tmp_path, capsys, case):
  make, flags, code, said, expected, names = CASES[case]
  make(tmp_path)
  assert prepare(tmp_path, *flags.split()) == code
  text = ''.join(capsys.readouterr())
  assert said in text
  if code:
    assert text.count('error: ') == 1 and not (tmp_path / 'lists').exists()
    return
  assert len(lines(tmp_path)) == 4
  if expected is not None:
    np.testing.assert_array_equal(label(tmp_path), expected)
    last = text.splitlines()[-1]  # what was done is said at the end, and kept
    assert not said or said not in last or last in (tmp_path / 'label_ids' / 'conversion.txt').read_text()
  assert names in (None, classes(tmp_path))


def test_absent_images_are_named_and_the_rest_is_prepared_in_sub_folders_too(tmp_path, capsys):
  coco_file(tmp_path, CAR)
  for name in ('img1', 'img2'):
    (tmp_path / 'images' / f'{name}.jpg').unlink()
  (tmp_path / 'images' / 'deep').mkdir()
  (tmp_path / 'images' / 'img3.jpg').rename(tmp_path / 'images' / 'deep' / 'img3.jpg')
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  assert '2 of its images are missing (img1, img2)' in capsys.readouterr().err.splitlines()[-1]
  assert len(lines(tmp_path)) == 2 and label(tmp_path, 'deep/img3').sum() == 400


def test_cvat_subsets_are_folders(tmp_path):
  cvat_file(tmp_path, subsets=('Train', 'Validation'))
  assert prepare(tmp_path, '--cvat', 'a.xml') == 0
  assert len(lines(tmp_path, 'train')) == 6 and label(tmp_path, 'Validation/img1').sum() == 400


@pytest.mark.parametrize('ending', ['.tif', '.bmp', '.webp', '.gif'])
def test_images_in_other_formats_are_converted_once(tmp_path, ending, capsys):
  mask_files(tmp_path, square())
  for i in range(4):
    (tmp_path / 'images' / f'img{i}.jpg').unlink()
    save(tmp_path / 'images' / f'img{i}{ending}', np.full((HEIGHT, WIDTH, 3), 80, np.uint8))
  assert prepare(tmp_path) == 0 and prepare(tmp_path) == 0
  assert all(line.startswith('images_png/') for line in lines(tmp_path))
  assert '0 files written, 4 up to date' in capsys.readouterr().out


def test_palettes_of_another_order_are_told_by_colour(tmp_path, capsys):
  mask_files(tmp_path, square())
  colours, array = [(0, 0, 0), (255, 0, 0), (0, 255, 0)], square()
  array[:5] = 2
  for i, order in enumerate(([0, 1, 2], [0, 2, 1], [0, 1, 2], [0, 2, 1])):
    save(tmp_path / 'masks' / f'img{i}.png', np.argsort(order).astype(np.uint8)[array], [colours[j] for j in order])
  assert prepare(tmp_path) == 0
  for i in range(4):
    np.testing.assert_array_equal(label(tmp_path, f'img{i}'), array)
  assert 'masks/img0.png and masks/img1.png' in capsys.readouterr().err


IMAGES, MASKS = 'images/', 'masks/'
NAMES = [
  (IMAGES + '{}_training.tif', MASKS + '{}_manual1.gif', ''),
  (IMAGES + '{}_training.tif', MASKS + '{}_manual1.gif', '--image-ending _training --mask-ending _manual1'),
  (IMAGES + 'image_{}.jpg', MASKS + 'gt_{}.png', ''),
  (IMAGES + 'image_{}.jpg', MASKS + 'gt_{}.png', '--image-prefix image_ --mask-prefix gt_'),
  (IMAGES + 'IMG{}.JPG', MASKS + 'img{}.png', ''),
  (IMAGES + 'caf\u00e9{}.jpg', MASKS + 'cafe\u0301{}.png', ''),  # two forms of one name
  (IMAGES + 'aachen_{}_leftImg8bit.png', MASKS + 'aachen_{}_gtFine_labelTrainIds.png', ''),
  ('train/{}_sat.jpg', 'train/{}_mask.png', '--images train --masks train --mask-ending _mask'),
  ('{}.jpg', MASKS + '{}.png', '--images .'),
]


@pytest.mark.parametrize(('image', 'mask', 'flags'), NAMES)
def test_what_names_share_pairs_them(tmp_path, image, mask, flags):
  for i in range(20, 24):
    photo(tmp_path / image.format(i), HEIGHT, WIDTH)
    save(tmp_path / mask.format(i), square())
  (tmp_path / image).with_name('Thumbs.db').write_text('')
  assert prepare(tmp_path, *flags.split()) == 0
  assert len(lines(tmp_path)) == 4
  for line in lines(tmp_path):
    numbers = [''.join(filter(str.isdecimal, pathlib.Path(name).stem))[:2] for name in line.split()]
    assert numbers[0] == numbers[1]


def test_splits_in_capitals_and_a_val_from_train(tmp_path, capsys):
  for split in ('Train', 'TEST'):
    for i in range(8):
      photo(tmp_path / 'images' / split / f'{i}.jpg', HEIGHT, WIDTH)
      save(tmp_path / 'masks' / split.lower() / f'{i}.png', square())
  assert prepare(tmp_path, '--images', 'images/{split}', '--masks', 'masks/{split}') == 0
  assert [len(lines(tmp_path, name)) for name in ('train', 'val', 'test')] == [6, 2, 8]
  assert '--val-fraction 0.25 of train becomes val' in capsys.readouterr().out


def test_tables_of_other_tools(tmp_path):
  for text in (
    '# label:color_rgb:parts:actions\nbackground:0,0,0::\nwide road:128,64,128::\n',
    'name,r,g,b\nbackground,0,0,0\nwide road,128,64,128\n',
    'id,name,r,g,b\n0,background,0,0,0\n1,wide road,128,64,128\n',
    'background 0 0 0\nwide road 128 64 128\n',
    '0,0,0,background\n128,64,128,wide road\n',
  ):
    (tmp_path / 't.txt').write_text(text)
    table = masks.read_colour_table(str(tmp_path / 't.txt'))
    assert table == {(0, 0, 0): 'background', (128, 64, 128): 'wide road'}


def test_equal_names_in_sub_folders_are_different_images(tmp_path):
  for sub in ('clip0', 'clip1'):
    images(tmp_path, ('img0', 'img1'), sub)
    for i in range(2):
      save(tmp_path / 'masks' / sub / f'img{i}.png', square())
  assert prepare(tmp_path) == 0
  assert check.main(['--data-dir', str(tmp_path), '--data-list', str(tmp_path / 'lists' / 'train.txt')]) == 0


def test_a_photo_that_is_stored_upside_down_is_named(tmp_path, capsys):
  mask_files(tmp_path, square())
  exif = Image.Exif()
  exif[274] = 3
  Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'images' / 'img0.jpg', exif=exif)
  assert prepare(tmp_path) == 1 and 'img0.jpg: has EXIF orientation 3' in capsys.readouterr().err
  assert len(lines(tmp_path)) == 3


def test_a_folder_that_another_process_prepares_is_left_alone(tmp_path, capsys):
  coco_file(tmp_path, CAR)
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  record = (tmp_path / 'label_ids' / 'conversion.txt').read_bytes()
  with files.claim(tmp_path / 'label_ids', 'preparing'):
    assert prepare(tmp_path, '--coco', 'a.json', '--unlabelled', 'void') == 2
  assert 'is writing there' in capsys.readouterr().err
  assert (tmp_path / 'label_ids' / 'conversion.txt').read_bytes() == record


def test_nothing_is_written_through_a_link(tmp_path, capsys):
  mask_files(tmp_path / 'data', square(255))
  (tmp_path / 'victim').mkdir()
  for name in ('conversion.txt', 'img0.png'):
    (tmp_path / 'victim' / name).write_text('precious')
  (tmp_path / 'data' / 'label_ids').symlink_to(tmp_path / 'victim')
  assert prepare(tmp_path / 'data') == 2 and 'is a link' in capsys.readouterr().err
  assert {path.read_text() for path in (tmp_path / 'victim').iterdir()} == {'precious'}


def test_links_to_images_and_folders_are_read(tmp_path):
  mask_files(tmp_path / 'elsewhere', square())
  for name in ('images', 'masks'):
    (tmp_path / 'data' / name).mkdir(parents=True)
    (tmp_path / 'data' / name / 'all').symlink_to(tmp_path / 'elsewhere' / name)
  (tmp_path / 'data' / 'images' / 'all' / 'loop').symlink_to(tmp_path / 'data' / 'images')
  assert prepare(tmp_path / 'data') == 0 and len(lines(tmp_path / 'data')) == 4


def test_a_conversion_of_other_settings_is_not_taken_for_this_one(tmp_path):
  """What was converted by other settings is made again, even where a run was killed in between."""
  coco_file(tmp_path, CAR)
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  times = (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  assert (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns == times
  (tmp_path / 'label_ids' / 'conversion.txt').write_text('whatever a killed run left')
  assert prepare(tmp_path, '--coco', 'a.json', '--unlabelled', 'void', '--max-void', 1) == 0
  assert (label(tmp_path) == 255).sum() == HEIGHT * WIDTH - 400


def test_a_zigzag_of_many_points_takes_little_memory():
  x = np.linspace(1, 1999, 20_000)
  ring = np.stack([x, np.where(np.arange(len(x)) % 2, 1.0, 1999.0)], axis=1)
  tracemalloc.start()
  part = drawing.fill([ring], 2000, 2000)
  assert part.mask.any() and tracemalloc.get_traced_memory()[1] < 200e6
  tracemalloc.stop()
