"""COCO's JSON: polygons and run lengths, plain and compressed (https://cocodataset.org/#format-data).

Run lengths go down the columns. Annotations that are marked as a crowd hold things that were not told apart: void.
"""

import functools

import numpy as np

from dataset.formats import drawing
from utils.errors import InputError

KIND = 'COCO JSON'


def read(path: str) -> drawing.Annotations:
  """A file's images and categories.

  Raises:
    InputError: it is damaged or no such file, or an annotation's image or category is unknown.
  """
  content = drawing.read_json(path, KIND)
  with drawing.reading(path, KIND):
    categories = {category['id']: category['name'].strip() for category in content['categories']}
    images = []
    for image in content['images']:
      if not isinstance(image['file_name'], str):
        raise TypeError(f'file_name {image["file_name"]!r} is not text')
      size = (image['width'], image['height']) if image.get('width') and image.get('height') else None
      images.append(drawing.AnnotatedImage(image['file_name'], path, size, []))
    by_id = {image['id']: entry for image, entry in zip(content['images'], images, strict=True)}
    for number, annotation in enumerate(content['annotations']):
      place = f'annotation {annotation.get("id", f"number {number}")}'
      for kind, known in (('category', categories), ('image', by_id)):
        if annotation[f'{kind}_id'] not in known:
          raise InputError(f'{path}: {place} has {kind}_id {annotation[f"{kind}_id"]}, which the file has no entry for')
      name = 'void' if annotation.get('iscrowd') else categories[annotation['category_id']]
      draw = functools.partial(draw_segmentation, annotation.get('segmentation'))
      by_id[annotation['image_id']].regions.append(drawing.Region(name, place, draw))
  names = {}
  for category, name in categories.items():
    names.setdefault(name, f'category {category}')
  return drawing.Annotations(images, names)


def draw_segmentation(segmentation, height: int, width: int) -> tuple[int, int, np.ndarray]:
  """As `drawing.Region.draw`, for a list of polygons [x, y, x, y, ...] or {'counts': ..., 'size': [h, w]}."""
  if not segmentation:
    raise ValueError('has a box but no segmentation')
  if isinstance(segmentation, list):
    if not all(isinstance(outline, list) and len(outline) % 2 == 0 for outline in segmentation):
      raise ValueError('has a polygon that is not a list x, y, x, y, ...')
    return drawing.fill([np.reshape(outline, (-1, 2)) for outline in segmentation], height, width)
  if not isinstance(segmentation, dict) or not {'counts', 'size'} <= segmentation.keys():
    raise ValueError('has a segmentation that is neither polygons nor counts and size')
  if segmentation['size'] != [height, width]:
    raise ValueError(f'has a mask of the size {segmentation["size"]}, not [{height}, {width}] (height, width)')
  counts = segmentation['counts']
  if isinstance(counts, str):
    counts = decompress(counts)
  return 0, 0, drawing.run_lengths(counts, height * width).reshape(width, height).T


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
