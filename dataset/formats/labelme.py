"""LabelMe's JSON, a file an image: polygons, rectangles, circles and masks (github.com/wkentaro/labelme)."""

import base64
import binascii
import functools
import io
import math
import pathlib

import numpy as np
from PIL import Image

from dataset.formats import drawing
from utils import images, parallel
from utils.errors import InputError

KIND = 'LabelMe JSON'
AREAS = ('polygon', 'rectangle', 'circle', 'mask')


def read(folder: str) -> drawing.Annotations:
  """The annotations of all files in a folder, in any depth; the classes are the labels in alphabetical order.

  Raises:
    InputError: there is no such file, or one is damaged or is not LabelMe's.
  """
  paths = [path for path in sorted(pathlib.Path(folder).rglob('*.json')) if not path.name.startswith('.')]
  if not paths:
    raise InputError(f'--labelme {folder}: holds no .json file; give a folder of LabelMe files below --data-dir')
  images = list(parallel.in_threads(functools.partial(read_file, folder=folder), paths, 'reading LabelMe'))
  labels = sorted({region.name for image in images for region in image.regions})
  return drawing.Annotations(images, dict.fromkeys(labels, ''))


def read_file(path: pathlib.Path, folder: str) -> drawing.AnnotatedImage:
  content = drawing.read_json(path, KIND)
  with drawing.reading(path, KIND):
    regions, skipped = [], []
    for number, shape in enumerate(content['shapes'], 1):
      kind = shape.get('shape_type') or 'polygon'
      if kind in AREAS:
        draw = functools.partial(draw_shape, kind, shape['points'], shape.get('mask'))
        regions.append(drawing.Region(shape['label'].strip(), f'shape {number}', draw))
      else:
        skipped.append(str(kind))
    size = content.get('imageWidth'), content.get('imageHeight')
  name = path.relative_to(folder).as_posix()
  return drawing.AnnotatedImage(name, str(path), size if all(size) else None, regions, skipped)


def draw_shape(kind: str, points: list, mask: str | None, height: int, width: int) -> tuple[int, int, np.ndarray]:
  """As `drawing.Region.draw`. Two points are a rectangle's corners, a circle's centre and a point on it, and the
  first and last pixel of a mask."""
  if kind == 'polygon' or kind == 'rectangle' and len(points) == 4:
    return drawing.fill([points], height, width)
  if len(points) != 2:
    raise ValueError(f'is a {kind} of {len(points)} points, not 2')
  (x0, y0), (x1, y1) = points
  if kind == 'circle':
    radius = math.hypot(x1 - x0, y1 - y0)
    return drawing.fill([drawing.ellipse(x0, y0, radius, radius)], height, width)
  if kind == 'rectangle':
    return drawing.fill([drawing.box(x0, y0, x1, y1)], height, width)
  top, left, pixels = int(y0), int(x0), decode(mask)
  bottom, right = top + pixels.shape[0], left + pixels.shape[1]
  if (bottom, right) != (int(y1) + 1, int(x1) + 1) or top < 0 or left < 0 or bottom > height or right > width:
    raise ValueError(
      f'is a mask of {pixels.shape[1]} x {pixels.shape[0]} at ({left}, {top}), which its points or the image of '
      f'{width} x {height} do not hold'
    )
  return top, left, pixels


def decode(mask: str | None) -> np.ndarray:
  """A PNG in base 64 as bool [h, w]."""
  try:
    with Image.open(io.BytesIO(base64.b64decode(mask or '', validate=True)), formats=('PNG',)) as image:
      return np.asarray(image.convert('L')) > 0
  except (binascii.Error, *images.UNDECODABLE):
    raise ValueError('has a mask that is not a PNG') from None
