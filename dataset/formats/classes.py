"""Class names of annotation files, colour tables and masks to class ids."""

import collections
import itertools
import os
import unicodedata
from collections.abc import Iterable

from dataset import listing
from utils import files
from utils.errors import InputError
from utils.labels import VOID, read_classes

FILE = 'classes.txt'  # below DATA_DIR: the user's names, in the order of the class ids
VOID_NAMES = ('void', 'ignore', '__ignore__', 'unlabeled', 'unlabelled')  # names of labels whose pixels are not counted
BACKGROUND_NAMES = ('background', '_background_', '__background__')


def is_void(name: str) -> bool:
  return name.lower() in VOID_NAMES


def plain(name: str) -> str:
  """The name in Unicode's composed form (NFC): macOS writes é as two characters, and both look the same."""
  return unicodedata.normalize('NFC', name)


def background_of(names: list[str]) -> str | None:
  """The first of these names that means background, None without one."""
  return next((name for name in names if name.lower() in BACKGROUND_NAMES), None)


def read_user_names(data_dir: str) -> list[str] | None:
  """The names of DATA_DIR/classes.txt, None where that file is not there."""
  path = os.path.join(data_dir, FILE)
  return [plain(name) for name in read_classes(path).names] if os.path.isfile(path) else None


def read_class_map(path: str) -> dict[str, str]:
  """Name or id of the labels -> the class that its pixels belong to, or `void`, from lines `old -> new`.

  Raises:
    InputError: it cannot be read, a line has another form, or an old name occurs twice.
  """
  found = {}
  for number, line in enumerate(files.read_text(path, 'a class map').splitlines(), 1):
    text = line.split('#')[0].strip()
    old, _, new = (plain(word.strip()) for word in text.partition('->'))
    if text and not (old and new):
      raise InputError(f'{path} line {number}: `{text}` is not `name or id -> name or void`; write `sedan -> car`')
    if old in found:
      raise InputError(f'{path} line {number}: {old!r} is there already; remove one')
    if text:
      found[old] = new
  if not found:
    raise InputError(f'{path}: holds no line `name or id -> name or void`')
  return found


def note_alike(names: Iterable[str], notes: list[str]) -> None:
  alike = collections.defaultdict(list)
  for name in itertools.filterfalse(is_void, names):
    alike[name.casefold()].append(name)
  for first, *others in alike.values():
    if others:
      lines = ', '.join(f'`{other} -> {first}`' for other in others)
      notes.append(f'classes differ in letter case alone; if they are one, give --class-map with the line {lines}')


def class_names(found: list[str], given: list[str] | None, background: bool) -> list[str]:
  """The names in the order of the class ids: `given` if there is such a list, else `found` without void names; then
  `background` comes first where it is wanted and not found.

  Raises:
    InputError: a class that is not among the given ones, void among them, more classes than a label image holds, or a
      name that a line of the file cannot hold.
  """
  found = [name for name in dict.fromkeys(found) if not is_void(name)]
  names = (['background'] if background and not background_of(found) else []) + found if given is None else given
  for name in found:
    if name.splitlines() != [name] or not listing.is_utf8(name):
      raise InputError(f'class name {name!r}: is empty, holds a line end or is not UTF-8; rename it in the labels')
    if name not in names:
      raise InputError(
        f'{FILE}: has no class {name!r}, which the labels hold; add it, or remove the file, and all classes of the '
        'labels are taken'
      )
  if background and not background_of(names):
    raise InputError(f'{FILE}: has no class background for pixels without a label; add it, or --unlabelled void')
  for name in filter(is_void, names):
    raise InputError(f'{FILE}: {name!r} is not a class, because such pixels are not counted; remove the line')
  if len(names) > VOID:
    raise InputError(
      f'{len(names)} classes are more than a label image holds ({VOID}); leave some out with --class-map'
    )
  return names


def names_of_ids(ids: set[int], given: list[str] | None, ignore_label: int, notes: list[str]) -> list[str]:
  """The given names, or class_0 and so on up to the highest of the ids that masks hold.

  Raises:
    InputError: an id has no name, lies above `ignore_label` or above all classes that there can be, or most ids up to
      the highest do not occur.
  """
  highest, lowest = max(ids, default=-1), min(ids, default=0)
  if highest > VOID or lowest < 0:
    raise InputError(
      f'the masks hold the id {highest if highest > VOID else lowest}, and ids are 0 to {VOID - 1} ({VOID} is void): '
      f'at most {VOID} classes; are these instance ids? Number the classes anew with --class-map'
    )
  if highest > ignore_label:
    more = '; where 0 is void and k is class k - 1, give --zero-is-void instead' if ignore_label == 0 else ''
    raise InputError(
      f'--ignore-label {ignore_label}: the masks hold {highest} too; void must lie above every class{more}'
    )
  if given is not None:
    if highest >= len(given):
      raise InputError(f'{FILE}: has {len(given)} names while the masks hold id {highest}; name every class, in order')
    return given
  unused = sorted(set(range(highest)) - ids)
  if len(unused) > len(ids):
    shown = ', '.join(map(str, sorted(ids)[:10])) + (', ...' if len(ids) > 10 else '')
    raise InputError(
      f'the masks hold {len(ids)} ids up to {highest} ({shown}), which are mostly gaps; if they are grey levels of '
      'colours, give --colors; if they are classes, number them with --class-map (lines `15 -> person`)'
    )
  if unused:
    notes.append(f'the masks hold ids up to {highest} but never {", ".join(map(str, unused[: listing.SHOWN]))}')
  return [f'class_{i}' for i in range(highest + 1)]
