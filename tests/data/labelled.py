"""Images of 60 x 80 with labels in every form that users bring, for the tests of prepare_own: four images of one label,
or one scene of a car and a tree before it (image a; b is empty), the same in every form."""

import base64
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from dataset import prepare_own
from tests.data import trees
from utils import errors

HEIGHT, WIDTH = 60, 80
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
CAR, TREE = (30, 20, 50, 40), (44, 10, 64, 30)  # boxes: left, top, right, bottom
SQUARE = [30, 20, 50, 20, 50, 40, 30, 40]  # the car's outline
POLYGON = '<polygon label="car" points="30,20;50,20;50,40;30,40" z_order="0"/>'
NAMES = ['background', 'car', 'tree']
COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)
TABLE = '# r g b name\n0 0 0 background\n200 10 10 car\n10,200,10 tree\n255 255 255 void\n'
FORMS = ('colors', 'zero-is-void', 'coco', 'labelme', 'cvat')


def prepare(folder, *flags) -> int:
  """Exit code."""
  argv = ['--data-dir', str(folder), '--list-dir', str(folder / 'lists'), '--val-fraction', '0.25', *map(str, flags)]
  return errors.run(prepare_own.main, argv)


def label(folder, name='img0') -> np.ndarray:
  return trees.png(folder / 'label_ids' / f'{name}.png')[0]


def classes(folder) -> list[str]:
  return (folder / 'lists' / 'classes.txt').read_text().split()


def lines(folder, *names) -> list[str]:
  """Of the lists; of train and val without names."""
  paths = [folder / 'lists' / f'{name}.txt' for name in names or ('train', 'val')]
  return [line for path in paths for line in path.read_text().splitlines()]


def square(value=1, ground=0, rows=(20, 40), columns=(30, 50)) -> np.ndarray:
  mask = np.full((HEIGHT, WIDTH), ground, np.uint8)
  mask[slice(*rows), slice(*columns)] = value
  return mask


def truth() -> np.ndarray:
  """Class ids of the scene."""
  return np.maximum(square(), square(2, rows=(10, 30), columns=(44, 64)))


def photo(path) -> None:
  trees.photo(path, HEIGHT, WIDTH)


def images(folder, names=('img0', 'img1', 'img2', 'img3'), sub=''):
  for name in names:
    photo(folder / 'images' / sub / f'{name}.jpg')
  return folder


def mask_files(folder, mask, suffix='png'):
  """The same mask (an array, a picture, or a file's bytes) for every image."""
  (folder / 'masks').mkdir(parents=True)
  for i in range(4):
    path = folder / 'masks' / f'img{i}.{suffix}'
    if isinstance(mask, bytes):
      path.write_bytes(mask)
    elif suffix == 'npy':
      np.save(path, mask)
    else:
      (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
  return images(folder)


def grey_png(ids, bits) -> bytes:
  """A grey PNG of fewer than 8 bits, which Pillow does not write."""

  def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

  packed = (ids.reshape(HEIGHT, -1, 8 // bits) << np.arange(8 - bits, -1, -bits)).sum(axis=2).astype(np.uint8)
  data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, bits, 0, 0, 0, 0))
  return data + chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row.tobytes() for row in packed))) + chunk(b'IEND', b'')


def coco(names=('a.jpg', 'b.jpg'), annotations=None, categories=(('car', 7), ('tree', 3))) -> dict:
  """The scene as a polygon and run lengths; or every one of the annotations on every image."""
  if annotations is None:
    tree = (truth() == 2).T.ravel()
    runs = np.diff(np.flatnonzero(np.diff(tree, prepend=False, append=~tree[-1])), prepend=0).tolist()
    mask = {'counts': runs, 'size': [HEIGHT, WIDTH]}
    everywhere = [{'id': 1, 'image_id': 10, 'category_id': 7, 'iscrowd': 0, 'segmentation': [SQUARE[:]]}]
    everywhere += [{'id': 2, 'image_id': 10, 'category_id': 3, 'segmentation': mask}]
  else:
    number = len(names)
    everywhere = [{'category_id': 1, 'image_id': 10 + i, **one} for i in range(number) for one in annotations]
  return {
    'images': [{'id': 10 + i, 'file_name': name, 'width': WIDTH, 'height': HEIGHT} for i, name in enumerate(names)],
    'categories': [{'id': key, 'name': name} for name, key in categories],
    'annotations': everywhere,
  }


def coco_file(folder, *annotations, names=('car',), **more):
  """The annotations on each of four images; `more`: further entries of images and categories."""
  categories = [(name, i) for i, name in enumerate(names, 1)]
  content = coco([f'img{i}.jpg' for i in range(4)], annotations, categories)
  for kind, entry in more.items():
    content[kind].append({**content[kind][0], **entry})
  (folder / 'a.json').write_text(json.dumps(content))
  return images(folder)


def mask_shape(name, left, top) -> dict:
  """LabelMe's shape of a mask of 20 x 20."""
  png = io.BytesIO()
  Image.fromarray(np.full((20, 20), 255, np.uint8)).save(png, 'PNG')
  points, mask = [[left, top], [left + 19, top + 19]], base64.b64encode(png.getvalue()).decode()
  return {'label': name, 'points': points, 'shape_type': 'mask', 'mask': mask}


def labelme(*shapes, **changes) -> dict:
  """The scene, or other shapes."""
  car = {'label': 'car', 'points': np.reshape(SQUARE, (4, 2)).tolist(), 'shape_type': 'polygon'}
  shapes = list(shapes) or [car, mask_shape('tree', *TREE[:2])]
  return {'shapes': shapes, 'imagePath': 'a.jpg', 'imageWidth': WIDTH, 'imageHeight': HEIGHT} | changes


def labelme_files(folder, shape):
  """One shape on each of four images."""
  (folder / 'json').mkdir()
  for i in range(4):
    (folder / 'json' / f'img{i}.json').write_text(json.dumps(labelme({'label': 'cell', **shape})))
  return images(folder)


def cvat(shapes=None, names=('a.jpg', 'b.jpg'), labels='', subsets=('',), everywhere=False) -> str:
  """The scene, or other shapes, on the first image, or on every one."""
  tree = '<box label="tree" xtl="44" ytl="10" xbr="64" ybr="30" z_order="1"/>'
  shapes = tree + POLYGON if shapes is None else shapes
  labels = labels or ''.join(f'<label><name>{name}</name></label>' for name in NAMES[1:])
  rows = ''
  for sub in subsets:
    for i, name in enumerate(names):
      rows += f'<image id="{i}" name="{name}" subset="{sub}" width="{WIDTH}" height="{HEIGHT}">'
      rows += (shapes if everywhere or i == 0 else '') + '</image>'
  return f'<annotations><meta><task><labels>{labels}</labels></task></meta>{rows}</annotations>'


def cvat_file(folder, shapes=POLYGON, **kwargs):
  names = [f'img{i}.jpg' for i in range(4)]
  (folder / 'a.xml').write_text(cvat(shapes, names, everywhere=True, **kwargs))
  for sub in kwargs.get('subsets', ('',)):
    images(folder, sub=sub)


def write(folder, form: str) -> list[str]:
  """The scene's images a and b and their labels; returns the flags that name them."""
  images(folder, 'ab')
  if form == 'coco':
    (folder / 'coco.json').write_text(json.dumps(coco()))
    return ['--coco', 'coco.json']
  if form == 'cvat':
    (folder / 'cvat.xml').write_text(cvat())
    return ['--cvat', 'cvat.xml']
  if form == 'labelme':
    (folder / 'json').mkdir()
    (folder / 'json' / 'a.json').write_text(json.dumps(labelme()))
    (folder / 'json' / 'b.json').write_text(json.dumps(labelme(shapes=[], imageWidth=None)))
    return ['--labelme', 'json']
  for name, ids in (('a', truth()), ('b', np.zeros_like(truth()))):
    trees.save(folder / 'masks' / f'{name}.png', COLOURS[ids] if form == 'colors' else ids + 1)
  (folder / 'colors.txt').write_text(TABLE)
  return ['--zero-is-void'] if form == 'zero-is-void' else ['--colors', str(folder / 'colors.txt')]
