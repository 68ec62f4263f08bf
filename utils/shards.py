"""Indices of shards: TFRecord files of images and labels, which stand in for a list of files. Loads no TensorFlow.

The shards of one list are NAME-00000-of-00016.tfrecord and so on, in the list's order. Beside each lies its index,
SHARD.tfrecord.json, with the bytes where every image and label begins and ends: training reads them in any order, and
learns of a shard that was not copied whole. `dataset/make_records.py` writes both.
"""

import json
import re
from typing import NamedTuple

from utils import parallel, storage
from utils.errors import InputError, os_error_line

SUFFIX = '.tfrecord'
_NAME = re.compile(r'(.*)-(\d{5})-of-(\d{5})\.tfrecord$', re.DOTALL)


class Index(NamedTuple):
  """What is known of a shard without reading it. An example's part is (first byte, byte after the last)."""

  lines: list[str]  # of the list
  names: list[list[str]]  # [image, label] or [image] of each line
  parts: list[list[tuple[int, int]]]  # as `names`
  label_counts: list[tuple[int, int]]  # label values, and the pixels of each in all labels
  size: int  # bytes of the shard


def shard_name(name: str, number: int, total: int) -> str:
  return f'{name}-{number:05d}-of-{total:05d}{SUFFIX}'


def index_path(shard: str) -> str:
  return f'{shard}.json'


def is_shards(data_list: str) -> bool:
  """Whether a --data-list names shards instead of a list file."""
  return data_list.endswith(SUFFIX)


def read_indices(pattern: str) -> dict[str, Index]:
  """Shard -> index, in order, of all shards of one list.

  Raises:
    InputError: there is none, one is missing or is not whole, or the pattern matches shards of two lists.
  """
  found = storage.matching(pattern)
  if not found:
    raise InputError(f'{pattern}: no such shard; make them with `python dataset/make_records.py --help`')
  matches = [_NAME.fullmatch(shard) for shard in found]
  if None in matches:
    raise InputError(f'{found[matches.index(None)]}: is not named as dataset/make_records.py names shards')
  first, other = matches[0], next((match for match in matches if match.group(1, 3) != matches[0].group(1, 3)), None)
  if other:
    raise InputError(f'{pattern}: {first[0]} and {other[0]} are shards of two lists; name those of one')
  missing = set(range(int(first[3]))) - {int(match[2]) for match in matches}
  if missing:
    path = shard_name(first[1], min(missing), int(first[3]))
    raise InputError(f'{path}: is missing; {pattern} must match every shard of its list')
  return dict(zip(found, parallel.in_threads(read_index, found, 'reading indices', 'shard'), strict=True))


def read_index(shard: str) -> Index:
  """Raises an InputError where the index is missing or damaged, or the shard has another size than when it was made."""
  path = index_path(shard)
  try:
    index = Index(**json.loads(storage.read(path)))
    size = storage.file_size(shard)
  except OSError as e:
    raise InputError(f'{os_error_line(e)}; copy {shard} together with its .json, or make both again') from None
  except (ValueError, TypeError) as e:
    raise InputError(f'{path}: is no index of a shard ({e}); copy it again') from None
  if size != index.size:
    raise InputError(f'{shard}: has {size} bytes, not the {index.size} that were written; copy it again')
  return index


def part_paths(shard: str, index: Index) -> list[list[str]]:
  """Of each example the paths, for `utils.storage`, of its image and, where it has one, of its label."""
  return [
    [storage.part_path(shard, start, end, name) for (start, end), name in zip(parts, names, strict=True)]
    for parts, names in zip(index.parts, index.names, strict=True)
  ]
