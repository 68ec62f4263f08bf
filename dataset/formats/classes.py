"""Class names of annotation files and colour tables to class ids."""

import os

from dataset import listing
from utils.errors import InputError
from utils.labels import VOID, read_names

FILE = 'classes.txt'  # below DATA_DIR: the user's names, in the order of the class ids
VOID_NAMES = ('void', 'ignore', '__ignore__', 'unlabeled', 'unlabelled')  # names of labels whose pixels are not counted
BACKGROUND_NAMES = ('background', '_background_', '__background__')


def is_void(name: str) -> bool:
  return name.lower() in VOID_NAMES


def background_of(names: list[str]) -> str | None:
  """The first of these names that means background, None without one."""
  return next((name for name in names if name.lower() in BACKGROUND_NAMES), None)


def read_user_names(data_dir: str) -> list[str] | None:
  """The names of DATA_DIR/classes.txt, None where that file is not there."""
  path = os.path.join(data_dir, FILE)
  return read_names(path) if os.path.isfile(path) else None


def class_names(found: list[str], given: list[str] | None, background: bool) -> list[str]:
  """The names in the order of the class ids: `given` if there is such a list, else `found` without void names; then
  `background` comes first where it is wanted and not found.

  Raises:
    InputError: a class that is not among the given ones, void among them, more classes than a label image holds, or a
      name that a line of the file cannot hold.
  """
  found = [name for name in dict.fromkeys(found) if not is_void(name)]
  for name in found:
    if name.splitlines() != [name] or not listing.is_utf8(name):
      raise InputError(f'class name {name!r}: is empty, holds a line end or is not UTF-8; rename it in the labels')
  if given is not None:
    unknown = [name for name in found if name not in given]
    if unknown:
      raise InputError(
        f'{FILE}: has no class {unknown[0]!r}, which the labels hold; add it, or remove the '
        'file, and all classes of the labels are taken'
      )
    if background and not background_of(given):
      raise InputError(f'{FILE}: has no class background for pixels without a label; add it, or --unlabelled void')
    void = [name for name in given if is_void(name)]
    if void:
      raise InputError(f'{FILE}: {void[0]!r} is not a class, because such pixels are not counted; remove the line')
    names = given
  else:
    names = (['background'] if background and not background_of(found) else []) + found
  if len(names) > VOID:
    raise InputError(f'{len(names)} classes are more than a label image holds ({VOID}); leave some out')
  return names


def class_ids(found: list[str], names: list[str]) -> dict[str, int]:
  """Every class and every other name of the labels -> the value of its pixels."""
  ids = {name: i for i, name in enumerate(names)}
  return ids | {name: VOID for name in found if name not in ids}


def names_of_ids(ids: set[int], given: list[str] | None, ignore_label: int) -> list[str]:
  """The given names, or class_0 and so on up to the highest of the ids that masks hold.

  Raises:
    InputError: an id has no name, or lies above `ignore_label`.
  """
  highest = max(ids, default=-1)
  if highest > ignore_label:
    raise InputError(f'--ignore-label {ignore_label}: the masks hold {highest} too; void must lie above every class')
  if given is not None:
    if highest >= len(given):
      raise InputError(f'{FILE}: has {len(given)} names while the masks hold id {highest}; name every class, in order')
    return given
  if highest == 0:
    listing.warn('the masks hold no class but 0 (and void); if 255 is a class there, name both with --colors')
  unused = sorted(set(range(highest)) - ids)
  if unused:
    listing.warn(f'the masks hold ids up to {highest} but never {", ".join(map(str, unused[: listing.SHOWN]))}')
  return [f'class_{i}' for i in range(highest + 1)]
