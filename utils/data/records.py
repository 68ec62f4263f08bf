"""Writes the images and labels of a list into shards, TFRecord files of tf.train.Example, each with its index.

The keys are those of TensorFlow's DeepLab: image/encoded, image/filename, image/format, image/height, image/width,
image/segmentation/class/encoded and image/segmentation/class/format. Files are stored as they are, not decoded.
"""

import collections
import json
import os
from typing import NamedTuple

from utils import atomic, shards, storage
from utils.data import check
from utils.errors import InputError, RunError, one_line
from utils.list_file import Pair

_HEADER, _FOOTER = 12, 4  # bytes of a record before its data (length and checksum) and behind it (checksum)


class Shard(NamedTuple):
  """A shard to be written: its lines of the list, and the files that they name."""

  path: str
  lines: list[str]
  pairs: list[Pair]
  names: list[list[str]]  # of the files, relative to the data folder


def write(shard: Shard, num_classes: int, ignore_label: int) -> list[str]:
  """Writes a shard and its index, unless both are there and newer than all of its files.

  Returns:
    A line for each pair that training would refuse; with any of them nothing is written.

  Raises:
    RunError: the disk is full, or the like.
  """
  if is_current(shard):
    return []
  findings = [check.inspect(pair, num_classes, ignore_label) for pair in shard.pairs]
  faults = [finding.fault for finding in findings if finding.fault]
  if faults:
    return faults
  import tensorflow as tf

  counts = sum((collections.Counter(finding.counts) for finding in findings), collections.Counter())
  parts, start = [], 0
  try:
    with atomic.whole_file(shard.path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
      for pair, names, finding in zip(shard.pairs, shard.names, findings, strict=True):
        files = [storage.read(path) for path in pair if path]
        record = example(names[0], finding.size, *files)
        begins = [start + _HEADER + record.index(file) for file in files]
        parts.append([(begin, begin + len(file)) for begin, file in zip(begins, files, strict=True)])
        writer.write(record)
        start += _HEADER + len(record) + _FOOTER
  except tf.errors.OpError as e:
    raise RunError(f'{shard.path}: cannot be written ({one_line(e)[:200]}); run this again to go on') from None
  index = shards.Index(shard.lines, shard.names, parts, sorted(counts.items()), start)
  atomic.write_text(shards.index_path(shard.path), json.dumps(index._asdict()))
  return []


def is_current(shard: Shard) -> bool:
  """Whether the shard and its index are whole, of the same lines, and newer than all their files that are local."""
  try:
    index = shards.read_index(shard.path)
    written = os.stat(shards.index_path(shard.path)).st_mtime_ns
  except (InputError, OSError):
    return False
  files = [os.stat(path) for pair in shard.pairs for path in pair if path and not storage.is_remote(path)]
  return index.lines == shard.lines and all(max(file.st_mtime_ns, file.st_ctime_ns) < written for file in files)


def example(name: str, size: tuple[int, int], image: bytes, label: bytes | None = None) -> bytes:
  """A serialised tf.train.Example of an encoded image, of `size` (width, height), and its encoded label."""
  import tensorflow as tf

  values = {'image/encoded': image, 'image/filename': os.fsencode(name), 'image/format': _format(image)}
  if label is not None:
    values |= {'image/segmentation/class/encoded': label, 'image/segmentation/class/format': b'png'}
  as_bytes, as_number = tf.train.BytesList, tf.train.Int64List
  features = {key: tf.train.Feature(bytes_list=as_bytes(value=[value])) for key, value in values.items()}
  for key, number in zip(('image/width', 'image/height'), size, strict=True):
    features[key] = tf.train.Feature(int64_list=as_number(value=[number]))
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _format(image: bytes) -> bytes:
  return b'png' if image.startswith(b'\x89PNG') else b'jpeg'
