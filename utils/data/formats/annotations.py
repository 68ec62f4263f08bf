"""The content of annotation files, whatever their format, and label images drawn from it."""

import contextlib
import json
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from utils.data import check
from utils.data.formats import class_table
from utils.data.labels import VOID
from utils.errors import InputError, one_line, os_error_line


class Region(NamedTuple):
  """Pixels of one class. `draw(height, width)` gives top row, left column and mask, bool [h, w], of its pixels; it
  raises a ValueError that says what is wrong with the region."""

  name: str  # of the class, or one of `class_table.VOID_NAMES`
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
  width, height = check.image_size(image)
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
    value = VOID if class_table.is_void(region.name) else class_ids[region.name]
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
