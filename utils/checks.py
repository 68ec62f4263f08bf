"""Checks images and labels before they are trained on. Loads no TensorFlow.

Label values below `num_classes` are classes; 255 and `ignore_label` are void. Any other value is a mistake somewhere
(palette colours decoded to grey, ids that were never converted), and training would silently skip those pixels.
"""

import functools
import os
from typing import BinaryIO, NamedTuple

import numpy as np

from utils import images, parallel
from utils.errors import InputError
from utils.labels import VOID, voc_colours
from utils.lists import Pair

FORMATS = ('JPEG', 'MPO', 'PNG')  # an MPO is a JPEG with more pictures behind it
# The grey levels (rounded either way) that a decoder makes of VOC's colours: a label that holds them lost its palette.
_GREYS = voc_colours()[[*range(1, 21), 255]] @ (0.299, 0.587, 0.114)
VOC_LUMINANCES = frozenset(np.floor(_GREYS).astype(int)) | frozenset(np.ceil(_GREYS).astype(int))


class Finding(NamedTuple):
  """What was found in one pair. `fault` is one line with the file and what to do about it, None where all is well."""

  fault: str | None
  counts: dict[int, int]  # label value -> pixels; empty without a readable label
  palette: bool  # the label is a palette image: its indices are the classes
  size: tuple[int, int] | None  # of the image: width, height


def check_pairs(
  pairs: list[Pair], num_classes: int, ignore_label: int, thorough: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Checks every pair; decodes labels, and of images reads header and end. `thorough` decodes images too.

  Returns what it counted meanwhile: the pixels of each class, and the labelled pixels of the images that hold it.

  Raises:
    InputError: for the first faulty pair, in the list's order, or for an `ignore_label` that is a class.
  """
  check_ignore_label(num_classes, ignore_label)
  pixels, around = np.zeros([2, num_classes])
  inspect_pair = functools.partial(inspect, num_classes=num_classes, ignore_label=ignore_label, thorough=thorough)
  for finding in parallel.in_threads(inspect_pair, pairs, 'checking data', 'pair'):
    if finding.fault:
      raise InputError(finding.fault)
    of_image = np.array([finding.counts.get(c, 0) for c in range(num_classes)])
    pixels += of_image
    around += np.where(of_image, of_image.sum(), 0)
  return pixels, around


def check_ignore_label(num_classes: int, ignore_label: int) -> None:
  if ignore_label < num_classes:
    raise InputError(
      f'--ignore-label {ignore_label} is a class (0 to {num_classes - 1} with --num-classes {num_classes}); '
      f'give 255, or another value from {num_classes} up that no class has'
    )


def inspect(pair: Pair, num_classes: int, ignore_label: int, thorough: bool = False) -> Finding:
  """Checks one pair; `thorough` decodes the image too."""
  counts, palette, size = {}, False, None
  try:
    stored, size, turn = sizes(pair.image, thorough, for_network=True)
    if pair.label is not None:
      label_size, counts, palette = label_counts(pair.label)
      if label_size not in (size, stored):
        raise InputError(
          f'{pair.label}: is {label_size[0]} x {label_size[1]} while {pair.image} is {size[0]} x {size[1]} '
          '(width x height); pair the image with its own label, or resize it (prepare_own.py --resize-labels)'
        )
      if turn > 1 and size == stored:
        raise InputError(
          f'{pair.image}: has EXIF orientation {turn}, and the sizes do not say whether {pair.label} was drawn on the '
          'photo as it is stored or as it is seen; save the photo upright without the tag (mogrify -auto-orient)'
        )
      _check_values(pair.label, counts, num_classes, ignore_label)
  except InputError as e:
    return Finding(str(e), counts, palette, size)
  return Finding(None, counts, palette, size)


def image_size(path: str) -> tuple[int, int]:
  """Width and height of a JPEG or PNG as people see it (EXIF's orientation applied), from its header."""
  return sizes(path)[1]


def as_seen(label: np.ndarray, image: str) -> np.ndarray:
  """A label [h, w] beside the JPEG or PNG `image`, as `images.upright_label` turns it."""
  stored, _, turn = sizes(image)
  return images.upright_label(label, stored[::-1], turn)


def sizes(path: str, thorough: bool = False, for_network: bool = False) -> tuple[tuple[int, int], tuple[int, int], int]:
  """Width and height of a JPEG or PNG as it is stored, the same as people see it, and EXIF's orientation. A file that
  was cut short is found by its missing end. What is `for_network` must not be black to it (`images.check_range`)."""
  with images.open_picture(path) as image:
    if image.format not in FORMATS:
      raise InputError(f'{path}: is {image.format}, and images must be JPEG or PNG; convert it')
    turn = images.orientation(image)
    whole = not thorough and _has_end(image.fp, image.format)
    if for_network:
      images.check_range(path, image)
    if not whole:
      image.load()
    return image.size, image.size[::-1] if turn >= 5 else image.size, turn


def _has_end(file: BinaryIO, image_format: str) -> bool:
  """Whether the file ends as its format does. Where other bytes follow that end, only decoding can tell."""
  end = b'IEND\xaeB`\x82' if image_format == 'PNG' else b'\xff\xd9'
  position = file.tell()
  file.seek(-min(len(end), file.seek(0, os.SEEK_END)), os.SEEK_END)
  if file.read() == end:
    return True
  file.seek(0)
  if end not in file.read():
    raise OSError('its end is missing')
  file.seek(position)
  return False


def label_counts(path: str) -> tuple[tuple[int, int], dict[int, int], bool]:
  """A label's width and height, its values with their numbers of pixels, and whether it is a palette image."""
  with images.open_label(path) as image:
    if image.format != 'PNG':
      raise InputError(f'{path}: is {image.format}, and labels must be PNG; convert it')
    if image.mode in ('L', 'P'):
      histogram = image.histogram()
      counts = {value: pixels for value, pixels in enumerate(histogram) if pixels}
    else:
      values, pixels = np.unique(np.asarray(image), return_counts=True)
      counts = dict(zip(values.astype(int).tolist(), pixels.tolist(), strict=True))
    return image.size, counts, image.mode == 'P'


def _check_values(path: str, counts: dict[int, int], num_classes: int, ignore_label: int) -> None:
  void = {VOID, ignore_label}
  strays = {value: pixels for value, pixels in counts.items() if value >= num_classes and value not in void}
  if strays:
    shown = ', '.join(f'{value} ({pixels} pixels)' for value, pixels in list(strays.items())[:5])
    more = ', ...' if len(strays) > 5 else ''
    voids = ' or '.join(map(str, sorted(void, reverse=True)))
    raise InputError(
      f'{path}: holds {shown}{more}: neither a class (0 to {num_classes - 1}) nor void ({voids}); {_advice(strays)}'
    )
  if not any(value < num_classes for value in counts):
    raise InputError(f'{path}: is void everywhere, so there is nothing to learn from it; take it off the list')


def _advice(strays: dict[int, int]) -> str:
  if len(strays) > 1 and max(strays) > 36 and strays.keys() <= VOC_LUMINANCES:
    return "these are VOC's colours turned to grey; make index labels with `python dataset/prepare_voc12.py`"
  if len(strays) == 1:
    value = next(iter(strays))
    return f'if {value} is void, give --ignore-label {value}; if it is a class, --num-classes {value + 1} or more'
  return f'convert the labels (see dataset/README.md), or give --num-classes {max(strays) + 1} or more'
