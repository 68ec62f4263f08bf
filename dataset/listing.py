"""Writes list files (one line an image: `image label`, or `image`), and says what a data set lacks.

Loads no TensorFlow.
"""

import os
import pathlib
import sys
from collections.abc import Collection, Iterable

from utils import arguments, files
from utils.errors import InputError, one_line

SHOWN = 20  # names in a warning; a longer list of missing ids goes into a file
ROOT = pathlib.Path(__file__).resolve().parents[1]


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
  without: tuple[str, str] = ('an image', 'a label'),
  left_out: dict[str, list[str]] | None = None,
) -> None:
  """Writes the list of the ids that have an image and a label, and warns if its length is not the official one.

  Args:
    official: the length of the official list.
    images, labels: id -> path; the list's paths are relative to `data_dir`. No labels: images are listed alone.
    without: what an id may lack, for the warning.
    left_out: reason -> ids of the official list that the caller left out. Long lists of missing ids go to
      LIST_DIR/NAME.missing.txt.
  """
  lines, missing = [], {reason: ids for reason, ids in (left_out or {}).items() if ids}
  sources = [images] if labels is None else [images, labels]
  for i in ids:
    lacking = [noun for noun, paths in zip(without, sources, strict=False) if i not in paths]
    if lacking:
      missing.setdefault(f'without {lacking[0]}', []).append(i)
    else:
      lines.append(line(*(os.path.relpath(paths[i], data_dir) for paths in sources)))
  write(list_dir, name, lines)
  _report_missing(list_dir, name, len(lines), official, missing)


def _report_missing(list_dir: str, name: str, listed: int, official: int, missing: dict[str, list[str]]) -> None:
  path = pathlib.Path(list_dir) / f'{name}.missing.txt'
  number = sum(map(len, missing.values()))
  if number > SHOWN:
    files.write_text(path, ''.join(f'{i} {reason}\n' for reason, ids in missing.items() for i in ids))
  else:
    path.unlink(missing_ok=True)
  if listed == official and not missing:
    return
  reasons = [f'{len(ids)} {reason} ({first_names(ids)})' for reason, ids in missing.items()]
  if listed < official - number or not reasons:
    reasons.append('the rest is not on this disk' if listed < official else 'more than the official number')
  more = f'; all are in {path}' if number > SHOWN else ''
  warn(f'{name}: {listed} of the official {official} images: {"; ".join(reasons)}{more}')


def first_names(names: Collection[str]) -> str:
  """The first of these names in alphabetical order."""
  return ', '.join(sorted(names)[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
