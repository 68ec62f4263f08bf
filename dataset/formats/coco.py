"""COCO's JSON: polygons and run lengths, plain and compressed (https://cocodataset.org/#format-data).

Run lengths go down the columns. Annotations that are marked as a crowd hold things that were not told apart: void,
unless all of a category are (CVAT marks every mask that was painted with a brush).
"""

import functools

import numpy as np

from dataset.formats import drawing
from utils.errors import InputError

KIND = 'COCO JSON'


def read(path: str) -> drawing.Annotations:
  """A file's images and categories. Ids are compared as text: some tools write '7' for 7.

  Raises:
    InputError: it is damaged or no such file, two entries have one id, or an annotation's image or category is unknown.
  """
  content = drawing.read_json(path, KIND)
  with drawing.reading(path, KIND):
    categories = {key: entry['name'].strip() for key, entry in _by_id(path, content, 'categories', 'name').items()}
    entries = _by_id(path, content, 'images', 'file_name')
    images = {}
    for key, image in entries.items():
      if not isinstance(image['file_name'], str):
        raise TypeError(f'file_name {image["file_name"]!r} is not text')
      size = (image['width'], image['height']) if image.get('width') and image.get('height') else None
      images[key] = drawing.AnnotatedImage(image['file_name'], path, size, [], [])
    annotations = content['annotations']
    single = {str(a['category_id']) for a in annotations if not a.get('iscrowd')}
    if annotations and not any(a.get('segmentation') for a in annotations):
      raise InputError(f'{path}: holds boxes without a single outline; annotate outlines, or make masks of the boxes')
    for number, annotation in enumerate(annotations):
      place = f'annotation {annotation.get("id", f"number {number}")}'
      for kind, known in (('category', categories), ('image', images)):
        if str(annotation[f'{kind}_id']) not in known:
          raise InputError(f'{path}: {place} has {kind}_id {annotation[f"{kind}_id"]}, which the file has no entry for')
      category, image = str(annotation['category_id']), images[str(annotation['image_id'])]
      draw = functools.partial(draw_segmentation, annotation.get('segmentation'))
      name = categories[category]
      if annotation.get('iscrowd'):
        draw = functools.partial(_with_note, draw, f'crowd of {name}' if category in single else 'crowd only')
        name = 'void' if category in single else name
      image.regions.append(drawing.Region(name, place, draw))
  names = {}
  for category, name in categories.items():
    names.setdefault(name, f'category {category}')
  return drawing.Annotations(list(images.values()), names)


def _by_id(path: str, content: dict, kind: str, name: str) -> dict[str, dict]:
  found = {}
  for entry in content[kind]:
    key = entry['id']
    if key is None:
      raise InputError(f'{path}: the entry {entry[name]!r} of its {kind} has no id; export it again, as {KIND}')
    if str(key) in found:
      raise InputError(
        f'{path}: its {kind} {found[str(key)][name]!r} and {entry[name]!r} have the same id {key} (merged files?); '
        'give each its own, in their annotations too'
      )
    found[str(key)] = entry
  return found


def _with_note(draw, note: str, height: int, width: int) -> drawing.Part:
  part = drawing.Part(*draw(height, width))
  return part._replace(notes=(*part.notes, note))


def draw_segmentation(segmentation, height: int, width: int) -> drawing.Part:
  """As `drawing.Region.draw`, for a list of polygons [x, y, x, y, ...] or {'counts': ..., 'size': [h, w]}."""
  if not segmentation:
    raise drawing.Skip('no outline')
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
  return drawing.cropped(drawing.run_lengths(counts, height * width).reshape(width, height).T)


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
