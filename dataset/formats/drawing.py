"""Label images drawn from outlines and masks.

Coordinates are (x, y) in pixels from the image's upper left corner, so the first pixel's centre is (0.5, 0.5). A pixel
is inside where its centre is, by the even-odd rule: outlines that share an edge neither overlap nor leave a gap. The
rasteriser is our own, because libraries' give other pixels: cv2.fillPoly and Pillow's polygon also fill the pixels that
an outline touches, so that neighbours overlap; pycocotools, a compiled dependency more, rounds outlines to a fifth of a
pixel.
"""

import collections
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from utils import checks
from utils.errors import InputError, one_line
from utils.labels import VOID

TOLERANCE = 1.0  # pixels that a point may lie outside the image unsaid: tools round, and let outlines end on the border
CHUNK = 1 << 20  # crossings of rows by edges that are computed at once: a zigzag of 10^5 points has 10^9
LARGEST_PARTS = 1 << 28  # bytes of one image's drawn regions; others are drawn again when they are painted
FARTHEST = 1e7  # pixels from the corner: what lies beyond is damage, not an outline over the border


class Part(NamedTuple):
  """Pixels of an image: `mask`, bool [h, w], with its first pixel in row `top` and column `left`."""

  top: int
  left: int
  mask: np.ndarray
  notes: tuple[str, ...] = ()  # what was done to it: 'clipped', 'thin' (an outline of fewer than three points left out)


class Region(NamedTuple):
  """Pixels of one class. `draw(height, width)` gives a Part; it raises a ValueError that says what is wrong, and Skip
  where the region has no outline."""

  name: str  # as the file has it
  place: str  # in the file, for messages: `annotation 7`
  draw: Callable[[int, int], Part]
  level: float = 0  # higher ones are on top


class Skip(Exception):
  """A region without pixels: its text is the reason."""


class AnnotatedImage(NamedTuple):
  """An image's regions in the file's order."""

  file_name: str  # of the image, as the annotation file has it
  source: str  # the annotation file
  size: tuple[int, int] | None  # width and height of the image as it was annotated
  regions: list[Region]
  skipped: list[tuple[str, str]] = []  # (class, reason) of what has no area
  ordered: bool = False  # the tool shows the regions in the file's order: later ones on top


def paint(
  annotated: AnnotatedImage,
  image: str,
  ids: dict[str, int],
  names: list[str],
  unlabelled: int,
  by_area: bool = True,
  resize: bool = False,
) -> tuple[np.ndarray, collections.Counter]:
  """Class ids, uint8 [H, W], of an image, `unlabelled` where no region is; and what was done, by reason and class.

  `ids`: region's name -> class id, void for others. `names`: the classes, by id.
  Of overlapping regions the higher level is on top; of equal ones, with `by_area` and unless the tool orders them, the
  smaller; else the later. With `resize`, an image of another size gives a label of the annotated size.

  Raises:
    InputError: the image has another size than the annotated one, or a region cannot be drawn.
  """
  stored, seen, _ = checks.sizes(image)
  width, height = annotated.size if annotated.size == stored or resize and annotated.size else seen
  if annotated.size not in (None, (width, height)):
    raise InputError(
      f'{annotated.source}: was made for {annotated.size[0]} x {annotated.size[1]} while {image} is {width} x {height} '
      '(width x height); give the image that was annotated (was it resized or rotated?), or --resize-labels'
    )
  name_of = {VOID: 'void', **dict(enumerate(names))}
  called = {name: name_of[value] for name, value in ids.items()}
  tally = collections.Counter(f'skipped|{called.get(name, name)}|{reason}' for name, reason in annotated.skipped)
  parts, held = [], 0
  for number, region in enumerate(annotated.regions):
    try:
      part = region.draw(height, width)
      if not part.mask.any():
        raise Skip('no pixel centre inside')
    except Skip as e:
      tally[f'skipped|{called.get(region.name, region.name)}|{e}'] += 1
      continue
    except (ValueError, TypeError, OverflowError) as e:
      raise InputError(
        f'{annotated.source}: {region.place} ({region.name}) of {image} {one_line(e)}; correct it, or remove it'
      ) from None
    tally.update(f'{note}|{called.get(region.name, region.name)}' for note in part.notes)
    area = int(part.mask.sum()) if by_area and not annotated.ordered else 0
    held += part.mask.size
    parts.append((region.level, -area, number, part if held < LARGEST_PARTS else None))
  label, drawn = np.full((height, width), unlabelled, np.uint8), np.zeros((height, width), bool)
  for _, _, number, part in sorted(parts, key=lambda item: item[:3]):
    region = annotated.regions[number]
    value, (top, left, mask, _) = ids.get(region.name, VOID), part or region.draw(height, width)
    place = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
    below = label[place][mask & drawn[place]]
    for other, pixels in zip(*np.unique(below[below != value], return_counts=True), strict=True):
      tally[f'covered|{name_of[int(other)]}'] += int(pixels)
    tally[f'outlined|{name_of[value]}'] += int(mask.sum()) - int((below == value).sum())
    label[place][mask] = value
    drawn[place] |= mask
  return label, tally


def run_lengths(counts: list[int], pixels: int) -> np.ndarray:
  """Lengths of runs, of zeros and ones in turn from zeros, to bool [pixels].

  Raises:
    ValueError: they are not lengths, or make another number of pixels.
  """
  if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != pixels:
    raise ValueError(f'has run lengths that do not make {pixels} pixels')
  return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def placed(mask: np.ndarray, top: int, left: int, height: int, width: int) -> Part:
  """A mask whose first pixel lies at (left, top), clipped to the image; a ValueError where it lies wholly outside."""
  bottom, right = top + mask.shape[0], left + mask.shape[1]
  inside = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
  if not inside.size:
    raise ValueError(f'is a mask of {mask.shape[1]} x {mask.shape[0]} at ({left}, {top}), outside {width} x {height}')
  notes = ('clipped',) if top < 0 or left < 0 or bottom > height or right > width else ()
  return Part(max(0, top), max(0, left), inside, notes)


def cropped(mask: np.ndarray) -> Part:
  """A mask of the whole image without the empty rows and columns around."""
  rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
  if not len(rows):
    raise Skip('empty mask')
  top, left = int(rows[0]), int(columns[0])
  return Part(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1])


def fill(outlines: list, height: int, width: int) -> Part:
  """The pixels inside any of the outlines, each a list of points (x, y); what reaches over the border is clipped.

  Raises:
    ValueError: not such points, or all outlines lie outside the image; the text goes behind the words that say where.
    Skip: no outline has three points.
  """
  rings = [_points(outline) for outline in outlines]
  rings, notes = [ring for ring in rings if len(ring) >= 3], ['thin'] * any(len(ring) < 3 for ring in rings)
  if not rings:
    raise Skip('no outline' if not outlines else 'fewer than three points')
  points = np.concatenate(rings)
  (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
  left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
  right, bottom = min(width, math.ceil(x1)), min(height, math.ceil(y1))
  if x1 < -TOLERANCE or y1 < -TOLERANCE or x0 > width + TOLERANCE or y0 > height + TOLERANCE:
    x, y = points[0]
    raise ValueError(f'has the point ({x:g}, {y:g}) and all others outside {width} x {height}')
  if right <= left or bottom <= top:
    raise Skip('no area')
  if min(x0, y0) < -TOLERANCE or x1 > width + TOLERANCE or y1 > height + TOLERANCE:
    notes.append('clipped')
  mask = np.zeros((bottom - top, right - left), bool)
  for ring in rings:
    mask |= _inside(ring, top, left, *mask.shape)
  return Part(top, left, mask, tuple(notes))


def _points(outline) -> np.ndarray:
  points = np.asarray(outline, np.float64)
  if not points.size:
    return np.zeros((0, 2))
  if points.ndim != 2 or points.shape[1] != 2:
    raise ValueError('is not a list of points x, y')
  for x, y in points[~(np.abs(points) <= FARTHEST).all(axis=1)]:  # and NaN
    raise ValueError(f'has the point ({x:g}, {y:g}) outside any image')
  return points


def _inside(ring: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
  """Each edge toggles, in every row whose centre line it crosses, all pixels to the right of the crossing. The crossing
  is computed from the upper end down, so that it is the same number for both neighbours of a shared edge."""
  ends = np.stack([ring, np.roll(ring, -1, axis=0)])
  order = np.argsort(ends[..., 1], axis=0, kind='stable')[..., None]
  (x0, y0), (x1, y1) = np.take_along_axis(ends, order, axis=0).transpose(0, 2, 1)
  first, last = (np.clip(np.ceil(y - 0.5).astype(int), top, top + height) for y in (y0, y1))
  toggles, lengths = np.zeros((height, width + 1), np.uint8), last - first
  for part in np.array_split(np.arange(len(ring)), 1 + len(ring) * height // CHUNK):
    edges, starts = np.repeat(part, lengths[part]), np.cumsum(lengths[part]) - lengths[part]
    rows = np.arange(len(edges)) - np.repeat(starts, lengths[part]) + first[edges]
    crossings = x0[edges] + (rows + 0.5 - y0[edges]) / (y1 - y0)[edges] * (x1 - x0)[edges]
    columns = np.clip(np.ceil(crossings - 0.5).astype(int) - left, 0, width)
    np.add.at(toggles, (rows - top, columns), np.uint8(1))  # the last bit counts; much faster than xor
  return np.bitwise_xor.accumulate(toggles[:, :width] & 1, axis=1).astype(bool)


def box(left: float, top: float, right: float, bottom: float, degrees: float = 0) -> list[tuple[float, float]]:
  """A rectangle's corners, rotated clockwise around its centre."""
  return rotated([(left, top), (right, top), (right, bottom), (left, bottom)], degrees)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> list[tuple[float, float]]:
  """An outline of 96 points: at a radius of 200 pixels it is a tenth of a pixel off at most."""
  angles = [2 * math.pi * i / 96 for i in range(96)]
  return rotated([(x + radius_x * math.cos(a), y + radius_y * math.sin(a)) for a in angles], degrees)


def rotated(points: list[tuple[float, float]], degrees: float) -> list[tuple[float, float]]:
  """The points rotated clockwise (as seen: y points down) around their mean."""
  if not degrees:
    return points
  x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
  cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
  return [(x + (a - x) * cos - (b - y) * sin, y + (a - x) * sin + (b - y) * cos) for a, b in points]
