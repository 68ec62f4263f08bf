"""Writes list files (one line an image: `image label`, or `image`), and says what a data set lacks.

Loads no TensorFlow.
"""

import pathlib
import sys

from utils import atomic
from utils.errors import InputError

SHOWN = 20  # so many missing ids go into a warning; more go into a file
ROOT = pathlib.Path(__file__).resolve().parents[2]


def add_list_dir(parser, name: str) -> None:
  parser.add_argument('--list-dir', default=str(ROOT / 'dataset' / name), help='where the lists are written')


def line(image: str, label: str | None = None) -> str:
  """A list's line; a tab parts names that hold spaces.

  Raises:
    InputError: a name that no list can carry.
  """
  names = [image] if label is None else [image, label]
  for name in names:
    if name != name.strip() or len(name.splitlines()) > 1 or '\t' in name or not _is_utf8(name):
      raise InputError(f'{name!r}: begins or ends with a space, holds a tab or line end, or is not UTF-8; rename it')
  return ('\t' if any(' ' in name for name in names) else ' ').join(names)


def _is_utf8(name: str) -> bool:
  try:
    name.encode()
  except UnicodeEncodeError:
    return False
  return True


def write(list_dir: str, name: str, lines: list[str]) -> None:
  """Writes LIST_DIR/NAME.txt whole. A list without lines is not written, and one of an earlier run is taken away."""
  path = pathlib.Path(list_dir) / f'{name}.txt'
  if lines:
    atomic.write_text(path, '\n'.join(lines) + '\n')
    print(f'{path}: {len(lines)} lines')
  else:
    path.unlink(missing_ok=True)
    warn(f'{path}: not written, there is nothing to list')


def warn(message: str) -> None:
  print(f'warning: {" ".join(message.split())}', file=sys.stderr)


def write_official(list_dir: str, name: str, lines: list[str], official: int, missing: dict[str, list[str]]) -> None:
  """Writes a list, and warns where it is not as long as the official one or lacks ids that it should have.

  Args:
    missing: reason -> the ids that are left out for it. Too many to print go to LIST_DIR/NAME.missing.txt.
  """
  write(list_dir, name, lines)
  missing = {reason: ids for reason, ids in missing.items() if ids}
  path = pathlib.Path(list_dir) / f'{name}.missing.txt'
  number = sum(map(len, missing.values()))
  if number > SHOWN:
    atomic.write_text(path, ''.join(f'{i} {reason}\n' for reason, ids in missing.items() for i in ids))
  else:
    path.unlink(missing_ok=True)
  if len(lines) == official and not missing:
    return
  reasons = [f'{len(ids)} {reason} ({_shown(ids)})' for reason, ids in missing.items()]
  if len(lines) < official - number or not reasons:
    reasons.append('the rest is not on this disk' if len(lines) < official else 'more than the official number')
  more = f'; all are in {path}' if number > SHOWN else ''
  warn(f'{name}: {len(lines)} of the official {official} images: {"; ".join(reasons)}{more}')


def _shown(ids: list[str]) -> str:
  return ', '.join(ids[:SHOWN]) + (', ...' if len(ids) > SHOWN else '')
