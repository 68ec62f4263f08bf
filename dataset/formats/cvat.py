"""CVAT's XML, `CVAT for images 1.1`: polygons, boxes, ellipses and masks (docs.cvat.ai, XML annotation format).

What has a higher z_order is on top; where that is equal, what comes later. Run lengths go along the rows.
"""

import functools
import pathlib
import xml.etree.ElementTree as ET

import numpy as np

from dataset.formats import drawing
from utils.errors import InputError

KIND = 'CVAT for images 1.1'
ATTRIBUTES = {  # of the shapes that have an area
  'polygon': ('points',),
  'box': ('xtl', 'ytl', 'xbr', 'ybr'),
  'ellipse': ('cx', 'cy', 'rx', 'ry'),
  'mask': ('left', 'top', 'width', 'height'),
}


def read(path: str) -> drawing.Annotations:
  """A file's images and labels; the labels of the project, in their order, are the classes.

  Raises:
    InputError: it is damaged or no such file, or holds a label that its list lacks.
  """
  images = []
  with drawing.reading(path, KIND):
    root = ET.fromstring(pathlib.Path(path).read_bytes())
    if root.tag != 'annotations' or root.find('image') is None:
      raise InputError(f'{path}: holds no annotated image; export it again, as {KIND}')
    labels = [label.strip() for element in root.iter('label') if (label := element.findtext('name'))]
    for image in root.iter('image'):
      size = int(image.attrib['width']), int(image.attrib['height'])
      shapes = sorted((shape for shape in image if shape.tag in ATTRIBUTES), key=lambda s: int(s.get('z_order', 0)))
      regions = [region(shape, image.attrib['name'], labels, path) for shape in shapes]
      skipped = [shape.tag for shape in image if shape.tag not in (*ATTRIBUTES, 'tag')]
      images.append(drawing.AnnotatedImage(image.attrib['name'], path, size, regions, skipped))
  return drawing.Annotations(images, dict.fromkeys(labels, ''))


def region(shape: ET.Element, image: str, labels: list[str], path: str) -> drawing.Region:
  name = shape.attrib['label'].strip()
  if name not in labels:
    raise InputError(f'{path}: a {shape.tag} of {image} has the label {name!r}, which the file does not list; add it')
  return drawing.Region(name, f'a {shape.tag}', functools.partial(draw_shape, shape.tag, shape.attrib))


def draw_shape(kind: str, values: dict[str, str], height: int, width: int) -> tuple[int, int, np.ndarray]:
  """As `drawing.Region.draw`, from an element's attributes."""
  missing = [name for name in ATTRIBUTES[kind] if name not in values]
  if missing:
    raise ValueError(f'has no {missing[0]}')
  if kind == 'polygon':
    return drawing.fill([[point.split(',') for point in values['points'].split(';')]], height, width)
  numbers = [float(values[name]) for name in ATTRIBUTES[kind]]
  if kind == 'mask':
    return draw_mask(values.get('rle', ''), *map(int, numbers), height, width)
  outline = drawing.box if kind == 'box' else drawing.ellipse
  return drawing.fill([outline(*numbers, float(values.get('rotation', 0)))], height, width)


def draw_mask(rle: str, left: int, top: int, mask_width: int, mask_height: int, height: int, width: int):
  """Run lengths of a part of the image."""
  if min(left, top, mask_width, mask_height) < 0 or left + mask_width > width or top + mask_height > height:
    raise ValueError(f'is a mask of {mask_width} x {mask_height} at ({left}, {top}), outside {width} x {height}')
  counts = [int(count) for count in rle.split(',')]
  return top, left, drawing.run_lengths(counts, mask_width * mask_height).reshape(mask_height, mask_width)
