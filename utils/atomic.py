"""Files that are written whole or not at all: under a temporary name beside the target, then renamed. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import tempfile
import zlib
from typing import TYPE_CHECKING

from PIL import Image

from utils.errors import InputError

if TYPE_CHECKING:
  import numpy as np


@contextlib.contextmanager
def whole_file(path):
  """A temporary path beside `path`: renamed to it when the block ends, removed when the block fails.

  Whatever happens, `path` is the old file, the new file or absent, never half of one. Makes the parent folder.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(prefix=f'.{_short(path.stem)}-', suffix=path.suffix, dir=path.parent)
  os.close(handle)
  try:
    yield temporary
    os.chmod(temporary, 0o666 & ~UMASK)
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise


def _short(stem: str) -> str:
  """At most 60 letters, which every file system takes with something before and behind; other stems, other letters."""
  return stem if len(stem) <= 60 else f'{stem[:51]}-{zlib.crc32(os.fsencode(stem)):08x}'


def remove_unfinished(paths) -> None:
  """Removes what `whole_file` left of `paths` in processes that were killed. For whoever holds these files (`claim`): a
  process that is writing one of them would lose it."""
  wanted = {}
  for path in map(pathlib.Path, paths):
    wanted.setdefault(path.parent, set()).add((_short(path.stem), path.suffix))
  for folder, names in wanted.items():
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      for name in os.listdir(folder):
        found = re.fullmatch(r'\.(.+)-[a-z0-9_]{8}(\.[^.]*)?', name, re.DOTALL)
        if found and (found[1], found[2] or '') in names:
          os.remove(folder / name)


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask


UMASK = _umask()  # asked once, before there are threads: asking means setting it for a moment


def write_text(path, text: str) -> None:
  write_bytes(path, text.encode())


def write_bytes(path, data: bytes) -> None:
  with whole_file(path) as temporary:
    pathlib.Path(temporary).write_bytes(data)


def write_png(path, array: np.ndarray, palette: np.ndarray | None = None) -> None:
  """Writes uint8 or uint16 [H, W] (grey) or uint8 [H, W, 3] (RGB) as a PNG, whole or not at all.

  With a `palette`, uint8 RGB [n, 3], a uint8 [H, W] becomes a palette image: the same values, shown in colours.
  """
  image = Image.fromarray(array)
  if palette is not None:
    image.putpalette(palette.tobytes())
  with whole_file(path) as temporary:
    image.save(temporary, format='PNG')


def check_output_file(flag: str, path: str) -> None:
  """Says before long work that its result could not be written: `path` (empty: nothing to write) for `flag`.

  Raises:
    InputError: it is a folder, or below something that is no folder or cannot be written to.
  """
  if not path:
    return
  if os.path.isdir(path):
    raise InputError(f'{flag} {path}: is a folder; name a file')
  parent = os.path.dirname(os.path.abspath(path))
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
    reason = 'cannot be written to' if os.path.isdir(parent) else 'is no folder'
    raise InputError(f'{flag} {path}: {parent} {reason}; name a file elsewhere')
