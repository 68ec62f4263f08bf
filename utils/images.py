"""Images and labels as files, opened by Pillow. Loads no TensorFlow.

A label is a single-channel image of 8 bits (16 for instance ids). In a palette image the indices are the labels.
"""

import collections
import contextlib
import io
import os
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Collection

import numpy as np
from PIL import Image

from utils import files, parallel, records
from utils.errors import InputError, one_line, os_error_line

# Pillow has more formats, and decodes some by starting programs (EPS: Ghostscript).
FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'PPM', 'TIFF', 'WEBP')
SUFFIXES = ('.jpg', '.jpeg', '.jfif', '.png', '.tif', '.tiff', '.bmp', '.gif', '.webp')  # of images that can be read
# Pillow refuses 179 million pixels, fewer than are predicted here. It refuses twice what is set: what takes half of the
# machine's memory at four bytes per pixel, but not above 2^30.
Image.MAX_IMAGE_PIXELS = int(min(parallel.memory() / 16, 2**29))
warnings.simplefilter('ignore', Image.DecompressionBombWarning)
# What Pillow raises for a damaged file.
UNDECODABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def read_label(path: str) -> np.ndarray:
  """A label or instance image as integers [H, W]: grey values, or palette indices (uint8; uint16 or int32 if deeper).

  Raises:
    InputError: not an image, damaged, or with more than one channel.
  """
  with open_label(path) as image:
    label = np.asarray(image)
  return label.astype(np.uint8) if label.dtype == bool else label


@contextlib.contextmanager
def open_label(path: str):
  """`open_picture` for a label image."""
  with open_picture(path) as image:
    if image.format == 'JPEG':
      raise InputError(f'{path}: is JPEG, and labels must be PNG (JPEG changes class ids); convert it')
    if image.mode not in ('L', 'P', '1', 'I;16', 'I;16B', 'I'):
      raise InputError(
        f'{path}: is a {image.mode} picture, not class ids; save it as a grey or palette PNG of class ids, or '
        'convert its colours with dataset/prepare_own.py --colors'
      )
    yield image


@contextlib.contextmanager
def open_picture(path: str):
  """An image opened by Pillow, not yet decoded. Decoding errors inside the block become InputErrors too."""
  try:
    with _open(path) as file, Image.open(file, formats=FORMATS) as image:
      yield image
  except FileNotFoundError:
    raise InputError(f'{path}: no such file') from None
  except Image.DecompressionBombError:
    limit = 2 * Image.MAX_IMAGE_PIXELS
    raise InputError(f'{path}: has more than the {limit:.2g} pixels that fit into memory; cut it into parts') from None
  except UNDECODABLE as e:
    empty = os.path.isfile(path) and not os.path.getsize(path)
    reason = 'it is empty' if empty else re.sub(" (<_io.*>|'.*')$", '', one_line(e))
    raise InputError(f'{path}: cannot be decoded ({reason}); replace the file') from None


def _open(path: str):
  if records.is_record(path):
    return io.BytesIO(records.read(path))
  files.check_regular(path, 'an image')
  return open(path, 'rb')


def check_folder(flag: str, folder: str) -> str:
  """Raises an InputError unless `folder`, given by `flag`, is one."""
  if not os.path.isdir(folder):
    raise InputError(f'{flag} {folder}: is {"a file" if os.path.exists(folder) else "missing"}; give a folder')
  return folder


def walk(
  root: str, suffixes: Collection[str] = SUFFIXES, skip: Collection[str] = (), others=None, faults=None
) -> list[str]:
  """The files of these endings in `root` and its sub-folders, relative to it and sorted.

  Links are followed. Hidden files and folders and the sub-folders whose real paths are in `skip` are left out.
  `others`, a Counter, gets the other files' endings; the list `faults` a line for each folder that cannot be read.

  Raises:
    InputError: a folder cannot be read, and there is no `faults`.
  """

  def unreadable(error: OSError):
    if faults is not None:
      return faults.append(f'{os_error_line(error)}; its files are left out')
    raise InputError(f'{error.filename}: the folder cannot be read ({error.strerror}); change its permissions')

  paths, seen = [], set()
  for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
      subfolders.clear()
      continue
    seen.add(real)
    subfolders[:] = sorted(n for n in subfolders if n[0] != '.' and os.path.realpath(f'{folder}/{n}') not in skip)
    for name in [name for name in names if name[0] != '.']:
      ending = os.path.splitext(name)[1].lower()
      if ending in suffixes:
        paths.append(os.path.normpath(os.path.join(os.path.relpath(folder, root), name)))
      elif others is not None:
        others[ending or 'no ending'] += 1
  return sorted(paths)


def list_images(flag: str, folder: str, skip: Collection[str] = ()) -> list[str]:
  """The images in a folder, given by `flag`, and its sub-folders (see `walk`). Files of other endings are counted on
  standard error.

  Raises:
    InputError: there is no such folder or no image, or a folder cannot be read.
  """
  others = collections.Counter()
  paths = walk(check_folder(flag, folder), skip=skip, others=others)
  left_out = ', '.join(f'{number} of {ending}' for ending, number in others.most_common(5))
  if not paths:
    raise InputError(
      f'{folder}: holds no image ({", ".join(SUFFIXES)}){f" but {left_out}" if others else ""}; give a folder of them'
    )
  if others:
    print(f'note: {folder}: {others.total()} files are not predicted: {left_out}', file=sys.stderr)
  return [os.path.join(folder, path) for path in paths]


ORIENTATION = 274  # EXIF's tag
# Why a TIFF is neither converted nor predicted: its bits, its orientation, the number of its pictures.
ONE_RANGE = 'convert all images with one range, for example with `gdal_translate -ot Byte -scale 0 {} 0 255`'
DEEP = 'has {} bits a sample, not 8; ' + ONE_RANGE.format(4095)
TURNED = 'has orientation {}; save it upright without the tag (mogrify -auto-orient)'
STACK = 'holds {} pictures; save each as a file'


def check_range(path: str, image: Image.Image) -> None:
  """Refuses an open PNG of 16 bits, not yet decoded, that holds 14 bits or less, as cameras' raw values: the network
  sees the higher byte of each value, so to it the image is almost black."""
  if image.format == 'PNG' and any(tile[3].endswith(';16B') for tile in image.tile):
    ranges = image.getextrema()
    if image.mode.startswith('I'):
      top = ranges[1]
    else:  # Pillow, too, gives the higher bytes of colours
      top = max(most for _, most in ranges[:3]) * 256 + 255
      top = 0 if top == 255 and _is_black(path) else top
    if 0 < top < 1 << 14:
      most = (1 << top.bit_length()) - 1
      raise InputError(
        f'{path}: has 16 bits a sample but no value above {most}, so the network, which sees the higher 8 bits, would '
        f'see it almost black; {ONE_RANGE.format(most)}, or the highest value of all in place of {most}'
      )


def _is_black(path: str) -> bool:
  """Whether the lower bytes of a 16-bit PNG of colours, whose higher ones are 0, are 0 too."""
  with open_picture(path) as image:
    if image.tile[0][3] not in ('RGB;16B', 'RGBA;16B'):  # Pillow has no lower bytes of grey with alpha
      return False
    image.tile = [(*tile[:3], tile[3].replace(';16B', ';16L')) for tile in image.tile]
    return not any(most for _, most in image.getextrema()[:3])


def orientation(image: Image.Image) -> int:
  """EXIF's orientation of an open image, 1 to 8; 1 (as stored) where it says nothing."""
  if image.format == 'PNG' and 'exif' not in image.info:
    return 1  # Pillow would decode the whole file to look behind the pixels
  value = image.getexif().get(ORIENTATION, 1)
  return value if value in range(2, 9) else 1


def orientation_of(data: bytes) -> int:
  """`orientation` of a file's bytes; 1 where they are no image that Pillow reads."""
  try:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
      return orientation(image)
  except UNDECODABLE:
    return 1


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
  """[h, w, ...] as people see a photo of EXIF's orientation `turn`: 2 to 8 mirror or turn it, 5 to 8 swap h and w."""
  if turn in (5, 6, 7, 8):
    pixels = pixels.swapaxes(0, 1)  # 5: mirrored at the main diagonal
  rows = slice(None, None, -1 if turn in (3, 4, 7, 8) else 1)
  columns = slice(None, None, -1 if turn in (2, 3, 6, 7) else 1)
  return pixels[rows, columns]


def upright_label(label: np.ndarray, image_size: tuple[int, int], turn: int) -> np.ndarray:
  """A label [h, w] beside a photo stored as `image_size` (height, width): turned with the photo where only that fits.

  Orientations 5 to 8 swap the sides, so the label's size says whether it was drawn on the photo as stored or as seen.
  """
  seen = image_size[::-1] if turn >= 5 else image_size
  return label if label.shape == tuple(seen) else upright(label, turn)
