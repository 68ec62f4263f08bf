"""Reads tensors from a file of `torch.save` without PyTorch, in the format that PyTorch wrote before version 1.6: four
pickles (magic number, protocol, system, tensors), the storages' keys as a fifth, then each storage's length and values.

A pickle can name any function to be called. This reader knows the four names that tensors need and refuses all others.
"""

import collections
import pickle
from typing import NamedTuple

import numpy as np

from utils.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {'FloatStorage': np.dtype('<f4'), 'LongStorage': np.dtype('<i8')}
DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


class Tensor(NamedTuple):
  """A strided view of a storage. A tensor's values can lie in any order, so its strides decide as much as its shape."""

  key: str  # of the storage
  dtype: np.dtype
  offset: int
  shape: tuple
  strides: tuple  # in elements

  def of(self, storage: np.ndarray) -> np.ndarray:
    last = self.offset + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
    if self.offset < 0 or min((*self.shape, *self.strides, 1)) < 0 or last >= storage.size:
      raise ValueError('a tensor lies outside its storage')
    strides = [stride * storage.itemsize for stride in self.strides]
    return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
  def find_class(self, module, name):
    if module == 'torch' and name in STORAGES:
      return STORAGES[name]
    known = {
      ('collections', 'OrderedDict'): collections.OrderedDict,
      ('torch._utils', '_rebuild_tensor_v2'): lambda storage, offset, shape, strides, *_: Tensor(
        *storage, offset, tuple(shape), tuple(strides)
      ),
    }
    if (module, name) not in known:
      raise InputError(f'names {module}.{name}, which no file of weights needs')
    return known[module, name]

  def persistent_load(self, pid):
    _, dtype, key, *_ = pid  # 'storage', type, key, device, length, view
    return key, dtype


def read(path: str) -> dict[str, np.ndarray]:
  """{name: array} of a saved dictionary of tensors.

  Raises:
    InputError: it is not such a file, is damaged, or holds anything but tensors.
  """
  try:
    with open(path, 'rb') as file:
      magic, protocol, _, tensors = (_Unpickler(file).load() for _ in range(4))
      if magic != MAGIC or protocol != PROTOCOL:
        raise ValueError('another format')
      types = {tensor.key: tensor.dtype for tensor in tensors.values()}
      storages = {key: _storage(file, types[key]) for key in _Unpickler(file).load()}
    return {name: tensor.of(storages[tensor.key]) for name, tensor in tensors.items()}
  except InputError as e:
    raise InputError(f'{path}: {e}; it is not read: fetch it again') from None
  except OSError as e:
    raise InputError(f'{path}: cannot be read ({e.strerror}); check the path') from None
  except DAMAGE as e:
    raise InputError(f'{path}: is not a complete weights file of PyTorch ({e}); fetch it again') from None


def _storage(file, dtype: np.dtype) -> np.ndarray:
  length = int.from_bytes(file.read(8), 'little')
  values = np.frombuffer(file.read(length * dtype.itemsize), dtype)
  if values.size != length:
    raise EOFError('it ends early')
  return values
