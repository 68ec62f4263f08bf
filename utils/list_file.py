"""Image lists: one line an image, `image label` relative to the data folder, or `image` alone. Loads no TensorFlow."""

import os
import pathlib
import stat
import zlib
from typing import NamedTuple

from utils.errors import InputError


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


def text_lines(path, kind: str) -> list[str]:
  """The lines of a text file, UTF-8 with or without a byte-order mark.

  Raises:
    InputError: it cannot be read; the message says what `kind` of file it should be.
  """
  try:
    return pathlib.Path(path).read_text(encoding='utf-8-sig').splitlines()
  except (OSError, ValueError) as e:
    raise InputError(f'{path}: cannot be read as {kind} ({getattr(e, "strerror", None) or e})') from None
