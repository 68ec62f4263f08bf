"""Record files: the images and labels of a list in one file, for file systems that are slow with many small ones.

They are ArrayRecord's (Google's random-access records; the optional package `array-record`). Record 0 is JSON: the
list's lines, and for each line the names of its image and its label. Then come the image and the label of each line,
the files' bytes as they are. Their paths are FILE.array_record/NUMBER/NAME, and whatever reads an image reads them too.
Loads no TensorFlow.
"""

import functools
import json
import re

from utils.errors import InputError, one_line

try:
  from array_record.python import array_record_module as array_record
except ImportError:  # optional
  array_record = None

SUFFIX = '.array_record'
_PATH = re.compile(rf'(.*{re.escape(SUFFIX)})/(\d+)/.*', re.DOTALL)


def is_file(path: str) -> bool:
  return str(path).endswith(SUFFIX)


def is_record(path) -> bool:
  return _PATH.fullmatch(str(path)) is not None


def need_package(path: str) -> None:
  """Raises an InputError where ArrayRecord's package is missing."""
  if array_record is None:
    raise InputError(f'{path}: record files need the package array-record; install it with `pip install array-record`')


def read(path) -> bytes:
  """The bytes of a record, by its path; raises an InputError where the file is missing or damaged."""
  file, number = _PATH.fullmatch(str(path)).groups()
  try:
    return _reader(file).read([int(number)])[0]
  except RuntimeError as e:  # ArrayRecord has checksums
    raise InputError(f'{path}: cannot be read ({one_line(e)[:200]}); make {file} again') from None


@functools.lru_cache(4)
def _reader(file: str):
  need_package(file)
  reader = array_record.ArrayRecordReader(file, 'readahead_buffer_size:0,max_parallelism:0')  # for random access
  if not reader.ok() or not reader.num_records():
    raise InputError(f'{file}: is not a whole record file; make it again with dataset/make_records.py')
  return reader


def contents(file: str) -> tuple[list[str], list[list[str]]]:
  """The lines of the list that a record file was made from, and [image, label] of each line, as paths of records."""
  content = json.loads(read(f'{file}/0/list'))
  names = [(i, name) for i, name in enumerate((name for pair in content['names'] for name in pair), 1)]
  paths = [f'{file}/{i}/{name}' for i, name in names]
  return content['lines'], [list(pair) for pair in zip(paths[::2], paths[1::2], strict=True)]
