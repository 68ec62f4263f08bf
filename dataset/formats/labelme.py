"""LabelMe's JSON, one file per image: polygons, rectangles (upright and turned), circles and masks
(github.com/wkentaro/labelme), and X-AnyLabeling's `rotation`. Later shapes are on top, as the tools show them."""

import base64
import binascii
import functools
import io
import math
import os

import numpy as np
from PIL import Image

from dataset.formats import drawing
from utils import images, parallel
from utils.errors import InputError

KIND = 'LabelMe JSON'
OUTLINES = ('polygon', 'oriented_rectangle', 'rotation', 'rotated_rectangle')
AREAS = (*OUTLINES, 'rectangle', 'circle', 'mask')


def read(folder: str) -> tuple[drawing.Annotations, list[str]]:
  """The annotations of all files in a folder, in any depth, and a line for each file that cannot be read; the classes
  are the labels in alphabetical order.

  Raises:
    InputError: no file is LabelMe's.
  """
  paths = []
  for parent, folders, names in os.walk(folder, followlinks=True):
    folders[:] = sorted(name for name in folders if not name.startswith('.'))
    paths += [os.path.join(parent, name) for name in sorted(names) if name.lower().endswith('.json') and name[0] != '.']
  if not paths:
    raise InputError(f'--labelme {folder}: holds no .json file; give a folder of LabelMe files below --data-dir')
  found = list(parallel.in_threads(functools.partial(_read_or_fault, folder=folder), paths, 'reading LabelMe'))
  faults = [fault for fault in found if isinstance(fault, InputError)]
  annotated = [image for image in found if isinstance(image, drawing.AnnotatedImage)]
  if faults and not annotated:
    raise faults[0]
  labels = sorted({region.name for image in annotated for region in image.regions})
  return drawing.Annotations(annotated, dict.fromkeys(labels, '')), [str(fault) for fault in faults]


def _read_or_fault(path: str, folder: str) -> drawing.AnnotatedImage | InputError:
  try:
    return read_file(path, folder)
  except InputError as e:
    return e


def read_file(path: str, folder: str) -> drawing.AnnotatedImage:
  content = drawing.read_json(path, KIND)
  with drawing.reading(path, KIND):
    regions, skipped = [], []
    for number, shape in enumerate(content['shapes'], 1):
      kind, name = shape.get('shape_type') or 'polygon', shape['label'].strip()
      if kind in AREAS:
        draw = functools.partial(draw_shape, kind, shape['points'], shape.get('mask'))
        regions.append(drawing.Region(name, f'shape {number}', draw))
      else:
        skipped.append((name, str(kind)))
    size = content.get('imageWidth'), content.get('imageHeight')
  name = os.path.relpath(path, folder)
  return drawing.AnnotatedImage(name, path, size if all(size) else None, regions, skipped, ordered=True)


def draw_shape(kind: str, points: list, mask: str | None, height: int, width: int) -> drawing.Part:
  """As `drawing.Region.draw`. Two points are a rectangle's corners, a circle's centre and a point on it, and the first
  and last pixel of a mask."""
  if kind in OUTLINES or kind == 'rectangle' and len(points) == 4:
    return drawing.fill([points], height, width)
  if len(points) != 2:
    raise ValueError(f'is a {kind} of {len(points)} points, not 2')
  (x0, y0), (x1, y1) = points
  if kind == 'circle':
    radius = math.hypot(x1 - x0, y1 - y0)
    return drawing.fill([drawing.ellipse(x0, y0, radius, radius)], height, width)
  if kind == 'rectangle':
    return drawing.fill([drawing.box(x0, y0, x1, y1)], height, width)
  top, left, pixels = math.floor(y0 + 0.5), math.floor(x0 + 0.5), decode(mask)
  if abs(left + pixels.shape[1] - 1 - x1) > 1.5 or abs(top + pixels.shape[0] - 1 - y1) > 1.5:
    raise ValueError(f'is a mask of {pixels.shape[1]} x {pixels.shape[0]} at ({left}, {top}), unlike its points')
  return drawing.placed(pixels, top, left, height, width)


def decode(mask: str | None) -> np.ndarray:
  """A PNG in base 64 as bool [h, w]."""
  try:
    with Image.open(io.BytesIO(base64.b64decode(mask or '', validate=True)), formats=('PNG',)) as image:
      return np.asarray(image.convert('L')) > 0
  except (binascii.Error, *images.UNDECODABLE):
    raise ValueError('has a mask that is not a PNG') from None
