"""What users bring: small sets of each kind, after public reports, and what is right for each."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from dataset import check, prepare_own
from dataset.formats import drawing, masks
from tests.data.trees import photo, save
from utils import errors, files

HEIGHT, WIDTH = 60, 80
SQUARE = [30, 20, 50, 20, 50, 40, 30, 40]
BACKGROUND, OBJECT = '0 0 0 background\n', '255 255 255 object\n'


def prepare(folder, *flags):
  """Exit code."""
  argv = ['--data-dir', str(folder), '--list-dir', str(folder / 'lists'), '--val-fraction', '0.25', *map(str, flags)]
  return errors.run(prepare_own.main, argv)


def label(folder, name='img0'):
  with Image.open(folder / 'label_ids' / f'{name}.png') as image:
    return np.asarray(image)


def classes(folder):
  return (folder / 'lists' / 'classes.txt').read_text().split()


def lines(folder, name):
  return (folder / 'lists' / f'{name}.txt').read_text().splitlines()


def images(folder, number=4, ending='.jpg', sub=''):
  for i in range(number):
    photo(folder / 'images' / sub / f'img{i}{ending}', HEIGHT, WIDTH)
  return folder


def square(value=1, ground=0):
  mask = np.full((HEIGHT, WIDTH), ground, np.uint8)
  mask[20:40, 30:50] = value
  return mask


def mask_files(folder, array, number=4, ending='.png', **kwargs):
  for i in range(number):
    save(folder / 'masks' / f'img{i}{ending}', array, **kwargs)
  return images(folder, number)


def coco(folder, annotations, number=4, categories=('car',), **changes):
  content = {
    'images': [{'id': i, 'file_name': f'img{i}.jpg', 'width': WIDTH, 'height': HEIGHT} for i in range(number)],
    'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, 1)],
    'annotations': [{'id': i, 'category_id': 1, **annotation} for i, annotation in enumerate(annotations)],
  }
  (folder / 'a.json').write_text(json.dumps(content | changes))
  return images(folder, number)


def everywhere(*annotations, number=4):
  return [{'image_id': i, **annotation} for i in range(number) for annotation in annotations]


def said(capsys):
  out, err = capsys.readouterr()
  return out + err


def test_a_category_of_crowds_alone_is_drawn_as_its_class(tmp_path, capsys):
  coco(tmp_path, everywhere({'segmentation': [SQUARE], 'iscrowd': 1}))
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  np.testing.assert_array_equal(label(tmp_path), square())
  assert '4 annotations of car are marked as crowd' in said(capsys)


@pytest.mark.parametrize('kind', ['images', 'categories'])
def test_two_entries_of_one_id_are_refused_with_both(tmp_path, capsys, kind):
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}))
  content = json.loads((tmp_path / 'a.json').read_text())
  content[kind] += [{**content[kind][0], 'file_name': 'other.jpg', 'name': 'other'}]
  (tmp_path / 'a.json').write_text(json.dumps(content))
  assert prepare(tmp_path, '--coco', 'a.json') == 2
  text = said(capsys)
  assert 'have the same id' in text and 'other' in text and ('img0' in text or 'car' in text)
  content[kind][-1]['id'] = None
  (tmp_path / 'a.json').write_text(json.dumps(content))
  assert prepare(tmp_path, '--coco', 'a.json') == 2 and 'has no id' in said(capsys)


def test_ids_as_text_are_those_as_numbers(tmp_path):
  coco(tmp_path, everywhere({'segmentation': [SQUARE], 'category_id': '1'}))
  assert prepare(tmp_path, '--coco', 'a.json') == 0 and label(tmp_path).sum() == 400


def test_degenerate_outlines_are_left_out_and_counted(tmp_path, capsys):
  coco(tmp_path, everywhere({'segmentation': [SQUARE, [40.0, 30.0]]}, {'segmentation': []}, {'bbox': [1, 1, 2, 2]}))
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  np.testing.assert_array_equal(label(tmp_path), square())
  text = said(capsys)
  assert '4 annotations of car have an outline of fewer than three points' in text
  assert '8 annotations of car were skipped: no outline' in text
  assert text.splitlines()[-2] in (tmp_path / 'label_ids' / 'conversion.txt').read_text()


def test_boxes_alone_are_refused(tmp_path, capsys):
  coco(tmp_path, everywhere({'bbox': [1, 1, 20, 20]}))
  assert prepare(tmp_path, '--coco', 'a.json') == 2 and 'boxes without a single outline' in said(capsys)


def test_small_over_large_unless_the_file_orders(tmp_path, capsys):
  facade = {'category_id': 2, 'segmentation': [[5, 4, 70, 4, 70, 56, 5, 56]]}
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}, facade), categories=('window', 'facade'))
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  assert (label(tmp_path) == 1).sum() == 400 and '11.8% of the outlined pixels of facade are covered' in said(capsys)
  assert prepare(tmp_path, '--coco', 'a.json', '--order', 'file') == 2  # the windows are gone: that is no silent loss
  assert 'no pixel of the labels is window' in said(capsys)


def test_absent_images_are_named_and_the_rest_is_prepared_in_sub_folders_too(tmp_path, capsys):
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}))
  for name in ('img1', 'img2'):
    (tmp_path / 'images' / f'{name}.jpg').unlink()
  (tmp_path / 'images' / 'deep').mkdir()
  (tmp_path / 'images' / 'img3.jpg').rename(tmp_path / 'images' / 'deep' / 'img3.jpg')
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  assert '2 of its images are missing (img1, img2)' in said(capsys).splitlines()[-1]
  assert len(lines(tmp_path, 'train') + lines(tmp_path, 'val')) == 2 and label(tmp_path, 'deep/img3').sum() == 400


def labelme(folder, *shapes, number=4):
  (folder / 'json').mkdir()
  for i in range(number):
    content = {'shapes': list(shapes), 'imagePath': 'x.jpg', 'imageHeight': HEIGHT, 'imageWidth': WIDTH}
    (folder / 'json' / f'img{i}.json').write_text(json.dumps(content))
  return images(folder, number)


def shape(kind, points, **more):
  return {'label': 'cell', 'shape_type': kind, 'points': points, **more}


def test_shapes_over_the_border_are_clipped_and_counted(tmp_path, capsys):
  labelme(tmp_path, shape('circle', [[6, 30], [20, 30]]))
  assert prepare(tmp_path, '--labelme', 'json') == 0
  rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
  np.testing.assert_array_equal(label(tmp_path), np.hypot(columns - 6, rows - 30) < 14)
  assert '4 outlines of cell reach over the border and were clipped' in said(capsys)


def test_turned_rectangles_are_drawn(tmp_path):
  corners = [[20, 30], [40, 10], [55, 25], [35, 45]]
  for i, kind in enumerate(('oriented_rectangle', 'rotation', 'polygon')):
    labelme(tmp_path / str(i), shape(kind, corners)) if (tmp_path / str(i)).mkdir() is None else None
    assert prepare(tmp_path / str(i), '--labelme', 'json') == 0
  assert label(tmp_path / '0').sum() > 500
  np.testing.assert_array_equal(label(tmp_path / '0'), label(tmp_path / '2'))
  np.testing.assert_array_equal(label(tmp_path / '1'), label(tmp_path / '2'))


@pytest.mark.parametrize(
  ('corner', 'left', 'columns'), [((30.0, 20.0), 30, 20), ((30.7, 20.3), 31, 20), ((-5.0, 20.0), 0, 15)]
)
def test_labelme_masks_are_rounded_and_clipped(tmp_path, corner, left, columns):
  import base64
  import io

  png = io.BytesIO()
  Image.fromarray(np.full((20, 20), 255, np.uint8)).save(png, 'PNG')
  points = [list(corner), [corner[0] + 19, corner[1] + 19]]
  labelme(tmp_path, shape('mask', points, mask=base64.b64encode(png.getvalue()).decode()))
  assert prepare(tmp_path, '--labelme', 'json') == 0
  expected = np.zeros((HEIGHT, WIDTH), np.uint8)
  expected[20:40, left : left + columns] = 1
  np.testing.assert_array_equal(label(tmp_path), expected)


def cvat(folder, labels, images_and_shapes):
  rows = [
    f'<image id="{i}" name="{name}" {more} width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    for i, (name, more, shapes) in enumerate(images_and_shapes)
  ]
  text = f'<annotations><meta><task><labels>{labels}</labels></task></meta>{"".join(rows)}</annotations>'
  (folder / 'a.xml').write_text(text)


POLYGON = '<polygon label="leaf" points="30,20;50,20;50,40;30,40" z_order="0"/>'


def test_cvat_subsets_are_folders(tmp_path):
  for sub in ('Train', 'Validation'):
    images(tmp_path, 2, sub=sub)
  rows = [(f'img{i}.jpg', f'subset="{sub}"', POLYGON) for sub in ('Train', 'Validation') for i in range(2)]
  cvat(tmp_path, '<label><name>leaf</name></label>', rows)
  assert prepare(tmp_path, '--cvat', 'a.xml') == 0
  assert len(lines(tmp_path, 'train')) == 3 and label(tmp_path, 'Validation/img1').sum() == 400


def test_cvat_labels_that_have_no_area_are_no_classes(tmp_path):
  images(tmp_path, 2)
  kinds = {'leaf': 'polygon', 'night': 'tag', 'joint': 'points', 'body': 'skeleton'}
  labels = ''.join(f'<label><name>{name}</name><type>{kind}</type></label>' for name, kind in kinds.items())
  labels += '<label><name>arm</name><type>any</type><parent>body</parent></label>'
  cvat(tmp_path, labels, [(f'img{i}.jpg', '', POLYGON + '<tag label="night"/>') for i in range(2)])
  assert prepare(tmp_path, '--cvat', 'a.xml') == 0 and classes(tmp_path) == ['background', 'leaf']


def test_black_and_white_masks_are_two_classes(tmp_path, capsys):
  mask_files(tmp_path, square(255))
  assert prepare(tmp_path) == 0
  np.testing.assert_array_equal(label(tmp_path), square())
  assert classes(tmp_path) == ['background', 'object'] and '0 is background and 255 is object' in said(capsys)


def test_labels_of_another_size_are_one_line_and_can_be_resized(tmp_path, capsys):
  mask_files(tmp_path, square()[::2, ::2])
  assert prepare(tmp_path) == 2
  text = said(capsys)
  assert (
    text.count('error: ') == 1
    and 'img0.png: is 40 x 30' in text
    and '(and 3 more: ' in text
    and '--resize-labels' in text
  )
  assert prepare(tmp_path, '--resize-labels') == 0
  np.testing.assert_array_equal(label(tmp_path), square())


def test_low_depth_grey_holds_ids(tmp_path):
  ids = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4
  mask_files(tmp_path, ids.astype(np.uint8))
  import struct
  import zlib

  def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

  for bits in (2, 4):
    packed = ids.reshape(HEIGHT, -1, 8 // bits)
    shifts = np.arange(8 - bits, -1, -bits)
    rows = (packed << shifts).sum(axis=2).astype(np.uint8)
    data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, bits, 0, 0, 0, 0))
    data += chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))) + chunk(b'IEND', b'')
    for i in range(4):
      (tmp_path / 'masks' / f'img{i}.png').write_bytes(data)
    assert prepare(tmp_path) == 0
    np.testing.assert_array_equal(label(tmp_path), ids)


FORMATS = [('.gif', 'P'), ('.tif', 'L'), ('.bmp', 'L'), ('.npy', 'L'), ('.png', 'I;16'), ('.png', 'RGB'), ('.png', '1')]


@pytest.mark.parametrize(('ending', 'mode'), FORMATS)
def test_masks_in_every_format_hold_the_same_ids(tmp_path, ending, mode):
  images(tmp_path)
  (tmp_path / 'masks').mkdir()
  for i in range(4):
    path = tmp_path / 'masks' / f'img{i}{ending}'
    if ending == '.npy':
      np.save(path, square().astype(np.int64))
    elif mode == 'P':
      save(path, square(), palette=[(0, 0, 0), (200, 0, 0)])
    elif mode == 'I;16':
      Image.fromarray(square().astype(np.uint16)).save(path)
    elif mode == '1':
      Image.fromarray(square() > 0).save(path)
    else:
      Image.fromarray(square()).convert(mode).save(path)
  assert prepare(tmp_path) == 0
  np.testing.assert_array_equal(label(tmp_path), square())


@pytest.mark.parametrize('ending', ['.tif', '.bmp', '.webp', '.gif'])
def test_images_in_other_formats_are_converted_once(tmp_path, ending, capsys):
  mask_files(tmp_path, square())
  for i in range(4):
    (tmp_path / 'images' / f'img{i}.jpg').unlink()
    save(tmp_path / 'images' / f'img{i}{ending}', np.full((HEIGHT, WIDTH, 3), 80, np.uint8))
  assert prepare(tmp_path) == 0 and prepare(tmp_path) == 0
  assert all(line.startswith('images_png/') for line in lines(tmp_path, 'train'))
  assert '0 files written, 4 up to date' in said(capsys)


def test_smoothed_edges_are_refused_and_the_line_works(tmp_path, capsys):
  ramp = square(255)
  ramp[20:40, 29] = np.linspace(1, 254, 20)
  mask_files(tmp_path, ramp)
  assert prepare(tmp_path) == 2
  text = said(capsys)
  assert 'mostly gaps' in text and '--colors colors.txt --color-tolerance 128' in text
  (tmp_path / 'colors.txt').write_text(BACKGROUND + OBJECT)
  assert prepare(tmp_path, '--colors', 'colors.txt', '--color-tolerance', 128) == 0  # the path is below the data
  np.testing.assert_array_equal(label(tmp_path), ramp > 127)
  assert '80 pixels took the nearest colour' in said(capsys)


@pytest.mark.parametrize(('flags', 'two'), [((), 1), (('--ignore-label', 2), 255)])
def test_zero_is_void_and_k_is_class_k_minus_1(tmp_path, flags, two):
  mask_files(tmp_path, np.resize(np.array([0, 1, 2, 3, 255], np.uint8), (HEIGHT, WIDTH)))
  assert prepare(tmp_path, '--zero-is-void', *flags) == 0
  assert label(tmp_path).flat[:5].tolist() == [255, 0, two, 2, 255]
  assert classes(tmp_path) == ['class_0', 'class_1', 'class_2']


def test_ids_that_are_mostly_gaps_are_refused_unless_they_are_named(tmp_path, capsys):
  mask_files(tmp_path, square(15))
  assert prepare(tmp_path) == 2 and 'mostly gaps' in said(capsys)
  (tmp_path / 'map.txt').write_text('0 -> background\n15 -> person\n')
  assert prepare(tmp_path, '--class-map', 'map.txt') == 0
  np.testing.assert_array_equal(label(tmp_path), square())
  assert classes(tmp_path) == ['background', 'person']


def test_palettes_of_another_order_are_told_by_colour(tmp_path, capsys):
  mask_files(tmp_path, square())
  colours = [(0, 0, 0), (255, 0, 0), (0, 255, 0)]
  for i, order in enumerate(([0, 1, 2], [0, 2, 1], [0, 1, 2], [0, 2, 1])):
    array = square(1)
    array[:5] = 2
    save(tmp_path / 'masks' / f'img{i}.png', np.argsort(order).astype(np.uint8)[array], [colours[j] for j in order])
  assert prepare(tmp_path) == 0
  for i in range(4):
    np.testing.assert_array_equal(label(tmp_path, f'img{i}'), label(tmp_path))
  assert len(np.unique(label(tmp_path))) == 3
  assert 'masks/img0.png and masks/img1.png' in said(capsys)


def test_grey_levels_of_16_bits_are_no_colours(tmp_path, capsys):
  images(tmp_path)
  (tmp_path / 'masks').mkdir()
  for i in range(4):
    Image.fromarray(square().astype(np.uint16) * 256 * (1 + i % 2)).save(tmp_path / 'masks' / f'img{i}.png')
  (tmp_path / 'colors.txt').write_text(BACKGROUND + OBJECT)
  assert prepare(tmp_path, '--colors', 'colors.txt') == 2 and '16-bit grey levels' in said(capsys)


def test_transparent_pixels_are_void(tmp_path, capsys):
  alpha = np.where(np.arange(WIDTH) < 10, 0, 255).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
  mask_files(tmp_path, np.dstack([square(255)] * 3 + [alpha]))
  (tmp_path / 'colors.txt').write_text(BACKGROUND + OBJECT)
  assert prepare(tmp_path, '--colors', 'colors.txt') == 0
  assert (label(tmp_path)[:, :10] == 255).all() and '2400 transparent pixels are void' in said(capsys)


def test_jpeg_masks_take_the_nearest_colour(tmp_path, capsys):
  mask_files(tmp_path, square(255), ending='.jpg')
  (tmp_path / 'colors.txt').write_text(BACKGROUND + OBJECT)
  for flags in (['--colors', 'colors.txt'], []):
    assert prepare(tmp_path, *flags) == 0
    np.testing.assert_array_equal(label(tmp_path), square())


NAMES = [
  ('{}_training.tif', '{}_manual1.gif', ()),
  ('{}_training.tif', '{}_manual1.gif', ('--image-ending', '_training', '--mask-ending', '_manual1')),
  ('image_{}.jpg', 'gt_{}.png', ()),
  ('image_{}.jpg', 'gt_{}.png', ('--image-prefix', 'image_', '--mask-prefix', 'gt_')),
  ('IMG{}.JPG', 'img{}.png', ()),
  ('caf\u00e9{}.jpg', 'cafe\u0301{}.png', ()),  # two forms of one name
  ('aachen_{}_leftImg8bit.png', 'aachen_{}_gtFine_labelTrainIds.png', ()),
]


@pytest.mark.parametrize(('image', 'mask', 'flags'), NAMES)
def test_what_names_share_pairs_them(tmp_path, image, mask, flags):
  for i in range(20, 24):
    photo(tmp_path / 'images' / image.format(i), HEIGHT, WIDTH)
    save(tmp_path / 'masks' / mask.format(i), square())
  (tmp_path / 'images' / 'Thumbs.db').write_text('')
  assert prepare(tmp_path, *flags) == 0
  for line in lines(tmp_path, 'train'):
    numbers = [''.join(filter(str.isdecimal, pathlib.Path(name).stem))[:2] for name in line.split()]
    assert numbers[0] == numbers[1]


def test_images_and_masks_in_one_folder(tmp_path):
  for i in range(4):
    photo(tmp_path / 'train' / f'{i}_sat.jpg', HEIGHT, WIDTH)
    save(tmp_path / 'train' / f'{i}_mask.png', np.dstack([square(255)] * 3))
  (tmp_path / 'colors.txt').write_text(BACKGROUND + OBJECT)
  flags = '--images', 'train', '--masks', 'train', '--mask-ending', '_mask', '--colors', 'colors.txt'
  assert prepare(tmp_path, *flags) == 0 and len(lines(tmp_path, 'train')) == 3


def test_masks_below_the_folder_of_images(tmp_path):
  for i in range(4):
    photo(tmp_path / f'{i}.jpg', HEIGHT, WIDTH)
    save(tmp_path / 'masks' / f'{i}.png', square())
  assert prepare(tmp_path, '--images', '.') == 0 and len(lines(tmp_path, 'train')) == 3


def test_minus_one_is_void_and_white_on_transparent_is_named(tmp_path, capsys):
  images(tmp_path)
  (tmp_path / 'masks').mkdir()
  for i in range(4):
    np.save(tmp_path / 'masks' / f'img{i}.npy', square().astype(int) - (np.arange(WIDTH) < 5))
  assert prepare(tmp_path) == 0 and (label(tmp_path)[:, :5] == 255).all()
  for i in range(4):
    (tmp_path / 'masks' / f'img{i}.npy').unlink()
    save(tmp_path / 'masks' / f'img{i}.png', np.dstack([square(255)] * 4))
  assert prepare(tmp_path) == 2 and 'mogrify -background black' in said(capsys)


def test_splits_in_capitals_and_a_val_from_train(tmp_path, capsys):
  for split in ('Train', 'TEST'):
    for i in range(8):
      photo(tmp_path / 'images' / split / f'{i}.jpg', HEIGHT, WIDTH)
      save(tmp_path / 'masks' / split.lower() / f'{i}.png', square())
  assert prepare(tmp_path, '--images', 'images/{split}', '--masks', 'masks/{split}') == 0
  assert [len(lines(tmp_path, name)) for name in ('train', 'val', 'test')] == [6, 2, 8]
  assert '--val-fraction 0.25 of train becomes val' in said(capsys)


def test_tables_of_other_tools(tmp_path):
  expected = {(0, 0, 0): 'background', (128, 64, 128): 'wide road'}
  for text in (
    '# label:color_rgb:parts:actions\nbackground:0,0,0::\nwide road:128,64,128::\n',
    'name,r,g,b\nbackground,0,0,0\nwide road,128,64,128\n',
    'id,name,r,g,b\n0,background,0,0,0\n1,wide road,128,64,128\n',
    'background 0 0 0\nwide road 128 64 128\n',
    '0,0,0,background\n128,64,128,wide road\n',
  ):
    (tmp_path / 't.txt').write_text(text)
    assert masks.read_colour_table(str(tmp_path / 't.txt')) == expected


def test_equal_names_in_sub_folders_are_different_images(tmp_path):
  for sub in ('clip0', 'clip1'):
    images(tmp_path, 2, sub=sub)
    for i in range(2):
      save(tmp_path / 'masks' / sub / f'img{i}.png', square())
  assert prepare(tmp_path) == 0
  assert check.main(['--data-dir', str(tmp_path), '--data-list', str(tmp_path / 'lists' / 'train.txt')]) == 0


def test_a_photo_that_is_stored_upside_down_is_named(tmp_path, capsys):
  mask_files(tmp_path, square())
  exif = Image.Exif()
  exif[274] = 3
  Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'images' / 'img0.jpg', exif=exif)
  assert prepare(tmp_path) == 1 and 'img0.jpg: has EXIF orientation 3' in said(capsys)
  assert len(lines(tmp_path, 'train') + lines(tmp_path, 'val')) == 3


def test_class_map_merges_renames_and_leaves_out(tmp_path, capsys):
  other = {'category_id': 2, 'segmentation': [[60, 5, 70, 5, 70, 15, 60, 15]]}
  third = {'category_id': 3, 'segmentation': [[5, 5, 15, 5, 15, 15, 5, 15]]}
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}, other, third), categories=('sedan', 'lorry', 'dirt'))
  (tmp_path / 'map.txt').write_text('sedan -> car\n2 -> car  # by its id\ndirt -> void\n')
  assert prepare(tmp_path, '--coco', 'a.json', '--class-map', 'map.txt') == 0
  assert classes(tmp_path) == ['background', 'car']
  assert (label(tmp_path) == 1).sum() == 500 and (label(tmp_path) == 255).sum() == 100
  (tmp_path / 'map.txt').write_text('sedann -> car\n')
  assert prepare(tmp_path, '--coco', 'a.json', '--class-map', 'map.txt') == 2 and "'sedann'" in said(capsys)


REFUSED = [  # masks, flags, what the line holds
  (square(1, 255) * 0 + 255, (), 'void'),
  (square(1, 255), (), '% of the pixels are void'),
  (np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 300, (), 'at most 255 classes'),
  (square(), ('--ignore-label', '0'), '--zero-is-void'),
  (np.dstack([square(9), square(7), square(3)]), (), '--colors colors.txt, whose lines are `0 0 0 NAME`, `9 7 3 NAME`'),
]


@pytest.mark.parametrize(('array', 'flags', 'words'), REFUSED)
def test_what_is_refused_says_what_to_type(tmp_path, capsys, array, flags, words):
  if words.startswith('%'):
    array[25:, :] = 255
  images(tmp_path)
  (tmp_path / 'masks').mkdir()
  for i in range(4):
    Image.fromarray(array).save(tmp_path / 'masks' / f'img{i}.png')
  assert prepare(tmp_path, *flags) == 2
  text = said(capsys)
  assert words in text and text.count('error: ') == 1 and not (tmp_path / 'lists').exists()


def test_an_archive_and_another_encoding_are_named(tmp_path, capsys):
  images(tmp_path)
  for data, words in ((b'PK\3\4rest', 'is a .zip archive'), ('{"name": "Stra\u00dfe"}'.encode('cp1252'), 'UTF-8')):
    (tmp_path / 'a.json').write_bytes(data)
    assert prepare(tmp_path, '--coco', 'a.json') == 2 and words in said(capsys)


def test_a_folder_that_another_process_prepares_is_left_alone(tmp_path, capsys):
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}))
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  record = (tmp_path / 'label_ids' / 'conversion.txt').read_bytes()
  with files.claim(tmp_path / 'label_ids', 'preparing'):
    assert prepare(tmp_path, '--coco', 'a.json', '--unlabelled', 'void') == 2
  assert 'is writing there' in said(capsys) and (tmp_path / 'label_ids' / 'conversion.txt').read_bytes() == record


def test_nothing_is_written_through_a_link(tmp_path, capsys):
  mask_files(tmp_path / 'data', square(255))
  (tmp_path / 'victim').mkdir()
  for name in ('conversion.txt', 'img0.png'):
    (tmp_path / 'victim' / name).write_text('precious')
  (tmp_path / 'data' / 'label_ids').symlink_to(tmp_path / 'victim')
  assert prepare(tmp_path / 'data') == 2 and 'is a link' in said(capsys)
  assert {path.read_text() for path in (tmp_path / 'victim').iterdir()} == {'precious'}


def test_links_to_images_and_folders_are_read(tmp_path):
  mask_files(tmp_path / 'elsewhere', square())
  for name in ('images', 'masks'):
    (tmp_path / 'data' / name).mkdir(parents=True)
    (tmp_path / 'data' / name / 'all').symlink_to(tmp_path / 'elsewhere' / name)
  (tmp_path / 'data' / 'images' / 'all' / 'loop').symlink_to(tmp_path / 'data' / 'images')
  assert prepare(tmp_path / 'data') == 0 and len(lines(tmp_path / 'data', 'train')) == 3


def test_a_conversion_of_other_settings_is_not_taken_for_this_one(tmp_path):
  """What was converted by other settings is made again, even where a run was killed in between."""
  coco(tmp_path, everywhere({'segmentation': [SQUARE]}))
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  times = (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns
  assert prepare(tmp_path, '--coco', 'a.json') == 0
  assert (tmp_path / 'label_ids' / 'img0.png').stat().st_mtime_ns == times
  (tmp_path / 'label_ids' / 'conversion.txt').write_text('whatever a killed run left')
  assert prepare(tmp_path, '--coco', 'a.json', '--unlabelled', 'void', '--max-void', 1) == 0
  assert (label(tmp_path) == 255).sum() == HEIGHT * WIDTH - 400


def test_a_zigzag_of_many_points_takes_little_memory():
  import tracemalloc

  x = np.linspace(1, 1999, 20_000)
  ring = np.stack([x, np.where(np.arange(len(x)) % 2, 1.0, 1999.0)], axis=1)
  tracemalloc.start()
  part = drawing.fill([ring], 2000, 2000)
  assert part.mask.any() and tracemalloc.get_traced_memory()[1] < 400e6
  tracemalloc.stop()
