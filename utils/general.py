"""Files: list files, label images, and outputs that are whole or absent. Loads no TensorFlow.

Conventions: an image list has one line an image, `image label` relative to the data folder, or `image` alone. A label
is an 8-bit (16-bit for instance ids) single-channel image; of a palette image the index counts, not the colour.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import socket
import stat
import struct
import tempfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from utils.errors import InputError, one_line

if TYPE_CHECKING:
  import numpy as np

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

# The formats that a picture may have. Pillow knows more, some of which start programs to be decoded (EPS: Ghostscript).
FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'PPM', 'TIFF', 'WEBP')
# What Pillow raises over a file that it cannot make a picture of.
UNDECODABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


class Pair(NamedTuple):
  """A line of a list file: paths that can be opened. `label` is None where the line has none that is there."""

  image: str
  label: str | None


def read_list(list_path: str, data_dir: str, need_label: bool) -> list[Pair]:
  """Reads a list file.

  Byte-order mark, Windows line ends and blank lines are passed over. Names may hold spaces: a line is cut where both
  parts are files below `data_dir` (a tab always cuts).

  Raises:
    InputError: the list is missing, empty or not text; a line cannot be cut, lacks a needed label, or names no file.
  """
  lines = list_lines(list_path)
  return [read_line(line, where, data_dir, need_label, label_may_be_gone=not need_label) for where, line in lines]


def list_lines(list_path: str) -> list[tuple[str, str]]:
  """A list file's lines that hold something, each behind the words that say where it stands: `FILE line 3`."""
  if not list_path:
    raise InputError('--data-list is empty; give a list file: one line an image, `image label`')
  try:
    if stat.S_ISBLK(os.stat(list_path).st_mode) or stat.S_ISCHR(os.stat(list_path).st_mode):
      raise InputError(f'{list_path}: is a device; give a list file: one line an image, `image label`')
    text = pathlib.Path(list_path).read_text(encoding='utf-8-sig')
  except FileNotFoundError:
    raise InputError(f'{list_path}: no such list file; {_list_maker(list_path)}') from None
  except UnicodeDecodeError:
    raise InputError(f'{list_path}: is not UTF-8 text; a list has one line an image, `image label`') from None
  except (OSError, ValueError) as e:
    raise InputError(f'{list_path}: cannot be read as a list file ({getattr(e, "strerror", None) or e})') from None
  lines = [(f'{list_path} line {i}', line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
  if not lines:
    raise InputError(f'{list_path}: holds no line; write one line an image, `image label`')
  return lines


def list_digest(list_path: str) -> str:
  """Tells lists with other lines apart."""
  lines = [line for _, line in list_lines(list_path)]
  return f'{len(lines)} lines, CRC {zlib.crc32(chr(10).join(lines).encode()):08x}'


def _list_maker(list_path: str) -> str:
  """The command that makes a well-known list, for the message of a missing one."""
  parts = pathlib.PurePath(list_path).parts
  for name in ('voc12', 'cityscapes', 'gta5', 'camvid'):
    if name in parts:
      return f'make it with `python dataset/prepare_{name}.py --help`'
  return 'write one line an image, `image label`, or make one with `python dataset/prepare_own.py --help`'


def read_line(line: str, where: str, data_dir: str, need_label: bool, label_may_be_gone: bool = False) -> Pair:
  """One line of `list_lines` as a pair of files that are there; raises as `read_list` does."""
  if '\t' in line:
    candidates = [tuple(part.strip() for part in line.split('\t'))]
  else:
    words = line.split(' ')
    cuts = range(1, len(words))
    candidates = [(' '.join(words[:i]).strip(), ' '.join(words[i:]).strip()) for i in cuts if words[i]]
    candidates = [c for c in candidates if all(c)] + [(line,)]
  candidates = [c for c in candidates if len(c) <= 2]
  for names in candidates:
    paths = [below(data_dir, name) for name in names]
    if all(map(_is_file, paths)) and (len(paths) == 2 or not need_label):
      return Pair(paths[0], paths[1] if len(paths) == 2 else None)
    if label_may_be_gone and len(names) == 2 == len(line.split()) and _is_file(paths[0]):
      return Pair(paths[0], None)
  if not candidates or len(line.split()) > 2:
    raise InputError(f'{where}: `{line}` is not `image label`; check the names, or part the two by a tab')
  if need_label and all(len(c) == 1 for c in candidates):
    raise InputError(f'{where}: `{line}` names no label; write `image label`')
  missing = next(p for p in (below(data_dir, name) for name in candidates[0]) if not _is_file(p))
  raise InputError(f'{where}: {missing} is no file; check the line and --data-dir {data_dir or "(empty)"}')


def _is_file(path: str) -> bool:
  try:
    return os.path.isfile(path)
  except ValueError:  # a NUL byte
    return False


def below(data_dir: str, name: str) -> str:
  """`name` under `data_dir`; lists of other projects start their names with a slash and mean the same."""
  joined = os.path.join(data_dir, name.lstrip('/')) if data_dir else name
  return name if name.startswith('/') and not _is_file(joined) else joined


def read_label(path: str) -> np.ndarray:
  """A label or instance image as integers [H, W]: grey values, or palette indices (uint8; uint16 or int32 if deeper).

  Raises:
    InputError: not an image, damaged, or with more than one channel.
  """
  import numpy as np  # not above: scripts that only count labels start twice as fast without

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
        f'{path}: is a {image.mode} picture, not class ids; save it as a grey or palette PNG of class ids'
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


@contextlib.contextmanager
def claim(folder, name: str):
  """Holds `folder` for this process while the block runs; the claim dies with the process, however it ends.

  Raises:
    InputError: another process holds it, or it cannot be written.
  """
  path = os.path.join(folder, f'.{name}')
  if fcntl is None:  # not on this system: nothing to hold it with
    yield
    return
  while True:
    try:
      handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as e:
      raise InputError(f'{folder}: cannot be written ({e.strerror}); name another folder') from None
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      holder = os.read(handle, 200).decode(errors='replace').strip() or 'another process'
      os.close(handle)
      raise InputError(f'{folder}: {holder} is writing there; wait for it, or name another folder') from None
    with contextlib.suppress(FileNotFoundError):
      if os.stat(path).st_ino == os.fstat(handle).st_ino:
        break
    os.close(handle)  # the earlier holder removed the file in between
  try:
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
    yield
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)
    os.close(handle)


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
