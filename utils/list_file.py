"""Image lists: one line an image, `image label` relative to the data folder, or `image` alone; or shards that hold the
images and labels of a list (`utils.shards`). Loads no TensorFlow."""

import os
import pathlib
import stat
import zlib
from typing import NamedTuple

from utils import shards, storage
from utils.errors import InputError


class Pair(NamedTuple):
  """A line of a list file, as paths. `label` is None where the line has none, or none that exists."""

  image: str
  label: str | None


LINE = 'one line an image, `image label`'


def read_list(list_path: str, data_dir: str, need_label: bool) -> list[Pair]:
  """Reads a list file, or the indices of the shards that `list_path` names: `shards/train-*.tfrecord`.

  A byte-order mark, Windows line ends and blank lines are skipped. Names may hold spaces: a line is split where both
  parts are files in `data_dir` (a tab always splits). Where the data is in an object store, no file is looked for, as
  that takes too long: only a tab or a single space splits.

  Raises:
    InputError: the list is missing, empty or not text; a line cannot be split, lacks a needed label, or names no file.
  """
  if shards.is_shards(list_path):
    return _read_shards(list_path, need_label)
  lines = list_lines(list_path)
  if storage.is_remote(data_dir):
    storage.check_scheme(data_dir)
  return [read_line(line, where, data_dir, need_label, allow_missing_label=not need_label) for where, line in lines]


def _read_shards(pattern: str, need_label: bool) -> list[Pair]:
  pairs = []
  for shard, index in shards.read_indices(pattern).items():
    pairs += [Pair(*paths) if len(paths) == 2 else Pair(paths[0], None) for paths in shards.part_paths(shard, index)]
  if need_label and any(pair.label is None for pair in pairs):
    raise InputError(f'{pattern}: has images without a label; make shards of a list of `image label`')
  return pairs


def list_lines(list_path: str) -> list[tuple[str, str]]:
  """The lines of a list file that are not blank, each behind its place for messages: `FILE line 3`."""
  if not list_path:
    raise InputError(f'--data-list is empty; give a list file: {LINE}')
  if shards.is_shards(list_path):
    return [(list_path, line) for index in shards.read_indices(list_path).values() for line in index.lines]
  if not storage.is_remote(list_path) and not os.path.exists(list_path):
    raise InputError(f'{list_path}: no such list file; {_how_to_make(list_path)}')
  text = text_lines(list_path, f'a list file: {LINE}')
  lines = [(f'{list_path} line {i}', line.strip()) for i, line in enumerate(text, 1) if line.strip()]
  if not lines:
    raise InputError(f'{list_path}: holds no line; write {LINE}')
  return lines


def _how_to_make(list_path: str) -> str:
  """The command that makes a well-known list, for the message of a missing one."""
  for name in ('voc12', 'cityscapes', 'gta5', 'camvid'):
    if name in pathlib.PurePath(list_path).parts:
      return f'make it with `python dataset/prepare_{name}.py --help`'
  return f'write {LINE}, or make one with `python dataset/prepare_own.py --help`'


def list_digest(list_path: str) -> str:
  """The number of lines and a checksum: lists with different lines differ."""
  lines = [line for _, line in list_lines(list_path)]
  return f'{len(lines)} lines, CRC {zlib.crc32(chr(10).join(lines).encode()):08x}'


def read_line(line: str, where: str, data_dir: str, need_label: bool, allow_missing_label: bool = False) -> Pair:
  """A line of `list_lines` as files that exist; raises as `read_list` does.

  With `allow_missing_label`, a label that is named but does not exist becomes None.
  """
  remote = storage.is_remote(data_dir) or storage.is_remote(line)
  candidates = _splits(line, whole_words=remote)
  is_there = (lambda path: True) if remote else os.path.isfile
  for names in candidates:
    image, *label = (_path(data_dir, name) for name in names)
    if is_there(image) and all(map(is_there, label)) and (label or not need_label):
      return Pair(image, label[0] if label else None)
    if allow_missing_label and label and len(line.split()) == 2 and is_there(image):
      return Pair(image, None)
  if not candidates or len(line.split()) > 2:
    raise InputError(f'{where}: `{line}` is not `image label`; check the names, or put a tab between the two')
  if need_label and all(len(names) == 1 for names in candidates):
    raise InputError(f'{where}: `{line}` names no label; write `image label`')
  missing = next(path for name in candidates[0] if not is_there(path := _path(data_dir, name)))
  raise InputError(f'{where}: {missing} is not a file; check the line and --data-dir {data_dir or "(empty)"}')


def _splits(line: str, whole_words: bool) -> list[tuple[str, ...]]:
  """The ways to read a line as `image label` or `image`: split at its tab, else at any space or not at all (with
  `whole_words`: at its only space)."""
  if '\t' in line or whole_words:
    names = tuple(name.strip() for name in (line.split('\t') if '\t' in line else line.split()))
    return [names] if len(names) == 2 or len(names) == 1 and whole_words else []
  return [(line[:i].strip(), line[i:].strip()) for i, letter in enumerate(line) if letter == ' '] + [(line,)]


def _path(data_dir: str, name: str) -> str:
  """`name` in `data_dir`; lists of other projects start such names with a slash."""
  if storage.is_remote(name):
    return name
  joined = os.path.join(data_dir, name.lstrip('/')) if data_dir else name
  is_absolute = name.startswith('/') and not storage.is_remote(data_dir) and not os.path.isfile(joined)
  return name if is_absolute else joined


def text_lines(path, kind: str) -> list[str]:
  """The lines of a text file, UTF-8 with or without a byte-order mark.

  Raises:
    InputError: it cannot be read; the message says what `kind` of file it should be.
  """
  try:
    path = os.fspath(path)
    if not storage.is_remote(path) and stat.S_IFMT(os.stat(path).st_mode) in (stat.S_IFBLK, stat.S_IFCHR):
      # Reading /dev/zero would never end.
      raise InputError(f'{path}: is a device; give {kind}')
    return storage.read(path).decode('utf-8-sig').splitlines()
  except UnicodeDecodeError:
    raise InputError(f'{path}: is not UTF-8 text; give {kind}') from None
  except (OSError, ValueError) as e:
    raise InputError(f'{path}: cannot be read as {kind} ({getattr(e, "strerror", None) or e})') from None
