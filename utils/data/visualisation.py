"""Class ids as colour images. Loads no TensorFlow.

Conventions: a palette is uint8 RGB [n, 3]; class ids beyond it are black, 255 (void) white.
"""

import pathlib

import numpy as np
import scipy.io

from utils.errors import InputError


def read_colormap(path: str) -> np.ndarray:
  """A palette from a MATLAB file that holds an [n, 3] array in [0, 1] under the file's own stem.

  Raises:
    InputError: no such file, not a MATLAB file, no such key, another shape or range.
  """
  key = pathlib.Path(path).stem
  try:
    content = scipy.io.loadmat(path)
  except FileNotFoundError:
    raise InputError(f'{path}: no such colormap; use misc/colormapvoc.mat or misc/colormapcs.mat') from None
  except Exception as e:  # SciPy raises whatever a damaged file makes it stumble over
    raise InputError(f'{path}: cannot be read as a MATLAB file ({e}); use for example misc/colormapvoc.mat') from None
  if key not in content:
    found = ', '.join(k for k in content if not k.startswith('__')) or 'nothing'
    raise InputError(f'{path}: holds {found}, not `{key}`; the array must be named like the file')
  colours = content[key]
  if not isinstance(colours, np.ndarray) or colours.ndim != 2 or colours.shape[1] != 3 or not len(colours):
    raise InputError(f'{path}: `{key}` has shape {getattr(colours, "shape", "none")}; it must be [n, 3]')
  if colours.dtype.kind not in 'fiu' or not np.all((colours >= 0) & (colours <= 1)):
    raise InputError(f'{path}: `{key}` must hold red, green, blue from 0 to 1; divide by 255?')
  return np.round(np.asarray(colours, np.float64) * 255).astype(np.uint8)


def colour(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
  """Class ids [..., h, w] to uint8 RGB [..., h, w, 3]."""
  table = np.zeros((256, 3), np.uint8)
  table[255] = 255
  table[: min(256, len(palette))] = palette[:256]
  return table[np.clip(labels, 0, 255)]


def blend(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
  """Half of each of two uint8 pictures, rounded up."""
  return ((image.astype(np.uint16) + pixels + 1) // 2).astype(np.uint8)
