"""Which truth belongs to which prediction. Loads no TensorFlow."""

import os
import pathlib
import re
from typing import NamedTuple

from utils import list_file
from utils.errors import InputError

SUFFIXES = frozenset(('.png', '.bmp', '.gif', '.pgm', '.tif', '.tiff', '.webp', '.jpg', '.jpeg'))


class Files(NamedTuple):
  """The files of one image: paths of the prediction, the truth and, where they are scored, the instances."""

  name: str  # the prediction's path below its folder
  pred: str
  truth: str
  instances: str | None = None


class Folder:
  """A folder of label images in which files are looked up by path and, failing that, by name."""

  def __init__(self, flag: str, root: str):
    self.flag, self.root, self._by_name, self._found = flag, directory(flag, root), None, set()
    self.rule_flag = '--inst-string-replace' if flag == '--inst-dir' else '--string-replace'

  @property
  def by_name(self) -> dict[str, list[str]]:
    """File name -> the paths below the folder that carry it. The folder is walked once, when first asked."""
    if self._by_name is None:
      self._by_name = {}
      for path in walk(self.root):
        self._by_name.setdefault(os.path.basename(path), []).append(path)
    return self._by_name

  def find(self, name: str, wanted_by: str) -> str:
    """The file at `name` below the folder or, where there is none, the only file of that name anywhere below it."""
    name = os.path.normpath(name)
    if os.path.isfile(os.path.join(self.root, name)):
      return self._take(name)
    what = 'instances' if self.flag == '--inst-dir' else 'truth'
    found = self.by_name.get(os.path.basename(name), [])
    if not found:
      raise InputError(
        f'{wanted_by}: has no {what}: no {name} and no other {os.path.basename(name)} below {self.flag} {self.root}; '
        f'check the folders and {self.rule_flag} old,new'
      )
    if len(found) > 1:
      raise InputError(
        f'{wanted_by}: its {what} is ambiguous: {" and ".join(sorted(found)[:2])} below {self.flag} {self.root} both '
        f'carry the name; keep the predictions in the same sub-folders, or narrow {self.flag}'
      )
    return self._take(found[0])

  def _take(self, name: str) -> str:
    self._found.add(name)
    return os.path.join(self.root, name)

  def left_over(self) -> int:
    """The number of files that nobody found."""
    return sum(name not in self._found for names in self.by_name.values() for name in names)


def directory(flag: str, root: str) -> str:
  if not root:
    raise InputError(f'{flag} is empty; give a folder of label images')
  if not os.path.isdir(root):
    raise InputError(f'{flag} {root}: is {"a file" if os.path.exists(root) else "missing"}; give a folder')
  return root


def walk(root: str) -> list[str]:
  """Paths, relative to `root` and sorted, of the image files below it; follows links, hidden files are passed over."""

  def unreadable(error: OSError):
    raise InputError(f'{error.filename}: the folder cannot be read ({error.strerror}); mend its permissions')

  paths, seen = [], set()
  for folder, folders, files in os.walk(root, followlinks=True, onerror=unreadable):
    here = os.path.realpath(folder)
    if here in seen:  # a link back up the tree
      folders.clear()
      continue
    seen.add(here)
    folders[:] = [name for name in folders if not name.startswith('.')]
    relative = os.path.relpath(folder, root)
    for name in files:
      if not name.startswith('.') and os.path.splitext(name)[1].lower() in SUFFIXES:
        paths.append(name if relative == '.' else os.path.join(relative, name))
  return sorted(paths)


def replacement(text: str, flag: str = '--string-replace') -> tuple[str, str]:
  """The two halves of `--string-replace old,new`."""
  parts = text.split(',')
  if len(parts) != 2 or (parts[1] and not parts[0]):
    raise InputError(f"{flag} '{text}': write old,new (`,` replaces nothing)")
  return parts[0], parts[1]


def replaced(name: str, rule: tuple[str, str]) -> str:
  return name.replace(*rule) if rule[0] else name


def predictions(pred_dir: str, data_list: str = '') -> list[str]:
  """The predictions below `pred_dir`; of those, with a list file, the ones of the listed images, all of which must be
  there (an image `a/b.jpg` has the prediction `b.png`, in whatever sub-folder)."""
  directory('--pred-dir', pred_dir)
  gray, color = (os.path.join(pred_dir, part) for part in ('gray', 'color'))
  if os.path.isdir(gray) and os.path.isdir(color):
    raise InputError(f'--pred-dir {pred_dir}: holds class ids and their colours; give {gray}')
  names = walk(pred_dir)
  if not names:
    raise InputError(f'--pred-dir {pred_dir}: holds no predictions (label images such as NAME.png)')
  if not data_list:
    return names
  by_stem = {}
  for name in names:
    by_stem.setdefault(pathlib.PurePath(name).stem, []).append(name)
  stems = listed_stems(data_list)
  missing = [stem for stem in stems if stem not in by_stem]
  if missing:
    more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
    raise InputError(
      f'{data_list}: {missing[0]}{more} has no prediction below --pred-dir {pred_dir}; predict all first'
    )
  return [name for stem in stems for name in by_stem[stem]]


def listed_stems(data_list: str) -> list[str]:
  """The names, without folder and suffix, of a list file's images; each once, in the list's order."""
  images = (
    re.split(r'\t|(?<=\.png)\s|(?<=\.jpg)\s|(?<=\.jpeg)\s', line, maxsplit=1, flags=re.IGNORECASE)[0]
    for _, line in list_file.list_lines(data_list)
  )
  return list(dict.fromkeys(pathlib.PurePath(image.strip()).stem for image in images))


def find(
  names: list[str],
  pred_dir: str,
  gt_dir: str,
  inst_dir: str,
  rule: tuple[str, str],
  inst_rule: tuple[str, str],
) -> tuple[list[Files], int]:
  """The files of each prediction in `names`, and the number of truths that no prediction answers.

  Raises:
    InputError: a prediction without truth, with two truths, or two predictions of one truth.
  """
  truths = Folder('--gt-dir', gt_dir)
  instances = Folder('--inst-dir', inst_dir) if inst_dir else None
  files, owners = [], {}
  for name in names:
    pred = os.path.join(pred_dir, name)
    truth = truths.find(replaced(name, rule), pred)
    if truth in owners:
      raise InputError(f'{pred}: has the same truth as {owners[truth]}: {truth}; keep one prediction an image')
    owners[truth] = pred
    files.append(Files(name, pred, truth, instances.find(replaced(name, inst_rule), pred) if instances else None))
  return files, truths.left_over()
