"""CVAT's XML, `CVAT for images 1.1`: polygons, boxes, ellipses and masks (docs.cvat.ai, XML annotation format).

What has a higher z_order is on top. Run lengths go along the rows.
"""

import functools
import xml.etree.ElementTree as ET

from dataset.formats import drawing
from utils.errors import InputError

KIND = 'CVAT for images 1.1'
ATTRIBUTES = {  # of the shapes that have an area
  'polygon': ('points',),
  'box': ('xtl', 'ytl', 'xbr', 'ybr'),
  'ellipse': ('cx', 'cy', 'rx', 'ry'),
  'mask': ('left', 'top', 'width', 'height'),
}
NO_AREA = ('tag', 'points', 'polyline', 'skeleton', 'cuboid')  # types of labels


def read(path: str) -> drawing.Annotations:
  """A file's images and labels; the labels of the project that can have an area, in their order, are the classes.

  Raises:
    InputError: it is damaged or no such file, or holds a label that its list lacks.
  """
  images = []
  with drawing.reading(path, KIND):
    root = ET.fromstring(drawing.read_bytes(path, KIND))
    if root.tag == 'annotations' and root.find('image') is None and root.find('track') is not None:
      raise InputError(f'{path}: is CVAT for video 1.1; export it again, as {KIND}')
    if root.tag != 'annotations' or root.find('image') is None:
      raise InputError(f'{path}: holds no annotated image; export it again, as {KIND}')
    elements = [(label.strip(), element) for element in root.iter('label') if (label := element.findtext('name'))]
    labels = [label for label, _ in elements]
    used = set()
    for image in root.iter('image'):
      name, size = image.attrib['name'], (int(image.attrib['width']), int(image.attrib['height']))
      shapes = [(number, shape) for number, shape in enumerate(image, 1) if shape.tag in ATTRIBUTES]
      regions = [region(shape, f'{shape.tag} {number} of {name}', labels, path) for number, shape in shapes]
      used |= {item.name for item in regions}
      skipped = [(s.get('label', '?').strip(), s.tag) for s in image if s.tag not in (*ATTRIBUTES, 'tag')]
      file_name = f'{image.attrib["subset"]}/{name}' if image.get('subset') else name
      images.append(drawing.AnnotatedImage(file_name, path, size, regions, skipped))
  with_area = [
    label
    for label, element in elements
    if label in used or element.findtext('type') not in NO_AREA and not element.findtext('parent')
  ]
  return drawing.Annotations(images, dict.fromkeys(with_area, ''))


def region(shape: ET.Element, place: str, labels: list[str], path: str) -> drawing.Region:
  name = shape.attrib['label'].strip()
  if name not in labels:
    raise InputError(f'{path}: {place} has the label {name!r}, which the file does not list; add it')
  draw = functools.partial(draw_shape, shape.tag, shape.attrib)
  return drawing.Region(name, place, draw, int(shape.get('z_order', 0)))


def draw_shape(kind: str, values: dict[str, str], height: int, width: int) -> drawing.Part:
  """As `drawing.Region.draw`, from an element's attributes."""
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
    if min(mask_width, mask_height) < 0:
      raise ValueError(f'is a mask of {mask_width} x {mask_height}')
    mask = drawing.run_lengths(counts, mask_width * mask_height).reshape(mask_height, mask_width)
    return drawing.placed(mask, top, left, height, width)
  outline = drawing.box if kind == 'box' else drawing.ellipse
  return drawing.fill([outline(*numbers, float(values.get('rotation', 0)))], height, width)
