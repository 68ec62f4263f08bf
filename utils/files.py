"""Files: written whole or not at all, read only where they are regular files; one process at a time in a folder.

A file is written as `.STEM.part.SUFFIX` beside its target and renamed. The next run replaces what a killed process left
under that name. Only regular files and new names are written: a device, a pipe or a link in a target's place is
refused, so that an unpacked archive cannot direct an output elsewhere. Loads no TensorFlow.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pathlib
import socket
import stat
import sys
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from PIL import Image

from utils import records
from utils.errors import InputError

if TYPE_CHECKING:
  import numpy as np
  from PIL.PngImagePlugin import PngInfo

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

LONGEST_NAME = 255  # bytes, of most file systems
LARGEST_TEXT = 2**28  # bytes of a text that is read whole: a list of 2 million images has about half


class Held(InputError):
  """Another process holds the folder."""


@contextlib.contextmanager
def whole_file(path):
  """A new path beside `path`: renamed to it when the block ends, removed when the block fails.

  A run that is killed or a disk that fills up leaves `path` as it was, never half written. Makes the parent folder.

  Raises:
    InputError: `path` is there and not a regular file.
  """
  path = pathlib.Path(path)
  _check_target(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  name = f'.{path.stem}.part{path.suffix}'
  if len(os.fsencode(name)) > LONGEST_NAME:
    name = f'.{zlib.crc32(os.fsencode(path.name)):08x}.part{path.suffix}'
  temporary = path.with_name(name)
  with contextlib.suppress(FileNotFoundError):
    os.remove(temporary)  # of a killed process, or a link: it would be followed
  try:
    yield str(temporary)
    os.replace(temporary, path)
  except BaseException as e:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    if isinstance(e, OSError) and e.filename in (None, str(temporary)):
      e.filename = str(path)  # the user's name for it
    raise


def _check_target(path) -> None:
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    mode = os.lstat(path).st_mode
    if not stat.S_ISREG(mode):
      raise InputError(f'{path}: is {_kind_of(mode)}, not a file; name another output, or remove it')


def _kind_of(mode: int) -> str:
  kinds = {stat.S_IFDIR: 'a folder', stat.S_IFLNK: 'a link', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket'}
  return kinds.get(stat.S_IFMT(mode), 'a device')


def write_text(path, text: str) -> None:
  write_bytes(path, text.encode())


def write_csv(path, rows: Iterable[Iterable], plain: bool = False) -> None:
  """Writes a row for each of `rows`; None is an empty cell.

  A spreadsheet takes a text that begins with = + - or @ for a formula: behind a quote it is text. In a `plain` file,
  which programs read again, it stays as it is.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  for row in rows:
    writer.writerow(f"'{x}" if not plain and isinstance(x, str) and x[:1] in tuple('=+-@') else x for x in row)
  write_text(path, text.getvalue())


def write_bytes(path, data: bytes) -> None:
  with whole_file(path) as temporary:
    pathlib.Path(temporary).write_bytes(data)


def write_png(path, array: np.ndarray, palette: np.ndarray | None = None, info: PngInfo | None = None) -> None:
  """Writes uint8 or uint16 [H, W] (grey) or uint8 [H, W, 3] (RGB) as a PNG.

  With a `palette`, uint8 RGB [n, 3], a uint8 [H, W] becomes a palette image: the same values, shown in colours.
  `info`: texts that the file holds beside the picture.
  """
  image = Image.fromarray(array)
  if palette is not None:
    image.putpalette(palette.tobytes())
  with whole_file(path) as temporary:
    image.save(temporary, format='PNG', pnginfo=info)


def check_output_file(flag: str, path: str) -> None:
  """Checks before long work that its result can be written to `path` (empty: nothing to write), given by `flag`.

  Raises:
    InputError: it is not a regular file, or its nearest existing parent is not a folder or is read-only.
  """
  if not path:
    return
  try:
    _check_target(path)
  except InputError as e:
    raise InputError(f'{flag} {e}') from None
  parent = os.path.dirname(os.path.abspath(path))
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
    reason = 'cannot be written to' if os.path.isdir(parent) else 'is not a folder'
    raise InputError(f'{flag} {path}: {parent} {reason}; name a file elsewhere')


def check_regular(path, kind: str) -> None:
  """Raises an InputError unless `path` is a regular file (or a link to one); `kind` says what it should be."""
  try:
    mode = os.stat(path).st_mode
  except FileNotFoundError:
    raise InputError(f'{path}: no such file; give {kind}') from None
  except (OSError, ValueError) as e:
    raise InputError(f'{path}: cannot be read ({getattr(e, "strerror", None) or e}); give {kind}') from None
  if not stat.S_ISREG(mode):  # a pipe would wait for a writer, a device never end
    raise InputError(f'{path}: is {_kind_of(mode)}, not a file; give {kind}')


def read_bytes(path, kind: str, limit: int = LARGEST_TEXT) -> bytes:
  """The contents of a regular file of at most `limit` bytes.

  Raises:
    InputError: it cannot be read, is not a regular file, or is larger; the message says what `kind` it should be.
  """
  if records.is_record(path):
    return records.read(path)
  check_regular(path, kind)
  try:
    with open(path, 'rb') as file:
      data = file.read(limit + 1)
  except OSError as e:
    raise InputError(f'{path}: cannot be read ({e.strerror}); give {kind}') from None
  if len(data) > limit:
    raise InputError(f'{path}: has more than {limit >> 20} MB; give {kind}')
  return data


def read_text(path, kind: str, limit: int = LARGEST_TEXT) -> str:
  """The text of a UTF-8 file with or without a byte-order mark; raises as `read_bytes`, and where it is not UTF-8."""
  try:
    return read_bytes(path, kind, limit).decode('utf-8-sig')
  except UnicodeDecodeError:
    raise InputError(f'{path}: is not UTF-8 text; give {kind}, or save it again as UTF-8') from None


@contextlib.contextmanager
def claim(folder, name: str):
  """Holds `folder`, made if need be, for this process while the block runs; the system ends the claim with the process.

  Two runs that write into one folder by mistake would destroy each other's files. The claim is the lock of a file in
  the folder, which is removed at the end.

  Raises:
    Held: another process holds the folder.
    InputError: it cannot be made or written, or what is in the lock's place is no file.
  """
  if fcntl is None:  # nothing to lock with on this system
    os.makedirs(folder, exist_ok=True)
    yield
    return
  path, file = os.path.join(folder, f'.{name}'), None
  while file is None or not os.path.exists(path) or os.stat(path).st_ino != os.fstat(file.fileno()).st_ino:
    if file is not None:
      file.close()  # the holder before removed the file after it was opened here
    try:
      os.makedirs(folder, exist_ok=True)
      file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), 'r+b', buffering=0)  # noqa: SIM115
      _check_target(path)
    except OSError as e:
      raise InputError(f'{folder}: cannot be written ({e.strerror}); name another folder') from None
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
      holder = file.read(200).decode(errors='replace').strip() or 'another process'
      file.close()
      raise Held(f'{folder}: {holder} is writing there; wait for it, or name another folder') from None
    except OSError as e:  # some file systems of clusters
      print(f'note: {folder}: no locks there ({e.strerror}); start no second run that writes to it', file=sys.stderr)
  with file:
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}'.encode())
    try:
      yield
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.remove(path)
