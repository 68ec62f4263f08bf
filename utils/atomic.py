"""Files that are written whole or not at all: under a temporary name beside the target, then renamed. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from utils import storage
from utils.errors import InputError

if TYPE_CHECKING:
  import numpy as np


@contextlib.contextmanager
def whole_file(path):
  """A new path beside `path`: renamed to it when the block ends, removed when the block fails.

  A run that is killed or a disk that fills up leaves `path` as it was, never half written. Makes the parent folder.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{_temporary_prefix(path)}{os.urandom(4).hex()}{path.suffix}')
  try:
    yield str(temporary)
    os.replace(temporary, path)
  except BaseException as e:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    if isinstance(e, OSError) and e.filename in (None, str(temporary)):
      e.filename = str(path)  # the user's name for it
    raise


def _temporary_prefix(path: pathlib.Path) -> str:
  """Differs from file to file, and stays short where the name is as long as the file system allows."""
  return f'.{zlib.crc32(os.fsencode(path.name)):08x}-'


def remove_unfinished(paths) -> None:
  """Removes what `whole_file` left of `paths` in processes that were killed.

  Only for the process that holds these files (`locks.claim`): another one that is writing them would lose its work.
  """
  prefixes = {(path.parent, _temporary_prefix(path)) for path in map(pathlib.Path, paths)}
  for folder in {folder for folder, _ in prefixes}:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      for name in os.listdir(folder):
        if (folder, name[:10]) in prefixes:
          os.remove(folder / name)


def write_text(path, text: str) -> None:
  write_bytes(path, text.encode())


def write_bytes(path, data: bytes) -> None:
  with whole_file(path) as temporary:
    pathlib.Path(temporary).write_bytes(data)


def write_png(path, array: np.ndarray, palette: np.ndarray | None = None) -> None:
  """Writes uint8 or uint16 [H, W] (grey) or uint8 [H, W, 3] (RGB) as a PNG.

  With a `palette`, uint8 RGB [n, 3], a uint8 [H, W] becomes a palette image: the same values, shown in colours.
  """
  image = Image.fromarray(array)
  if palette is not None:
    image.putpalette(palette.tobytes())
  with whole_file(path) as temporary:
    image.save(temporary, format='PNG')


def make_folder(flag: str, folder) -> None:
  """Makes an output folder, which was given by `flag`.

  Raises:
    InputError: it cannot be made, or is one of an object store, where files are neither renamed nor locked.
  """
  if storage.is_remote(str(folder).replace(':/', '://')):  # pathlib makes one slash of two
    raise InputError(f'{flag} {folder}: outputs go to a disk; name a folder there, and copy it afterwards')
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as e:
    raise InputError(f'{flag} {folder}: cannot be made ({e.strerror}); name another folder') from None


def check_output_file(flag: str, path: str) -> None:
  """Checks before long work that its result can be written to `path` (empty: nothing to write), given by `flag`.

  Raises:
    InputError: it is a folder, or its nearest existing parent is not a folder or is read-only.
  """
  if not path:
    return
  if os.path.isdir(path):
    raise InputError(f'{flag} {path}: is a folder; name a file')
  parent = os.path.dirname(os.path.abspath(path))
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
    reason = 'cannot be written to' if os.path.isdir(parent) else 'is not a folder'
    raise InputError(f'{flag} {path}: {parent} {reason}; name a file elsewhere')
