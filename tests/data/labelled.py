"""One small scene in every form that labels come in, for the tests of prepare_own."""

import base64
import io
import json

import numpy as np
from PIL import Image

from tests.data import trees

WIDTH, HEIGHT = 12, 9
NAMES = ['background', 'car', 'tree']
COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)
CAR, TREE = (2, 3, 8, 7), (6, 1, 11, 5)  # boxes: left, top, right, bottom; the tree is in front
TABLE = '# r g b name\n0 0 0 background\n200 10 10 car\n10,200,10 tree\n255 255 255 void\n'


def truth() -> np.ndarray:
  """Class ids, uint8 [9, 12], of both boxes."""
  label = np.zeros((HEIGHT, WIDTH), np.uint8)
  for class_id, (left, top, right, bottom) in enumerate((CAR, TREE), 1):
    label[top:bottom, left:right] = class_id
  return label


def photo(path) -> None:
  trees.photo(path, HEIGHT, WIDTH)


def corners(box) -> list[list[float]]:
  left, top, right, bottom = box
  return [[left, top], [right, top], [right, bottom], [left, bottom]]


def coco(names=('a.jpg', 'b.jpg')) -> dict:
  """The first image has the scene as a polygon and run lengths; the others have nothing."""
  mask = truth() == 2
  runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=~mask.T.ravel()[-1])), prepend=0)
  return {
    'images': [{'id': 10 + i, 'file_name': name, 'width': WIDTH, 'height': HEIGHT} for i, name in enumerate(names)],
    'categories': [{'id': 7, 'name': 'car'}, {'id': 3, 'name': 'tree'}],
    'annotations': [
      {'id': 1, 'image_id': 10, 'category_id': 7, 'iscrowd': 0, 'segmentation': [sum(corners(CAR), [])]},
      {'id': 2, 'image_id': 10, 'category_id': 3, 'segmentation': {'counts': runs.tolist(), 'size': [HEIGHT, WIDTH]}},
    ],
  }


def labelme(**changes) -> dict:
  left, top, right, bottom = TREE
  mask = io.BytesIO()
  Image.fromarray(np.full((bottom - top, right - left), 255, np.uint8)).save(mask, 'PNG')
  shapes = [{'label': 'car', 'points': corners(CAR), 'shape_type': 'polygon'}]
  shapes += [{'label': 'tree', 'points': [[left, top], [right - 1, bottom - 1]], 'shape_type': 'mask'}]
  shapes[1]['mask'] = base64.b64encode(mask.getvalue()).decode()
  return {'shapes': shapes, 'imagePath': 'a.jpg', 'imageWidth': WIDTH, 'imageHeight': HEIGHT} | changes


def cvat(shapes: str | None = None, names=('a.jpg', 'b.jpg')) -> str:
  if shapes is None:
    tree = '<box label="tree" xtl="6" ytl="1" xbr="11" ybr="5" z_order="1"/>'
    points = ';'.join(f'{x},{y}' for x, y in corners(CAR))
    shapes = tree + f'<polygon label="car" points="{points}" z_order="0"/>'
  labels = ''.join(f'<label><name>{name}</name></label>' for name in NAMES[1:])
  images = [f'<image id="{i}" name="{name}" width="{WIDTH}" height="{HEIGHT}">' for i, name in enumerate(names)]
  images = [image + (shapes if i == 0 else '') + '</image>' for i, image in enumerate(images)]
  return f'<annotations><meta><task><labels>{labels}</labels></task></meta>{"".join(images)}</annotations>'


def write(folder, form: str) -> list[str]:
  """Two images a and b, b without an object, and their labels; returns the flags that name them."""
  for name in 'ab':
    photo(folder / 'images' / f'{name}.jpg')
  empty = np.zeros_like(truth())
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
  for name, ids in (('a', truth()), ('b', empty)):
    trees.save(folder / 'masks' / f'{name}.png', COLOURS[ids] if form == 'colors' else ids + 1)
  if form == 'zero-is-void':
    return ['--zero-is-void']
  (folder / 'colors.txt').write_text(TABLE)
  return ['--colors', str(folder / 'colors.txt')]


FORMS = ('colors', 'zero-is-void', 'coco', 'labelme', 'cvat')
