"""Bytes by path: a local file, an object of a store (`gs://bucket/a.jpg`), or a part of a shard.

A part of a shard is written `SHARD.tfrecord[START:END]/NAME`: bytes START to END, which were the file NAME. Loads
TensorFlow for paths with a scheme alone, and reads these by `tf.io.gfile`.
"""

import contextlib
import errno
import glob
import io
import os
import re
from collections.abc import Iterator

from utils.errors import InputError, one_line

_PART = re.compile(r'(.+\.tfrecord)\[(\d+):(\d+)\]/', re.DOTALL)
_REMOTE = re.compile(r'[a-z][a-z0-9+.-]+://', re.IGNORECASE)


def is_remote(path: str) -> bool:
  """Whether the path has a scheme, as gs://bucket/a.jpg has."""
  return _REMOTE.match(path) is not None


def part_path(shard: str, start: int, end: int, name: str) -> str:
  """The path of a part of a shard, to be read by the functions here."""
  return f'{shard}[{start}:{end}]/{name}'


def part_of_shard(path: str) -> tuple[str, int, int] | None:
  """The shard, first byte and end of a part; None for any other path."""
  match = _PART.match(path)
  return match and (match[1], int(match[2]), int(match[3]))


def read(path: str) -> bytes:
  """All bytes of a path.

  Raises:
    OSError: they cannot be read, or the shard ends earlier.
    InputError: TensorFlow knows no such scheme.
  """
  shard, start, end = part_of_shard(path) or (path, 0, None)
  size = -1 if end is None else end - start
  if is_remote(shard):
    with _gfile_errors(shard) as gfile, gfile.GFile(shard, 'rb') as file:
      file.seek(start)
      data = file.read(size)
  else:
    with open(shard, 'rb') as file:
      file.seek(start)
      data = file.read(size)
  if end is not None and len(data) != size:
    raise OSError(errno.EIO, f'ends at byte {start + len(data)}, before the end of {path}', shard)
  return data


def opened(path: str) -> io.BufferedIOBase:
  """A binary file to read from: a local one in place, any other from memory."""
  return io.BytesIO(read(path)) if is_remote(path) or part_of_shard(path) else open(path, 'rb')


def is_file(path: str) -> bool:
  if not is_remote(path):
    return os.path.isfile(path)
  with _gfile_errors(path) as gfile:
    return gfile.exists(path) and not gfile.isdir(path)


def file_size(path: str) -> int:
  """Bytes of a file; raises as `read` does."""
  if not is_remote(path):
    return os.path.getsize(path)
  with _gfile_errors(path) as gfile:
    return gfile.stat(path).length


def walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
  """As `os.walk`; raises as `read` does where a local folder cannot be read."""
  if not is_remote(folder):

    def refuse(error: OSError):
      raise error

    yield from os.walk(folder, onerror=refuse)
  else:
    with _gfile_errors(folder) as gfile:
      yield from gfile.walk(folder)


def matching(pattern: str) -> list[str]:
  """The paths that a pattern, whose last part may hold `*` and `?`, matches, sorted."""
  if not is_remote(pattern):
    folder, name = os.path.split(pattern)
    return sorted(glob.glob(os.path.join(glob.escape(folder), name)))
  with _gfile_errors(pattern) as gfile:
    return sorted(gfile.glob(pattern))


def check_scheme(path: str) -> None:
  """Raises an InputError where TensorFlow has no file system for a remote path."""
  import tensorflow as tf

  scheme = path.split('://')[0]
  if scheme not in tf.io.gfile.get_registered_schemes():
    with contextlib.suppress(ImportError):
      import tensorflow_io  # noqa: F401  adds its file systems
  if scheme not in tf.io.gfile.get_registered_schemes():
    raise InputError(
      f'{path}: TensorFlow {tf.__version__} has no file system for {scheme}://; install a package that adds it '
      '(tensorflow-io adds s3://), or copy the data to this disk or to gs://'
    )


@contextlib.contextmanager
def _gfile_errors(path: str):
  """Gives `tf.io.gfile`; its errors become those of local files."""
  import tensorflow as tf

  check_scheme(path)
  try:
    yield tf.io.gfile
  except tf.errors.NotFoundError:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
  except tf.errors.OpError as e:
    raise OSError(errno.EIO, one_line(e)[:200], path) from None
