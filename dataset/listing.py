"""What all data programs share: files by name, MATLAB files, lists (one line per image: `image label`, or `image`), and
what a data set lacks. Loads no TensorFlow."""

import io
import os
import pathlib
import sys
import zlib
from collections.abc import Callable, Collection, Iterable

import scipy.io

from utils import arguments, files, images
from utils.errors import InputError, one_line

SHOWN = 20  # names in a warning
ROOT = pathlib.Path(__file__).resolve().parents[1]
CONVERTED, CONVERTED_IMAGES = 'label_ids', 'images_png'  # the folders below DATA_DIR where converted files go
LARGEST_MAT = 1 << 24  # bytes: a mask of SBD has 40 KB, and the lists of GTA5 200 KB


def parser(description: str, name: str, data_dir: str) -> arguments.Parser:
  """The flags of every script that prepares a data set; `data_dir` describes the folder that it is in."""
  flags = arguments.Parser(description)
  flags.add_argument('--data-dir', required=True, help=data_dir)
  where = str(ROOT / 'dataset' / name)
  flags.add_argument('--list-dir', type=list_dir, default=where, help='where the lists are written')
  return flags


def list_dir(path: str) -> str:
  """An argparse type: a folder that lists can be written to, which is known before labels are converted for them."""
  files.check_output_file('--list-dir', os.path.join(path, 'train.txt'))
  return path


def find_folder(flag: str, places: list[pathlib.Path], advice: str, *inside: str) -> pathlib.Path:
  """The first of these places that holds the folders `inside`; an InputError with the `advice` where none does."""
  for place in places:
    if all((place / folder).is_dir() for folder in inside):
      return place
  missing = next(folder for folder in inside if not (places[0] / folder).is_dir())
  raise InputError(f'{flag} {places[0]}: holds no {missing}; {advice}')


def files_by_stem(folder, suffixes: tuple[str, ...], ending: str = '', deep: bool = False) -> dict[str, str]:
  """Path below the folder without `ending` and suffix -> path, sorted, of the files in it, and with `deep` in its
  sub-folders, that have both; empty if the folder does not exist.

  Raises:
    InputError: two names differ in the suffix only, or a folder cannot be read.
  """
  found = {}
  for path in images.walk(folder, suffixes) if os.path.isdir(folder) else []:
    stem = os.path.splitext(path)[0]
    if stem.endswith(ending) and (deep or os.sep not in stem):
      put(found, stem.removesuffix(ending), os.path.join(folder, path))
  return found


def put(found: dict[str, str], name: str, path: str) -> None:
  """Adds name -> path; an InputError where another file has the name."""
  if name in found:
    raise InputError(f'{path}: differs from {found[name]} in the suffix only; rename or remove one')
  found[name] = path


def read_mat(path: str, names: list[str], kind: str, take: Callable):
  """`take(variables)` of a MATLAB file. Reading one executes nothing.

  Raises:
    InputError: it is not `kind` of file, or holds more than LARGEST_MAT bytes, as they are or unpacked.
  """
  data, position, total = files.read_bytes(path, kind, LARGEST_MAT), 128, 0
  try:
    while position + 8 <= len(data):  # elements of a type, a size and bytes
      element, size = (int.from_bytes(data[position + i : position + i + 4], 'little') for i in (0, 4))
      position += 8
      if element == 15:  # compressed
        total += len(zlib.decompressobj().decompress(data[position : position + size], LARGEST_MAT + 1))
      if total > LARGEST_MAT:
        raise ValueError(f'it holds more than {LARGEST_MAT >> 20} MB')
      position += size
    return take(scipy.io.loadmat(io.BytesIO(data), variable_names=names))
  except Exception as e:  # a damaged file raises whatever its bytes lead to
    raise InputError(f'{path}: is not {kind} ({one_line(e)}); unpack it again') from None


def line(image: str, label: str | None = None) -> str:
  """A list's line; a tab parts names that hold spaces.

  Raises:
    InputError: a name that a list file cannot hold.
  """
  names = [image] if label is None else [image, label]
  for name in names:
    if name != name.strip() or len(name.splitlines()) > 1 or '\t' in name or not is_utf8(name):
      raise InputError(f'{name!r}: begins or ends with a space, holds a tab or line end, or is not UTF-8; rename it')
  return ('\t' if any(' ' in name for name in names) else ' ').join(names)


def is_utf8(name: str) -> bool:
  """Whether the bytes of a file name, or the text of a JSON file, can be written as UTF-8."""
  return name == name.encode(errors='ignore').decode()


def write(list_dir: str, name: str, lines: list[str]) -> None:
  """Writes LIST_DIR/NAME.txt whole. Without lines nothing is written, and a list of an earlier run is removed."""
  path = pathlib.Path(list_dir) / f'{name}.txt'
  if lines:
    files.write_text(path, '\n'.join(lines) + '\n')
    print(f'{path}: {len(lines)} lines')
  else:
    path.unlink(missing_ok=True)
    warn(f'{path}: not written, there is nothing to list')


def warn(message: str) -> None:
  print(f'warning: {one_line(message)}', file=sys.stderr)


def write_official(
  list_dir: str,
  name: str,
  official: int,
  data_dir,
  ids: Iterable[str],
  images: dict[str, str],
  labels: dict[str, str] | None,
  left_out: dict[str, Collection[str]] | None = None,
) -> None:
  """Writes the list of the ids that have an image and a label, and warns if its length is not the official one.

  Args:
    official: the length of the official list.
    images, labels: id -> path; the list's paths are relative to `data_dir`. No labels: images are listed alone.
    left_out: reason -> further ids to leave out.
  """
  lines, missing = [], {}
  sources = {'without an image': images} | ({} if labels is None else {'without a label': labels})
  for i in ids:
    reasons = [reason for reason, out in (left_out or {}).items() if i in out]
    reasons += [reason for reason, paths in sources.items() if i not in paths]
    if reasons:
      missing.setdefault(reasons[0], []).append(i)
    else:
      lines.append(line(*(os.path.relpath(paths[i], data_dir) for paths in sources.values())))
  write(list_dir, name, lines)
  if len(lines) != official or missing:
    reasons = [f'{len(ids)} {reason} ({first_names(ids)})' for reason, ids in missing.items()]
    if len(lines) < official - sum(map(len, missing.values())) or not reasons:
      reasons.append('the rest is not on this disk' if len(lines) < official else 'more than the official number')
    warn(f'{name}: {len(lines)} of the official {official} images: {"; ".join(reasons)}')


def first_names(names: Collection[str]) -> str:
  """The first of these names in alphabetical order."""
  return ', '.join(sorted(names)[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
