"""Image lists: one line per image, `image label` relative to the data folder, or `image` alone. Loads no TensorFlow."""

import os
import pathlib
import zlib
from typing import NamedTuple

from utils import files, records
from utils.errors import InputError

LINE = 'one line per image, `image label`'
DATASETS = pathlib.Path(__file__).resolve().parents[1] / 'dataset'  # its programs make lists
LONGEST_LINE = 2 * 4096  # two of the longest paths


class Pair(NamedTuple):
  """A line of a list file, as paths. `label` is None where the line has none, or none that exists."""

  image: str
  label: str | None


def read_list(list_path: str, data_dir: str, need_label: bool, faults: list[str] | None = None) -> list[Pair]:
  """Reads a list file.

  A byte-order mark, Windows line ends and blank lines are skipped. Names may hold spaces: a line is split where both
  parts are files in `data_dir` (a tab always splits). Without `need_label` a label that is named but does not exist
  is None. With `faults` it is a fault, and these and other faulty lines are appended there instead of raised.

  Raises:
    InputError: the list is missing, empty or not text; a line cannot be split, lacks a needed label, or names no file.
  """
  lines = list_lines(list_path)
  if records.is_file(list_path):
    return [Pair(*pair) for pair in records.contents(list_path)[1]]
  pairs = []
  for where, line in lines:
    try:
      pairs.append(_read_line(line, where, data_dir, need_label, not need_label and faults is None))
    except InputError as e:
      if faults is None:
        raise
      faults.append(str(e))
  return pairs


def list_lines(list_path: str) -> list[tuple[str, str]]:
  """The lines of a list file that are not blank, each behind its place for messages: `FILE line 3`."""
  if not list_path:
    raise InputError(f'--data-list is empty; give a list file: {LINE}')
  if not os.path.exists(list_path):
    raise InputError(f'{list_path}: no such list file; {_how_to_make(list_path)}')
  if records.is_file(list_path):
    files.check_regular(list_path, 'a record file')
    return [(f'{list_path} line {i}', line) for i, line in enumerate(records.contents(list_path)[0], 1)]
  text = files.read_text(list_path, f'a list file: {LINE}').splitlines()
  lines = [(f'{list_path} line {i}', line.strip()) for i, line in enumerate(text, 1) if line.strip()]
  if not lines:
    raise InputError(f'{list_path}: holds no line; write {LINE}')
  for where, line in lines:
    if len(line) > LONGEST_LINE:
      raise InputError(f'{where}: has {len(line)} characters, not `image label`; write {LINE}')
  return lines


def _how_to_make(list_path: str) -> str:
  """The command that makes a well-known list, for the message of a missing one."""
  for name in pathlib.PurePath(list_path).parts:
    if os.path.exists(DATASETS / f'prepare_{name}.py'):  # pathlib's own raises where a name is too long
      return f'make it with `python dataset/prepare_{name}.py --help`'
  return f'write {LINE}, or make one with `python dataset/prepare_own.py --help`'


def list_digest(list_path: str) -> str:
  """The number of lines and a checksum: lists with different lines differ."""
  lines = [line for _, line in list_lines(list_path)]
  return f'{len(lines)} lines, CRC {zlib.crc32(chr(10).join(lines).encode()):08x}'


def _read_line(line: str, where: str, data_dir: str, need_label: bool, allow_missing_label: bool) -> Pair:
  """A line of `list_lines` as files that exist."""
  candidates = _splits(line)
  for names in candidates:
    image, *label = (_path(data_dir, name) for name in names)
    if os.path.isfile(image) and all(map(os.path.isfile, label)) and (label or not need_label):
      return Pair(image, label[0] if label else None)
    if allow_missing_label and label and len(line.split()) == 2 and os.path.isfile(image):
      return Pair(image, None)
  if not candidates or len(line.split()) > 2:
    raise InputError(f'{where}: `{line}` is not `image label`; check the names, or put a tab between the two')
  if need_label and all(len(names) == 1 for names in candidates):
    raise InputError(f'{where}: `{line}` names no label; write `image label`')
  missing = next(path for name in candidates[0] if not os.path.isfile(path := _path(data_dir, name)))
  raise InputError(f'{where}: {missing} is not a file; check the line and --data-dir {data_dir or "(empty)"}')


def _splits(line: str) -> list[tuple[str, ...]]:
  """The ways to read a line as `image label` or `image`: split at its tab, else at any space or not at all."""
  if '\t' in line:
    names = tuple(name.strip() for name in line.split('\t'))
    return [names] if len(names) == 2 else []
  return [(line[:i].strip(), line[i:].strip()) for i, letter in enumerate(line) if letter == ' '] + [(line,)]


def _path(data_dir: str, name: str) -> str:
  """`name` in `data_dir`; lists of other projects start such names with a slash."""
  joined = os.path.join(data_dir, name.lstrip('/')) if data_dir else name
  return name if name.startswith('/') and not os.path.isfile(joined) else joined
