"""Four images of 60 x 80 with labels in every form that users bring, for the tests of prepare_own: one label on every
image, or the scene of a car and a tree before it on all but the last, which is the same in every form."""

import base64
import io
import json

import numpy as np
from PIL import Image

from dataset import prepare_own
from tests.data import trees
from utils import errors
from utils.labels import read_classes

HEIGHT, WIDTH = 60, 80
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
NAMES = ('img0', 'img1', 'img2', 'img3')
CLASSES = ['background', 'car', 'tree']
COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)
TABLE = '# r g b name\n0 0 0 background\n200 10 10 car\n10,200,10 tree\n255 255 255 void\n'
FORMS = {  # the flags that name the scene
  'colors': ['--colors', 'colors.txt'],
  'zero-is-void': ['--zero-is-void'],
  'coco': ['--coco', 'coco.json'],
  'labelme': ['--labelme', 'json'],
  'cvat': ['--cvat', 'cvat.xml'],
}


def prepare(folder, *flags) -> int:
  """Exit code."""
  argv = ['--data-dir', str(folder), '--list-dir', str(folder / 'lists'), '--val-fraction', '0.25', *map(str, flags)]
  return errors.run(prepare_own.main, argv)


def label(folder, name='img0') -> np.ndarray:
  return trees.png(folder / 'label_ids' / f'{name}.png')[0]


def classes(folder) -> list[str]:
  return read_classes(folder / 'lists' / 'classes.csv').names


def lines(folder, *names) -> list[str]:
  """Of the lists; of train and val without names."""
  return [line for name in names or ('train', 'val') for line in trees.read_list(folder / 'lists', name)]


def square(value=1, ground=0, rows=(20, 40), columns=(30, 50)) -> np.ndarray:
  mask = np.full((HEIGHT, WIDTH), ground, np.uint8)
  mask[slice(*rows), slice(*columns)] = value
  return mask


def whole(part, height, width) -> np.ndarray:
  """A drawn part's mask in the whole image."""
  image = np.zeros((height, width), bool)
  image[part.top : part.top + part.mask.shape[0], part.left : part.left + part.mask.shape[1]] = part.mask
  return image


TRUTH = np.maximum(square(), square(2, rows=(10, 30), columns=(44, 64)))  # class ids of the scene


def photo(path) -> None:
  trees.photo(path, HEIGHT, WIDTH)


def images(folder, names=NAMES, sub=''):
  for name in names:
    photo(folder / 'images' / sub / f'{name}.jpg')
  return folder


def mask_files(folder, mask, suffix='png'):
  """The same mask (an array, a picture, or a file's bytes) for every image."""
  (folder / 'masks').mkdir(parents=True)
  for name in NAMES:
    path = folder / 'masks' / f'{name}.{suffix}'
    if isinstance(mask, bytes):
      path.write_bytes(mask)
    elif suffix == 'npy':
      np.save(path, mask)
    else:
      (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
  return images(folder)


def grey_png(ids, bits) -> bytes:
  """A grey PNG of fewer than 8 bits, which Pillow does not write."""
  packed = (ids.reshape(HEIGHT, -1, 8 // bits) << np.arange(8 - bits, -1, -bits)).sum(axis=2).astype(np.uint8)
  return trees.raw_png(WIDTH, HEIGHT, bits, 0, b''.join(b'\0' + row.tobytes() for row in packed))


SQUARE = [30, 20, 50, 20, 50, 40, 30, 40]  # the car's outline
_RUNS = np.flatnonzero(np.diff(TRUTH.T.ravel() == 2, prepend=False, append=True))
CAR = {'category_id': 7, 'segmentation': [SQUARE]}
TREE = {'category_id': 3, 'segmentation': {'counts': np.diff(_RUNS, prepend=0).tolist(), 'size': [HEIGHT, WIDTH]}}
SCENE = (CAR, TREE)


def coco(*annotations, names=NAMES, categories=(('car', 7), ('tree', 3))) -> dict:
  """The annotations on every image, or the scene."""
  marked = [(i, one) for i in range(len(names) - (not annotations)) for one in annotations or SCENE]
  return {
    'images': [
      {'id': 10 + i, 'file_name': f'{name}.jpg', 'width': WIDTH, 'height': HEIGHT} for i, name in enumerate(names)
    ],
    'categories': [{'id': key, 'name': name} for name, key in categories],
    'annotations': [{'id': number, 'image_id': 10 + i, **one} for number, (i, one) in enumerate(marked, 1)],
  }


def coco_file(folder, content: dict, name='coco.json'):
  (folder / name).write_text(json.dumps(content))
  return images(folder)


def mask_shape(name, left, top) -> dict:
  """LabelMe's shape of a mask of 20 x 20."""
  png = io.BytesIO()
  Image.fromarray(np.full((20, 20), 255, np.uint8)).save(png, 'PNG')
  points, mask = [[left, top], [left + 19, top + 19]], base64.b64encode(png.getvalue()).decode()
  return {'label': name, 'points': points, 'shape_type': 'mask', 'mask': mask}


def labelme(*shapes) -> dict:
  """The scene, or other shapes."""
  car = {'label': 'car', 'points': np.reshape(SQUARE, (4, 2)).tolist(), 'shape_type': 'polygon'}
  shapes = list(shapes) or [car, mask_shape('tree', 44, 10)]
  return {'shapes': shapes, 'imagePath': 'a.jpg', 'imageWidth': WIDTH, 'imageHeight': HEIGHT}


def labelme_files(folder, *shapes):
  """The shapes on every image, or the scene."""
  (folder / 'json').mkdir()
  for name in NAMES:
    empty = not shapes and name == NAMES[-1]
    content = labelme(*shapes) | ({'shapes': [], 'imageWidth': None} if empty else {})
    (folder / 'json' / f'{name}.json').write_text(json.dumps(content))
  return images(folder)


POLYGON = '<polygon label="car" points="30,20;50,20;50,40;30,40" z_order="0"/>'


def cvat(shapes='', names=NAMES, labels='', subsets=('',)) -> str:
  """The shapes on every image, or the scene."""
  scene = '<box label="tree" xtl="44" ytl="10" xbr="64" ybr="30" z_order="1"/>' + POLYGON
  labels = labels or ''.join(f'<label><name>{name}</name></label>' for name in CLASSES[1:])
  rows = ''
  for sub in subsets:
    for i, name in enumerate(names):
      rows += f'<image id="{i}" name="{name}.jpg" subset="{sub}" width="{WIDTH}" height="{HEIGHT}">'
      rows += (shapes or (scene if i < len(names) - 1 else '')) + '</image>'
  return f'<annotations><meta><task><labels>{labels}</labels></task></meta>{rows}</annotations>'


def cvat_file(folder, *args, **kwargs):
  (folder / 'cvat.xml').write_text(cvat(*args, **kwargs))
  for sub in kwargs.get('subsets', ('',)):
    images(folder, sub=sub)


def write(folder, form: str) -> list[str]:
  """The scene; returns the flags that name it."""
  if form == 'coco':
    coco_file(folder, coco())
  elif form == 'cvat':
    cvat_file(folder)
  elif form == 'labelme':
    labelme_files(folder)
  else:
    (images(folder) / 'colors.txt').write_text(TABLE)
    for name in NAMES:
      ids = TRUTH if name != NAMES[-1] else np.zeros_like(TRUTH)
      trees.save(folder / 'masks' / f'{name}.png', COLOURS[ids] if form == 'colors' else ids + 1)
  return FORMS[form]
