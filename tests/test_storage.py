"""Data in an object store: TensorFlow's file system in memory, ram://, stands in for gs://."""

import errno
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from dataset import make_records
from tests import tiny
from utils import atomic, errors, image_file, list_file, storage
from utils.predict import run

data, toy, deterministic = tiny.data, tiny.toy, tiny.deterministic


@pytest.fixture(scope='module')
def bucket(data):
  """The data of `tiny` in memory."""
  for path in data.iterdir():
    with tf.io.gfile.GFile(f'ram://bucket/{path.name}', 'wb') as file:
      file.write(path.read_bytes())
  return 'ram://bucket'


def test_training_from_a_store_is_training_from_the_disk(data, bucket, tmp_path, toy, deterministic):
  tiny.train(data, tmp_path / 'disk', val_list=data / 'list.txt', num_steps=3, deterministic=True)
  in_store = {'data_dir': bucket, **dict.fromkeys(('data_list', 'val_list'), f'{bucket}/list.txt')}
  tiny.train(data, tmp_path / 'store', num_steps=3, deterministic=True, **in_store)
  tiny.assert_same(tiny.last_checkpoint(tmp_path / 'disk'), tiny.last_checkpoint(tmp_path / 'store'))


def test_shards_of_and_in_a_store(data, bucket, tmp_path):
  flags = ['--data-dir', bucket, '--data-list', f'{bucket}/list.txt', '--num-classes', '3']
  make_records.main([*flags, '--shards', '2', '--out-dir', str(tmp_path / 'shards')])
  for path in (tmp_path / 'shards').iterdir():
    with tf.io.gfile.GFile(f'{bucket}/{path.name}', 'wb') as file:
      file.write(path.read_bytes())
  pairs = list_file.read_list(f'{bucket}/list-*.tfrecord', '', need_label=True)
  assert [storage.read(pair.image) for pair in pairs] == [(data / f'{i}.jpg').read_bytes() for i in range(7)]


def test_lists_and_folders_in_a_store(bucket):
  assert [path.rsplit('/')[-1] for path in image_file.list_images(bucket)][:3] == ['0.jpg', '0.png', '1.jpg']
  assert list_file.read_line('a b\tc d', 'list', bucket, True) == (f'{bucket}/a b', f'{bucket}/c d')
  assert list_file.read_line('/a.jpg /b.png', 'list', bucket, True) == (f'{bucket}/a.jpg', f'{bucket}/b.png')
  assert list_file.read_line('gs://other/a.jpg', 'list', '', False) == ('gs://other/a.jpg', None)
  with pytest.raises(errors.InputError, match='put a tab between'):
    list_file.read_line('a b c', 'list', bucket, True)
  with pytest.raises(errors.InputError, match='names no label'):
    list_file.read_line('a', 'list', bucket, True)


@pytest.mark.parametrize('folder', ['gs://bucket/out', pathlib.Path('gs://bucket/out')])
def test_outputs_go_to_a_disk(folder):
  with pytest.raises(errors.InputError, match='--save-dir gs:/+bucket/out: outputs go to a disk'):
    atomic.make_folder('--save-dir', folder)


def test_prediction_reads_from_a_store(data, bucket):
  image = run.read_image(f'{bucket}/0.jpg', most_pixels=1e9)
  np.testing.assert_array_equal(image, run.read_image(str(data / '0.jpg'), most_pixels=1e9))


@pytest.mark.parametrize(
  ('name', 'words'),
  [
    ('ram://bucket/none.png', 'no such file'),
    ('ram://bucket/list.txt', 'cannot be decoded'),
    ('s3://b/a.png', 'has no file system for s3://'),
  ],
)
def test_what_cannot_be_read_is_one_line(bucket, name, words):
  with pytest.raises(errors.InputError, match=words) as e:
    image_file.read_label(name)
  assert name in str(e.value) and '\n' not in str(e.value)


def test_a_disk_that_is_full_is_named_by_the_file_that_was_asked_for(tmp_path):
  with pytest.raises(OSError, match='No space') as e, atomic.whole_file(tmp_path / 'a.txt'):
    raise OSError(errno.ENOSPC, 'No space left on device')
  assert e.value.filename == str(tmp_path / 'a.txt') and not list(tmp_path.iterdir())
