"""Shards: what training reads from them is what it reads from the files, and half a shard is never read."""

import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from dataset import check, make_records
from seg_models.augmentation import Augmentation
from seg_models.image_reader import training_dataset
from tests import tiny
from utils import atomic, errors, list_file, shards, storage
from utils.data.check import check_pairs

data, toy, deterministic = tiny.data, tiny.toy, tiny.deterministic


def make(data, out, *flags) -> int:
  argv = ['--data-dir', str(data), '--data-list', str(data / 'list.txt'), '--out-dir', str(out), *map(str, flags)]
  return errors.run(make_records.main, ['--num-classes', '3', *argv])


@pytest.fixture
def records(data, tmp_path):
  """The pattern of three shards of the seven images."""
  assert make(data, tmp_path / 'shards', '--shards', 3) == 0
  return str(tmp_path / 'shards' / 'list-*.tfrecord')


def test_shards_hold_the_files_in_the_order_of_the_list(data, records):
  files = list_file.read_list(str(data / 'list.txt'), str(data), need_label=True)
  pairs = list_file.read_list(records, '', need_label=True)
  assert [list(map(storage.read, pair)) for pair in pairs] == [list(map(storage.read, pair)) for pair in files]
  assert [os.path.basename(pair.image) for pair in pairs] == [f'{i}.jpg' for i in range(7)]
  assert list_file.list_digest(records) == list_file.list_digest(str(data / 'list.txt'))
  keys = ('image/encoded', 'image/segmentation/class/encoded')
  dataset = tf.data.TFRecordDataset(storage.matching(records))  # TensorFlow's own reader checks the checksums
  parsed = [
    tf.io.parse_single_example(record, dict.fromkeys(keys, tf.io.FixedLenFeature([], tf.string))) for record in dataset
  ]
  assert [[example[key].numpy() for key in keys] for example in parsed] == [list(map(storage.read, p)) for p in files]
  assert check.main(['--data-list', records, '--num-classes', '3']) == 0


@pytest.mark.parametrize('worker', [(0, 1), (1, 2)])
def test_examples_are_those_of_the_files(data, records, worker):
  both = []
  for data_list in (str(data / 'list.txt'), records):
    pairs = list_file.read_list(data_list, str(data), need_label=True)
    augmentation = Augmentation((0.5, 2.0), mirror=True, random_crop=True)
    dataset = training_dataset(pairs, 4, (32, 32), 255, 5, augmentation, first_batch=3, worker=worker)
    both.append(list(dataset.take(16).as_numpy_iterator()))
  for one, other in zip(*both, strict=True):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_a_run_on_shards_is_the_run_on_files_and_may_go_on_from_it(data, records, tmp_path, toy, deterministic):
  flags = {'deterministic': True, 'val_every': 3}
  tiny.train(data, tmp_path / 'files', val_list=data / 'list.txt', **flags)
  shutil.copytree(tmp_path / 'files', tmp_path / 'resumed')
  for path in [*(tmp_path / 'resumed').glob('model.ckpt-5.*'), tmp_path / 'resumed' / 'checkpoint']:
    path.unlink(missing_ok=True)
  in_shards = {'data_list': records, 'val_list': records, **flags}
  tiny.train(data, tmp_path / 'shards', **in_shards)
  tiny.train(data, tmp_path / 'resumed', resume=True, **in_shards)
  for folder in ('shards', 'resumed'):
    tiny.assert_same(tiny.last_checkpoint(tmp_path / 'files'), tiny.last_checkpoint(tmp_path / folder))


def test_a_second_run_writes_what_is_missing_or_older_than_its_files(data, records):
  first, second, third = map(pathlib.Path, storage.matching(records))
  whole, before = second.read_bytes(), [path.stat().st_mtime_ns for path in (first, second, third)]
  second.write_bytes(whole[:-9])  # not copied whole
  assert make(data, first.parent, '--shards', 3) == 0
  os.utime(data / '0.jpg')
  assert make(data, first.parent, '--shards', 3) == 0
  assert second.read_bytes() == whole
  after = [path.stat().st_mtime_ns for path in (first, second, third)]
  assert [a != b for a, b in zip(after, before, strict=True)] == [True, True, False]


def test_what_a_killed_run_left_goes(data, records):
  folder = pathlib.Path(records).parent
  before = sorted(folder.iterdir())
  unfinished = atomic.whole_file(folder / shards.shard_name('list', 1, 3))
  pathlib.Path(unfinished.__enter__()).write_bytes(b'half')
  assert make(data, folder, '--shards', 3) == 0
  assert sorted(folder.iterdir()) == before


def test_what_decays_in_a_shard_is_named(records):
  pairs = list_file.read_list(records, '', need_label=True)
  shard, start, end = storage.part_of_shard(pairs[4].label)
  content = bytearray(pathlib.Path(shard).read_bytes())
  content[(start + end) // 2] ^= 1
  pathlib.Path(shard).write_bytes(content)
  check_pairs(pairs, 3, 255)
  with pytest.raises(errors.InputError, match=re.escape(f'{pairs[4].label}: cannot be decoded')):
    check_pairs(pairs, 3, 255, thorough=True)


def test_a_faulty_pair_is_named_and_its_shard_not_written(data, tmp_path, capsys):
  shutil.copytree(data, tmp_path / 'data')
  (tmp_path / 'data' / '3.png').write_bytes(b'')
  assert make(tmp_path / 'data', tmp_path / 'shards', '--shards', 3) == 1
  assert '3.png: cannot be decoded (it is empty)' in capsys.readouterr().err
  assert len(list((tmp_path / 'shards').iterdir())) == 4


def remove(number):
  return lambda folder: sorted(folder.iterdir())[number].unlink()


def cut(folder):
  shard = folder / shards.shard_name('list', 1, 3)
  shard.write_bytes(shard.read_bytes()[:-1])


SPOILED = [
  (remove(0), 'list-00000-of-00003.tfrecord: is missing'),
  (remove(1), 'No such file'),
  (cut, 'bytes, not the'),
  (lambda folder: (folder / 'list-00000-of-00003.tfrecord.json').write_text('{}'), 'is no index of a shard'),
  (lambda folder: (folder / 'val-00000-of-00001.tfrecord').touch(), 'are shards of two lists'),
  (lambda folder: (folder / 'other.tfrecord').touch(), 'is not named as dataset/make_records.py names shards'),
  (shutil.rmtree, 'no such shard; make them with'),
]


@pytest.mark.parametrize(('spoil', 'words'), SPOILED)
def test_shards_that_are_not_whole_are_refused(records, spoil, words):
  spoil(pathlib.Path(records).parent)
  with pytest.raises(errors.InputError, match=words) as e:
    list_file.read_list(records.replace('list-', ''), '', need_label=True)
  assert '\n' not in str(e.value)


def test_training_refuses_label_values_that_are_no_class(data, records, tmp_path):
  message = tiny.refusal(data, tmp_path / 'out', data_list=records, num_classes=2)
  assert 'tfrecord: holds 2 (' in message and '--num-classes 3' in message


def test_records_of_another_number_are_not_mixed(data, records, capsys):
  assert make(data, pathlib.Path(records).parent, '--shards', 2) == 2
  assert 'is one of another number of shards than 2' in capsys.readouterr().err
