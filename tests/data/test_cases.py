"""What users bring: small sets of each kind, after public reports, and what is right for each."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dataset import check
from dataset.formats import drawing
from tests.data import labelled
from tests.data.labelled import CAR, COLUMNS, HEIGHT, ROWS, WIDTH, classes, label, lines, prepare, square
from tests.data.trees import photo, save, tick
from utils import files

BOX, EMPTY = {'category_id': 7, 'bbox': [1, 1, 20, 20]}, {'category_id': 7, 'segmentation': []}
THIN = {**CAR, 'segmentation': [*CAR['segmentation'], [40.0, 30.0]]}
FACADE = {'category_id': 2, 'segmentation': [[5, 4, 70, 4, 70, 56, 5, 56]]}
DIRT = {'category_id': 3, 'segmentation': [[5, 5, 15, 5, 15, 15, 5, 15]]}
IS, BEHIND, DIRTY = square(), square(2, rows=(4, 56), columns=(5, 70)), square(255, rows=(5, 15), columns=(5, 15))
TURNED = [[20, 30], [40, 10], [55, 25], [35, 45]]
DIAMOND = (ROWS + COLUMNS >= 49) & (ROWS + COLUMNS < 79) & (COLUMNS - ROWS >= -10) & (COLUMNS - ROWS < 30)
CIRCLE = np.hypot(COLUMNS + 0.5 - 6, ROWS + 0.5 - 30) < 14
FOUR = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4).astype(np.uint8)
MANY = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 300
RAMP = square(255)
RAMP[20:40, 29] = np.linspace(1, 254, 20)
CLEAR = np.dstack([square(255)] * 3 + [np.where(COLUMNS < 10, 0, 9).astype(np.uint8)])
TABLE = '--colors colors.txt'
WHITE = Image.fromarray(square(255))
PALETTE = Image.fromarray(IS)
PALETTE.putpalette([0, 0, 0, 200, 0, 0])


def check_case(folder, capsys, flags, code, said, expected):
  """Four images are listed, with this label; or all is refused in one line."""
  (folder / 'colors.txt').write_text('0 0 0 background\n255 255 255 object\n')
  (folder / 'gaps.txt').write_text('0 -> background\n15 -> person\n')
  (folder / 'map.txt').write_text('car -> vehicle\n2 -> vehicle  # by its id\ndirt -> void\n')
  assert prepare(folder, *flags.split()) == code
  text = ''.join(capsys.readouterr())
  assert said in text
  if code:
    assert text.count('error: ') == 1 and not (folder / 'lists').exists()
    return
  assert len(lines(folder)) == 4
  np.testing.assert_array_equal(label(folder), expected)
  for line in text.splitlines():  # what was done is kept
    if said and said in line and line.split()[0] in ('4', '8', '80', '2400'):
      assert line in (folder / 'label_ids' / 'conversion.txt').read_text()


COCO = {  # annotations on each image, more flags, exit code, what is said, the first label
  'crowds alone': ([{**CAR, 'iscrowd': 1}], '', 0, '4 annotations of car are marked as crowd', IS),
  'ids as text': ([{**CAR, 'category_id': '7'}], '', 0, '', IS),
  'a thin outline': ([THIN], '', 0, '4 annotations of car have an outline of', IS),
  'no outline': ([CAR, EMPTY, BOX], '', 0, '8 annotations of car were skipped: no outline', IS),
  'boxes alone': ([BOX], '', 2, 'boxes without a single outline', None),
  'small over large': ([CAR, FACADE], '', 0, '11.8% of the outlined pixels of facade', np.where(IS, 1, BEHIND)),
  'covered wholly': ([CAR, FACADE], '--order file', 2, 'no pixel of the labels is car', None),
  'a class map': ([FACADE, CAR, DIRT], '--class-map map.txt', 0, '', np.where(DIRTY, 255, BEHIND > 0)),
  'a map of others': ([CAR], '--class-map gaps.txt', 2, 'the labels have no class', None),
}


@pytest.mark.parametrize('case', COCO)
def test_coco(tmp_path, capsys, case):
  annotations, more, *right = COCO[case]
  categories = ('car', 7), ('facade', 2), ('dirt', 3)
  labelled.coco_file(tmp_path, labelled.coco(*annotations, categories=categories))
  check_case(tmp_path, capsys, f'--coco coco.json {more}', *right)
  assert case != 'a class map' or classes(tmp_path) == ['background', 'vehicle']


LABELME = {  # shape, what is said, the first label
  'over the border': (('circle', [[6, 30], [20, 30]]), '4 outlines of cell reach over the border', CIRCLE),
  'circle': (('circle', [[6, 30], [14.4, 41.2]]), '', CIRCLE),
  'oriented': (('oriented_rectangle', TURNED), '', DIAMOND),
  'rotation': (('rotation', TURNED), '', DIAMOND),
  'rectangle of any corners': (('rectangle', [[50, 40], [30, 20]]), '', IS),
  'mask is rounded': ((30.7, 20.3), '', square(columns=(31, 51))),
  'mask is clipped': ((-5.0, 20.0), '4 outlines of cell reach over the border', square(columns=(0, 15))),
}


@pytest.mark.parametrize('case', LABELME)
def test_labelme(tmp_path, capsys, case):
  (kind, points), said, expected = LABELME[case]
  shape = {'label': 'cell', 'shape_type': kind, 'points': points}
  shape = shape if isinstance(kind, str) else labelled.mask_shape('cell', kind, points)
  labelled.labelme_files(tmp_path, shape)
  check_case(tmp_path, capsys, '--labelme json', 0, said, expected)


MASKS = {  # array or picture, suffix, flags, exit code, what is said, the first label
  'black and white': (square(255), 'png', '', 0, 'two classes, 0 is background and 255 is object', IS),
  'smaller': (IS[::2, ::2], 'png', '', 2, '(and 3 more: ', None),
  'resized': (IS[::2, ::2], 'png', '--resize-labels', 0, '4 labels were resized', IS),
  '2 bits': (labelled.grey_png(FOUR, 2), 'png', '', 0, '', FOUR),
  'gif': (PALETTE, 'gif', '', 0, '', IS),
  'tiff': (IS, 'tif', '', 0, '', IS),
  'bmp': (IS, 'bmp', '', 0, '', IS),
  'npy': (IS.astype(np.int64), 'npy', '', 0, '', IS),
  '16 bits': (IS.astype(np.uint16), 'png', '', 0, '', IS),
  '1 bit': (IS > 0, 'png', '', 0, '', IS),
  'three equal channels': (np.dstack([IS] * 3), 'png', '', 0, '', IS),
  'minus one': (IS.astype(int) - (COLUMNS < 5), 'npy', '', 0, '', np.where(COLUMNS < 5, 255, IS)),
  'smoothed': (RAMP, 'png', '', 2, 'mostly gaps', None),
  'by the line': (RAMP, 'png', f'{TABLE} --color-tolerance 128', 0, '80 pixels took the nearest', RAMP > 127),
  'gaps': (square(15), 'png', '', 2, 'mostly gaps', None),
  'named gaps': (square(15), 'png', '--class-map gaps.txt', 0, '', IS),
  '0 is void': (FOUR, 'png', '--zero-is-void', 0, '', np.where(FOUR, FOUR - 1, 255)),
  '0 and 2 are void': (FOUR, 'png', '--zero-is-void --ignore-label 2', 0, '', np.where(FOUR % 2, FOUR - 1, 255)),
  'no colours': (IS.astype(np.uint16) * 256, 'png', TABLE, 2, '16-bit grey levels', None),
  'transparent': (CLEAR, 'png', TABLE, 0, '2400 transparent pixels are void', np.where(COLUMNS < 10, 255, IS)),
  'white on transparent': (np.dstack([square(255)] * 4), 'png', '', 2, 'mogrify -background black', None),
  'a clear layer': (np.dstack([square(255)] * 4), 'png', TABLE, 0, 'is the only class', np.where(square(), 0, 255)),
  'jpeg of colours': (WHITE, 'jpg', TABLE, 0, 'took the nearest colour', IS),
  'black and white jpeg': (WHITE, 'jpg', '', 0, '', IS),
  'void everywhere': (square(255, 255), 'png', '', 2, 'void', None),
  'hardly anything': (square(1, 255, rows=(20, 25)), 'png', '', 2, '% of the pixels are void', None),
  'too many ids': (MANY, 'png', '', 2, 'at most 255 classes', None),
  'a void of 0': (IS, 'png', '--ignore-label 0', 2, '--zero-is-void', None),
  'colours': (np.dstack([square(9), square(7), square(3)]), 'png', '', 2, 'lines are `0 0 0 NAME`, `9 7 3 NAME`', None),
}
NAMED = {'black and white': ['background', 'object'], 'named gaps': ['background', 'person']}
NAMED['0 is void'] = ['class_0', 'class_1', 'class_2']


@pytest.mark.parametrize('case', MASKS)
def test_masks(tmp_path, capsys, case):
  array, suffix, *right = MASKS[case]
  labelled.mask_files(tmp_path, array, suffix)
  check_case(tmp_path, capsys, *right)
  assert case not in NAMED or classes(tmp_path) == NAMED[case]


KINDS = {'car': 'polygon', 'night': 'tag', 'joint': 'points', 'body': 'skeleton'}
LABELS = ''.join(f'<label><name>{name}</name><type>{kind}</type></label>' for name, kind in KINDS.items())
LABELS += '<label><name>arm</name><type>any</type><parent>body</parent></label>'


def test_cvat_labels_that_have_no_area_are_no_classes(tmp_path, capsys):
  labelled.cvat_file(tmp_path, labelled.POLYGON + '<tag label="night"/>', labels=LABELS)
  check_case(tmp_path, capsys, '--cvat cvat.xml', 0, '', IS)
  assert classes(tmp_path) == ['background', 'car']


def test_cvat_subsets_are_folders(tmp_path):
  labelled.cvat_file(tmp_path, labelled.POLYGON, subsets=('Train', 'Validation'))
  assert prepare(tmp_path, '--cvat', 'cvat.xml') == 0
  assert len(lines(tmp_path, 'train')) == 6 and label(tmp_path, 'Validation/img1').sum() == 400


@pytest.mark.parametrize('ending', ['.tif', '.bmp', '.webp', '.gif'])
def test_images_in_other_formats_are_converted_once(tmp_path, ending, capsys):
  labelled.mask_files(tmp_path, square())
  for i in range(4):
    (tmp_path / 'images' / f'img{i}.jpg').unlink()
    save(tmp_path / 'images' / f'img{i}{ending}', np.full((HEIGHT, WIDTH, 3), 80, np.uint8))
  tick(tmp_path)
  assert prepare(tmp_path) == 0 and prepare(tmp_path) == 0
  assert all(line.startswith('images_png/') for line in lines(tmp_path))
  assert '0 files written, 4 up to date' in capsys.readouterr().out


def test_palettes_of_another_order_are_told_by_colour(tmp_path, capsys):
  labelled.mask_files(tmp_path, square())
  colours, array = [(0, 0, 0), (255, 0, 0), (0, 255, 0)], square()
  array[:5] = 2
  for i, order in enumerate(([0, 1, 2], [0, 2, 1], [0, 1, 2], [0, 2, 1])):
    save(tmp_path / 'masks' / f'img{i}.png', np.argsort(order).astype(np.uint8)[array], [colours[j] for j in order])
  assert prepare(tmp_path) == 0
  for i in range(4):
    np.testing.assert_array_equal(label(tmp_path, f'img{i}'), array)
  assert 'masks/img0.png and masks/img1.png' in capsys.readouterr().err


NAMES = [
  ('images/{}_training.tif', 'masks/{}_manual1.gif', ''),
  ('images/{}_training.tif', 'masks/{}_manual1.gif', '--image-ending _training --mask-ending _manual1'),
  ('images/image_{}.jpg', 'masks/gt_{}.png', ''),
  ('images/image_{}.jpg', 'masks/gt_{}.png', '--image-prefix image_ --mask-prefix gt_'),
  ('images/IMG{}.JPG', 'masks/img{}.png', ''),
  ('images/caf\u00e9{}.jpg', 'masks/cafe\u0301{}.png', ''),  # two forms of one name
  ('images/aachen_{}_leftImg8bit.png', 'masks/aachen_{}_gtFine_labelTrainIds.png', ''),
  ('train/{}_sat.jpg', 'train/{}_mask.png', '--images train --masks train --mask-ending _mask'),
  ('{}.jpg', 'masks/{}.png', '--images .'),
  ('images/clip{}/a.jpg', 'masks/clip{}/a.png', ''),
]


@pytest.mark.parametrize(('image', 'mask', 'flags'), NAMES)
def test_what_names_share_pairs_them(tmp_path, image, mask, flags):
  for i in range(20, 24):
    photo(tmp_path / image.format(i), HEIGHT, WIDTH)
    save(tmp_path / mask.format(i), square())
  (tmp_path / image.format(20)).with_name('Thumbs.db').write_text('')
  assert prepare(tmp_path, *flags.split()) == 0
  assert len(lines(tmp_path)) == 4
  for line in lines(tmp_path):
    numbers = [''.join(filter(str.isdecimal, name))[:2] for name in line.split()]
    assert numbers[0] == numbers[1]
  assert check.main(['--data-dir', str(tmp_path), '--data-list', str(tmp_path / 'lists' / 'train.txt')]) == 0


def test_a_folder_that_another_process_prepares_is_left_alone(tmp_path, capsys):
  labelled.coco_file(tmp_path, labelled.coco(CAR))
  assert prepare(tmp_path, '--coco', 'coco.json') == 0
  record = (tmp_path / 'label_ids' / 'conversion.txt').read_bytes()
  with files.claim(tmp_path / 'label_ids', 'preparing'):
    assert prepare(tmp_path, '--coco', 'coco.json', '--unlabelled', 'void') == 2
  assert 'is writing there' in capsys.readouterr().err
  assert (tmp_path / 'label_ids' / 'conversion.txt').read_bytes() == record


def test_a_zigzag_of_many_points_takes_little_memory():
  x = np.linspace(1, 999, 10_000)
  ring = np.stack([x, np.where(np.arange(len(x)) % 2, 1.0, 999.0)], axis=1)
  tracemalloc.start()
  part = drawing.fill([ring], 1000, 1000)
  assert part.mask.any() and tracemalloc.get_traced_memory()[1] < 150e6
  tracemalloc.stop()
