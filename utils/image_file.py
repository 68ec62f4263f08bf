"""Images and labels as files, opened by Pillow. Loads no TensorFlow.

A label is an 8-bit (16-bit for instance ids) single-channel image; of a palette image the index counts, not the colour.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from utils.errors import InputError, one_line

if TYPE_CHECKING:
  import numpy as np


# The formats that a picture may have. Pillow knows more, some of which start programs to be decoded (EPS: Ghostscript).
FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'PPM', 'TIFF', 'WEBP')


# What Pillow raises over a file that it cannot make a picture of.
UNDECODABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def read_label(path: str) -> np.ndarray:
  """A label or instance image as integers [H, W]: grey values, or palette indices (uint8; uint16 or int32 if deeper).

  Raises:
    InputError: not an image, damaged, or with more than one channel.
  """
  with open_label(path) as image:
    return label_array(image)


def label_array(image: Image.Image) -> np.ndarray:
  """`read_label` of an open image."""
  import numpy as np  # not above: scripts that only count labels start twice as fast without

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
  """A picture opened by Pillow, not yet decoded; what goes wrong inside the block is an InputError too."""
  try:
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe is to wait for whoever writes into it
      raise InputError(f'{path}: is no file but a folder, a pipe or a device; take it away')
    with Image.open(path, formats=FORMATS) as image:
      yield image
  except FileNotFoundError:
    raise InputError(f'{path}: no such file') from None
  except UNDECODABLE as e:
    empty = os.path.isfile(path) and not os.path.getsize(path)
    reason = 'it is empty' if empty else one_line(e).replace(f' {path!r}', '')
    raise InputError(f'{path}: cannot be decoded ({reason}); replace the file') from None


def list_images(folder: str) -> list[str]:
  """The JPEG and PNG files of a folder (not below it), by name; hidden ones are passed over.

  Raises:
    InputError: no such folder, or none in it.
  """
  try:
    names = sorted(os.listdir(folder))
  except OSError as e:
    raise InputError(f'{folder}: {e.strerror}; give a folder of images') from None
  names = [name for name in names if name.lower().endswith(('.jpg', '.jpeg', '.png')) and not name.startswith('.')]
  images = [os.path.join(folder, name) for name in names]
  if not images:
    raise InputError(f'{folder}: holds no .jpg, .jpeg or .png file; give a folder of images')
  return images
