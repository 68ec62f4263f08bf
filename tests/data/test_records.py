"""Training from a record file is training from its list: the same paths' bytes, order, batches and class weights."""

import pathlib
import shutil

import numpy as np
import pytest

from dataset import check, make_records
from seg_models.image_reader import training_dataset
from tests.data import trees
from utils import checks, errors, files, lists, records


@pytest.fixture
def listed(tmp_path):
  """A list of six pairs, one with a space in its names, and classes beside it."""
  rng = np.random.default_rng(0)
  lines = []
  for name in ('a', 'b', 'c', 'd', 'e', 'f f'):
    trees.save(tmp_path / 'data' / f'{name}.jpg', rng.integers(0, 255, (9, 12, 3), np.uint8))
    trees.save(tmp_path / 'data' / f'{name}.png', rng.integers(0, 4, (9, 12)).astype(np.uint8))
    lines.append(f'/{name}.jpg\t/{name}.png')
  (tmp_path / 'lists').mkdir()
  (tmp_path / 'lists' / 'train.txt').write_text('\n'.join(lines))
  (tmp_path / 'lists' / 'classes.txt').write_text('p\nq\nr\ns\n')
  return tmp_path


def make(folder, capsys, *flags):
  argv = ['--data-dir', str(folder / 'data'), '--data-list', str(folder / 'lists' / 'train.txt'), *map(str, flags)]
  return errors.run(make_records.main, argv), capsys.readouterr().err


def batches(pairs):
  return list(training_dataset(pairs, 2, (8, 8), 255, seed=3).batch(2).take(7).as_numpy_iterator())


def test_records_train_as_the_list_does_bit_for_bit(listed, capsys):
  pytest.importorskip('array_record')
  file, plain = listed / 'elsewhere' / 'train.array_record', str(listed / 'lists' / 'train.txt')
  assert make(listed, capsys, '--out', file) == (0, '')
  of_list = lists.read_list(plain, str(listed / 'data'), need_label=True)
  paths = [pathlib.Path(path) for pair in of_list for path in pair]
  expected = [(path.name, path.read_bytes()) for path in paths], batches(of_list), checks.check_pairs(of_list, 4, 255)
  (listed / 'lists' / 'classes.txt').write_text('p\nq\nr\nother\n')
  assert 'are those of other data' in make(listed, capsys, '--out', file)[1]
  shutil.rmtree(listed / 'data')  # nothing but the record file is read from here on
  of_records = lists.read_list(str(file), '', need_label=True)
  found = [(record.rpartition('/')[2], files.read_bytes(record, '')) for pair in of_records for record in pair]
  assert found == expected[0]
  for one, other in zip(batches(of_records), expected[1], strict=True):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
  np.testing.assert_array_equal(checks.check_pairs(of_records, 4, 255), expected[2])
  assert lists.list_digest(str(file)) == lists.list_digest(plain)
  assert (file.parent / 'classes.csv').exists() and check.main(['--data-list', str(file)]) == 0


def test_a_damaged_record_file_is_one_line(listed, capsys):
  pytest.importorskip('array_record')
  file = listed / 'lists' / 'train.array_record'
  assert make(listed, capsys)[0] == 0
  data = file.read_bytes()
  flipped = data.replace(b'"a.jpg"', b'"b.jpg"', 1)
  for damaged, words in ((data[: len(data) // 2], 'is not a whole record file'), (flipped, '0/list: cannot be read')):
    assert damaged != data
    file.write_bytes(damaged)
    records._reader.cache_clear()
    with pytest.raises(errors.InputError, match=f'{words}.*again'):
      lists.read_list(str(file), '', need_label=True)


def test_refused_in_one_line(listed, capsys, monkeypatch):
  monkeypatch.setattr(records, 'array_record', None)
  code, err = make(listed, capsys)
  assert code == 2 and 'need the package array-record; install it' in err
  code, err = make(listed, capsys, '--out', 'train.txt')
  assert code == 2 and 'does not end with .array_record' in err
  file = listed / 'train.array_record'
  file.write_bytes(b'')
  records._reader.cache_clear()
  with pytest.raises(errors.InputError, match='need the package array-record'):
    lists.read_list(str(file), '', need_label=True)
