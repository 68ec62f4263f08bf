"""Annotation files as images and their regions: COCO's JSON, LabelMe's JSON, CVAT's XML.

COCO (https://cocodataset.org/#format-data): polygons and run lengths, plain and compressed, down the columns. What is
marked as a crowd holds things that were not told apart: void, unless all of a category are (CVAT marks every mask that
was painted with a brush). Run lengths are read here, in 20 lines: pycocotools gives the same pixels (the tests hold
what it writes), but would be one more compiled dependency for them alone.
LabelMe (github.com/wkentaro/labelme), one file per image: polygons, rectangles (upright and turned), circles and masks,
and X-AnyLabeling's `rotation`. Later shapes are on top, as the tools show them.
CVAT (`CVAT for images 1.1`, docs.cvat.ai): polygons, boxes, ellipses and masks, whose run lengths go along the rows.
What has a higher z_order is on top.
"""

import base64
import binascii
import contextlib
import functools
import io
import json
import math
import os
import xml.etree.ElementTree as ET
from typing import NamedTuple

import numpy as np
from PIL import Image

from dataset.formats import classes, drawing
from dataset.formats.drawing import AnnotatedImage, Region
from utils import files, images, parallel
from utils.errors import InputError, one_line

COCO, LABELME, CVAT = 'COCO JSON', 'LabelMe JSON', 'CVAT for images 1.1'
LARGEST = 1 << 32  # bytes of a file; COCO's training set has half a gigabyte
OUTLINES = ('polygon', 'oriented_rectangle', 'rotation', 'rotated_rectangle')  # of LabelMe
ATTRIBUTES = {  # of CVAT's shapes that have an area
  'polygon': ('points',),
  'box': ('xtl', 'ytl', 'xbr', 'ybr'),
  'ellipse': ('cx', 'cy', 'rx', 'ry'),
  'mask': ('left', 'top', 'width', 'height'),
}
NO_AREA = ('tag', 'points', 'polyline', 'skeleton', 'cuboid')  # types of CVAT's labels


class Annotations(NamedTuple):
  images: list[AnnotatedImage]
  names: dict[str, str]  # class name -> what stands for it in the file (`category 3`), in the order of the class ids
  faults: list[str] = []  # one line for each file that cannot be read


@contextlib.contextmanager
def reading(path: str, kind: str):
  """Gives a file's bytes to code that takes its structure for granted: its errors become InputErrors that name the
  file."""
  data = files.read_bytes(path, f'a file of {kind}', LARGEST)
  if data[:4] == b'PK\3\4':
    raise InputError(f'{path}: is a .zip archive; unpack it, and give the file of {kind} in it')
  try:
    yield data
  except InputError:
    raise
  except UnicodeDecodeError:
    raise InputError(f'{path}: is not UTF-8 text; save it again as UTF-8, or export it again, as {kind}') from None
  except Exception as e:
    what = f'is not {kind} ({one_line(e)})'
    if isinstance(e, json.JSONDecodeError | ET.ParseError | RecursionError):
      what = f'is damaged ({one_line(e)})'
    elif isinstance(e, KeyError):
      what = f'has no {e} where {kind} has it'
    raise InputError(f'{path}: {what}; export it again, as {kind}') from None


def _name(text: str) -> str:
  """A class's name, written in one way in all files."""
  return classes.plain(text.strip())


def read_coco(path: str) -> Annotations:
  """Ids are compared as text: some tools write '7' for 7.

  Raises:
    InputError: it is damaged or no such file, two entries have one id, or an annotation's image or category is unknown.
  """
  with reading(path, COCO) as data:
    content = json.loads(data)
    categories = {key: _name(entry['name']) for key, entry in _by_id(path, content, 'categories', 'name').items()}
    found = {}
    for key, image in _by_id(path, content, 'images', 'file_name').items():
      if not isinstance(image['file_name'], str):
        raise TypeError(f'file_name {image["file_name"]!r} is not text')
      size = (int(image['width']), int(image['height'])) if image.get('width') and image.get('height') else None
      found[key] = AnnotatedImage(image['file_name'], path, size, [], [])
    annotations = content['annotations']
    if annotations and not any(a.get('segmentation') for a in annotations):
      raise InputError(f'{path}: holds boxes without a single outline; annotate outlines, or make masks of the boxes')
    single = {str(a['category_id']) for a in annotations if not a.get('iscrowd')}
    for number, annotation in enumerate(annotations):
      place = f'annotation {annotation.get("id", f"number {number}")}'
      for kind, known in (('category', categories), ('image', found)):
        if str(annotation[f'{kind}_id']) not in known:
          raise InputError(f'{path}: {place} has {kind}_id {annotation[f"{kind}_id"]}, which the file has no entry for')
      category, notes = str(annotation['category_id']), ()
      name = categories[category]
      if annotation.get('iscrowd'):
        notes = (f'crowd|{name}' if category in single else 'crowd only',)
        name = 'void' if category in single else name
      draw = functools.partial(draw_coco, annotation.get('segmentation'), notes=notes)
      found[str(annotation['image_id'])].regions.append(Region(name, place, draw))
  names = {}
  for category, name in categories.items():
    names.setdefault(name, f'category {category}')
  return Annotations(list(found.values()), names)


def _by_id(path: str, content: dict, kind: str, name: str) -> dict[str, dict]:
  found = {}
  for entry in content[kind]:
    key = entry['id']
    if key is None:
      raise InputError(f'{path}: the entry {entry[name]!r} of its {kind} has no id; export it again, as {COCO}')
    if str(key) in found:
      raise InputError(
        f'{path}: its {kind} {found[str(key)][name]!r} and {entry[name]!r} have the same id {key} (merged files?); '
        'give each its own, in their annotations too'
      )
    found[str(key)] = entry
  return found


def draw_coco(segmentation, height: int, width: int, notes: tuple[str, ...] = ()) -> drawing.Part:
  """As `Region.draw`, for a list of polygons [x, y, x, y, ...] or {'counts': ..., 'size': [h, w]}."""
  if not segmentation:
    raise drawing.Skip('no outline')
  if isinstance(segmentation, list):
    if not all(isinstance(outline, list) and len(outline) % 2 == 0 for outline in segmentation):
      raise ValueError('has a polygon that is not a list x, y, x, y, ...')
    part = drawing.fill([np.reshape(outline, (-1, 2)) for outline in segmentation], height, width)
  else:
    if not isinstance(segmentation, dict) or not {'counts', 'size'} <= segmentation.keys():
      raise ValueError('has a segmentation that is neither polygons nor counts and size')
    if segmentation['size'] != [height, width]:
      raise ValueError(f'has a mask of the size {segmentation["size"]}, not [{height}, {width}] (height, width)')
    counts = segmentation['counts']
    counts = decompress(counts) if isinstance(counts, str) else counts
    part = drawing.cropped(drawing.run_lengths(counts, height * width).reshape(width, height).T)
  return part._replace(notes=(*part.notes, *notes))


def decompress(text: str) -> list[int]:
  """Run lengths from COCO's text: each is a number of five bits a letter, lowest first, in two's complement; from the
  fourth on it is the difference to the one two before (pycocotools, common/maskApi.c, rleFrString)."""
  counts, value, shift = [], 0, 0
  for letter in text:
    bits = ord(letter) - 48
    if not 0 <= bits < 64 or shift > 60:
      raise ValueError('has compressed run lengths that are damaged')
    value |= (bits & 31) << shift
    shift += 5
    if not bits & 32:  # the number's last letter
      value -= (bits >> 4 & 1) << shift
      counts.append(value + (counts[-2] if len(counts) > 2 else 0))
      value = shift = 0
  if shift:
    raise ValueError('has compressed run lengths that end in the middle')
  return counts


def read_labelme(folder: str) -> Annotations:
  """All files in a folder, in any depth; the classes are the labels in alphabetical order.

  Raises:
    InputError: no file is LabelMe's.
  """
  faults = []
  paths = [os.path.join(folder, path) for path in images.walk(folder, ['.json'], faults=faults)]
  if not paths:
    raise InputError(f'--labelme {folder}: holds no .json file; give a folder of LabelMe files below --data-dir')
  read = functools.partial(_read_labelme, folder=folder)
  annotated = [image for _, image in parallel.sound_results(read, paths, 'reading LabelMe', faults)]
  if not annotated:
    raise InputError(faults[0])
  labels = sorted({region.name for image in annotated for region in image.regions})
  return Annotations(annotated, dict.fromkeys(labels, ''), faults)


def _read_labelme(path: str, folder: str) -> AnnotatedImage:
  regions, skipped = [], []
  with reading(path, LABELME) as data:
    content = json.loads(data)
    for number, shape in enumerate(content['shapes'], 1):
      kind, name = shape.get('shape_type') or 'polygon', _name(shape['label'])
      if kind in (*OUTLINES, 'rectangle', 'circle', 'mask'):
        draw = functools.partial(draw_labelme, kind, shape['points'], shape.get('mask'))
        regions.append(Region(name, f'shape {number}', draw))
      else:
        skipped.append((name, str(kind)))
    size = [int(content.get(side) or 0) for side in ('imageWidth', 'imageHeight')]
  name = os.path.relpath(path, folder)
  return AnnotatedImage(name, path, tuple(size) if all(size) else None, regions, skipped, ordered=True)


def draw_labelme(kind: str, points: list, mask: str | None, height: int, width: int) -> drawing.Part:
  """As `Region.draw`. Two points are a rectangle's corners, a circle's centre and a point on it, and the first and last
  pixel of a mask."""
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
  try:
    with Image.open(io.BytesIO(base64.b64decode(mask or '', validate=True)), formats=('PNG',)) as image:
      pixels = np.asarray(image.convert('L')) > 0
  except (binascii.Error, *images.UNDECODABLE):
    raise ValueError('has a mask that is not a PNG') from None
  top, left = math.floor(y0 + 0.5), math.floor(x0 + 0.5)
  if abs(left + pixels.shape[1] - 1 - x1) > 1.5 or abs(top + pixels.shape[0] - 1 - y1) > 1.5:
    raise ValueError(f'is a mask of {pixels.shape[1]} x {pixels.shape[0]} at ({left}, {top}), unlike its points')
  return drawing.placed(pixels, top, left, height, width)


def read_cvat(path: str) -> Annotations:
  """The labels of the project that can have an area, in their order, are the classes.

  Raises:
    InputError: it is damaged or no such file, or holds a label that its list lacks.
  """
  found, used = [], set()
  with reading(path, CVAT) as data:
    root = ET.fromstring(data)
    if root.tag != 'annotations' or root.find('image') is None:
      what = 'is CVAT for video 1.1' if root.find('track') is not None else 'holds no annotated image'
      raise InputError(f'{path}: {what}; export it again, as {CVAT}')
    labels = [(_name(label), element) for element in root.iter('label') if (label := element.findtext('name'))]
    known = {label for label, _ in labels}
    for image in root.iter('image'):
      name, size = image.attrib['name'], (int(image.attrib['width']), int(image.attrib['height']))
      regions, skipped = [], []
      for number, shape in enumerate(image, 1):
        if shape.tag in ATTRIBUTES:
          label, place = _name(shape.attrib['label']), f'{shape.tag} {number} of {name}'
          if label not in known:
            raise InputError(f'{path}: {place} has the label {label!r}, which the file does not list; add it')
          draw = functools.partial(draw_cvat, shape.tag, shape.attrib)
          regions.append(Region(label, place, draw, int(shape.get('z_order', 0))))
          used.add(label)
        elif shape.tag != 'tag':
          skipped.append((_name(shape.get('label', '?')), shape.tag))
      file_name = f'{image.attrib["subset"]}/{name}' if image.get('subset') else name
      found.append(AnnotatedImage(file_name, path, size, regions, skipped))
  with_area = [
    label
    for label, element in labels
    if label in used or element.findtext('type') not in NO_AREA and not element.findtext('parent')
  ]
  return Annotations(found, dict.fromkeys(with_area, ''))


def draw_cvat(kind: str, values: dict[str, str], height: int, width: int) -> drawing.Part:
  """As `Region.draw`, from an element's attributes."""
  missing = [name for name in ATTRIBUTES[kind] if name not in values]
  if missing:
    raise ValueError(f'has no {missing[0]}')
  if kind == 'polygon':
    points = [point.split(',') for point in values['points'].split(';') if point]
    return drawing.fill([points], height, width)
  numbers = [float(values[name]) for name in ATTRIBUTES[kind]]
  if kind == 'mask':
    left, top, mask_width, mask_height = map(int, numbers)
    counts = [int(count) for count in values.get('rle', '').split(',')]
    if not (0 <= mask_height <= 2 * height and 0 <= mask_width <= 2 * width):
      raise ValueError(f'is a mask of {mask_width} x {mask_height}')
    mask = drawing.run_lengths(counts, mask_width * mask_height).reshape(mask_height, mask_width)
    return drawing.placed(mask, top, left, height, width)
  outline = drawing.box if kind == 'box' else drawing.ellipse
  return drawing.fill([outline(*numbers, float(values.get('rotation', 0)))], height, width)
