"""What annotation files say, whatever their format, and label images drawn from it.

Coordinates are (x, y) in pixels from the image's upper left corner, so the first pixel's centre is (0.5, 0.5). A pixel
is inside where its centre is, by the even-odd rule: outlines that share an edge neither overlap nor leave a gap.
"""

import contextlib
import json
import math
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dataset.formats import classes
from utils import checks
from utils.errors import InputError, one_line, os_error_line
from utils.labels import VOID

TOLERANCE = 1.0  # pixels that a point may lie outside the image: tools round, and let outlines end on the border


class Region(NamedTuple):
  """Pixels of one class. `draw(height, width)` gives top row, left column and mask, bool [h, w], of its pixels; it
  raises a ValueError that says what is wrong with the region."""

  name: str  # of the class, or one of `classes.VOID_NAMES`
  place: str  # in the file, for messages: `annotation 7`
  draw: Callable[[int, int], tuple[int, int, np.ndarray]]


class AnnotatedImage(NamedTuple):
  """An image's regions, in the order in which they are painted: later ones on top."""

  file_name: str  # of the image, as the annotation file has it
  source: str  # the annotation file
  size: tuple[int, int] | None  # width and height of the image as it was annotated
  regions: list[Region]
  skipped: list[str] = []  # the kinds of its shapes that have no area


class Annotations(NamedTuple):
  images: list[AnnotatedImage]
  names: dict[str, str]  # class name -> what stands for it in the file (`category 3`), in the order of the class ids


def paint(annotated: AnnotatedImage, image: str, class_ids: dict[str, int], unlabelled: int) -> np.ndarray:
  """Class ids, uint8 [H, W], of an image; `unlabelled` where no region is.

  Raises:
    InputError: the image has another size than the annotated one, or a region cannot be drawn.
  """
  width, height = checks.image_size(image)
  if annotated.size not in (None, (width, height)):
    raise InputError(
      f'{annotated.source}: was made for {annotated.size[0]} x {annotated.size[1]} while {image} is {width} x {height} '
      '(width x height); give the image that was annotated (was it resized or rotated?)'
    )
  label = np.full((height, width), unlabelled, np.uint8)
  for region in annotated.regions:
    try:
      top, left, mask = region.draw(height, width)
    except (ValueError, TypeError, OverflowError) as e:
      raise InputError(
        f'{annotated.source}: {region.place} ({region.name}) of {image} {one_line(e)}; correct it, or remove it'
      ) from None
    value = VOID if classes.is_void(region.name) else class_ids[region.name]
    label[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = value
  return label


def run_lengths(counts: list[int], pixels: int) -> np.ndarray:
  """Lengths of runs, of zeros and ones in turn from zeros, to bool [pixels].

  Raises:
    ValueError: they are not lengths, or make another number of pixels.
  """
  if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != pixels:
    raise ValueError(f'has run lengths that do not make {pixels} pixels')
  return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def read_json(path: str, kind: str):
  with reading(path, kind):
    return json.loads(pathlib.Path(path).read_bytes())


@contextlib.contextmanager
def reading(path: str, kind: str):
  """Around code that takes a file's structure for granted: its errors become InputErrors that name the file."""
  try:
    yield
  except OSError as e:
    raise InputError(f'{os_error_line(e)}; give a file of {kind}') from None
  except (UnicodeDecodeError, json.JSONDecodeError, ET.ParseError, RecursionError) as e:
    raise InputError(f'{path}: is damaged ({one_line(e)}); export it again, as {kind}') from None
  except KeyError as e:
    raise InputError(f'{path}: has no {e} where {kind} has it; export it again, as {kind}') from None
  except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as e:
    raise InputError(f'{path}: is not {kind} ({one_line(e)}); export it again, as {kind}') from None


def fill(outlines: list, height: int, width: int) -> tuple[int, int, np.ndarray]:
  """Top row, left column and mask, bool [h, w], of the pixels inside any of the outlines.

  Args:
    outlines: each a list of at least three points (x, y).

  Raises:
    ValueError: not such points, or one lies outside the image; the text goes behind the words that say where.
  """
  if not outlines:
    raise ValueError('has no outline')
  rings = [_checked(outline, height, width) for outline in outlines]
  points = np.concatenate(rings)
  left, top = np.floor(points.min(axis=0)).astype(int)
  right, bottom = np.ceil(points.max(axis=0)).astype(int)
  mask = np.zeros((bottom - top, right - left), bool)
  for ring in rings:
    mask |= _inside(ring, top, left, *mask.shape)
  return int(top), int(left), mask


def _checked(outline, height: int, width: int) -> np.ndarray:
  points = np.asarray(outline, np.float64)
  if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
    raise ValueError('is not a list of at least three points')
  limits = np.array((width, height))
  outside = ~((points >= -TOLERANCE) & (points <= limits + TOLERANCE)).all(axis=1)  # and NaN
  if outside.any():
    x, y = points[outside][0]
    raise ValueError(f'has the point ({x:g}, {y:g}) outside the image of {width} x {height}')
  return np.clip(points, 0, limits)


def _inside(ring: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
  """Each edge toggles, in every row whose centre line it crosses, all pixels to the right of the crossing. The crossing
  is computed from the upper end down, so that it is the same number for both neighbours of a shared edge."""
  ends = np.stack([ring, np.roll(ring, -1, axis=0)])
  order = np.argsort(ends[..., 1], axis=0, kind='stable')[..., None]
  (x0, y0), (x1, y1) = np.take_along_axis(ends, order, axis=0).transpose(0, 2, 1)
  first, last = np.ceil(y0 - 0.5).astype(int), np.ceil(y1 - 0.5).astype(int)
  edges = np.repeat(np.arange(len(ring)), last - first)
  rows = np.arange(len(edges)) - np.repeat(np.cumsum(last - first) - last, last - first)
  crossings = x0[edges] + (rows + 0.5 - y0[edges]) / (y1 - y0)[edges] * (x1 - x0)[edges]
  columns = np.clip(np.ceil(crossings - 0.5).astype(int) - left, 0, width)
  toggles = np.zeros((height, width + 1), bool)
  np.logical_xor.at(toggles, (rows - top, columns), True)
  return np.logical_xor.accumulate(toggles[:, :width], axis=1)


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
