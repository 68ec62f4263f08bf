"""Which ground truth belongs to which prediction. Loads no TensorFlow."""

import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from utils import list_file
from utils.errors import InputError

SUFFIXES = frozenset(('.png', '.bmp', '.gif', '.pgm', '.tif', '.tiff', '.webp', '.jpg', '.jpeg'))


class Files(NamedTuple):
  """The files of one image: paths of the prediction, the ground truth and, where they are scored, the instances."""

  name: str  # the prediction's path relative to its folder
  pred: str
  truth: str
  instances: str | None = None


class Folder:
  """A folder of label images in which files are found by path and, failing that, by name."""

  def __init__(self, flag: str, root: str, content: str, replace_flag: str):
    self.flag, self.root, self.content, self.replace_flag = flag, check_folder(flag, root), content, replace_flag
    self.unused = set(walk(root))
    self.by_name = grouped(sorted(self.unused), os.path.basename)

  def find(self, path: str, pred: str) -> str:
    """The file at `path` in the folder or, if there is none, the only file of that name; `pred` is for messages."""
    path = os.path.normpath(path)
    if not os.path.isfile(os.path.join(self.root, path)):
      path = self._find_by_name(path, pred)
    self.unused.discard(path)
    return os.path.join(self.root, path)

  def _find_by_name(self, path: str, pred: str) -> str:
    name, where = os.path.basename(path), f'{self.flag} {self.root}'
    found = self.by_name.get(name, [])
    if not found:
      raise InputError(
        f'{pred}: has no {self.content}: neither {path} nor any other {name} is in {where}; check the folders and '
        f'{self.replace_flag} old,new'
      )
    if len(found) > 1:
      raise InputError(
        f'{pred}: its {self.content} is ambiguous: {" and ".join(found[:2])} in {where} have the same name; keep the '
        f'predictions in the same sub-folders, or give a smaller {self.flag}'
      )
    return found[0]


def check_folder(flag: str, root: str) -> str:
  if not root:
    raise InputError(f'{flag} is empty; give a folder of label images')
  if not os.path.isdir(root):
    raise InputError(f'{flag} {root}: is {"a file" if os.path.exists(root) else "missing"}; give a folder')
  return root


def walk(root: str) -> list[str]:
  """The image files in `root` and its sub-folders, relative to it and sorted. Follows links; skips hidden files."""

  def unreadable(error: OSError):
    raise InputError(f'{error.filename}: the folder cannot be read ({error.strerror}); change its permissions')

  paths, seen = [], set()
  for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
      subfolders.clear()
      continue
    seen.add(real)
    subfolders[:] = [name for name in subfolders if not name.startswith('.')]
    images = [n for n in names if not n.startswith('.') and os.path.splitext(n)[1].lower() in SUFFIXES]
    paths += [os.path.normpath(os.path.join(os.path.relpath(folder, root), name)) for name in images]
  return sorted(paths)


def grouped(paths: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
  groups = defaultdict(list)
  for path in paths:
    groups[key(path)].append(path)
  return groups


def stem(path: str) -> str:
  """The file name without folder and suffix."""
  return pathlib.PurePath(path).stem


def parse_replacement(text: str, flag: str = '--string-replace') -> tuple[str, str]:
  """The two halves of `--string-replace old,new`."""
  halves = text.split(',')
  if len(halves) != 2 or (halves[1] and not halves[0]):
    raise InputError(f"{flag} '{text}': write old,new (`,` replaces nothing)")
  return halves[0], halves[1]


def predictions(pred_dir: str, data_list: str = '') -> list[str]:
  """The prediction files in `pred_dir`, relative to it; with a list file, those of its images.

  The image `a/b.jpg` has the prediction `b.png`, in any sub-folder.

  Raises:
    InputError: there is none; an image of the list has none; the folder holds `gray` and `color`.
  """
  check_folder('--pred-dir', pred_dir)
  gray, color = (os.path.join(pred_dir, name) for name in ('gray', 'color'))
  if os.path.isdir(gray) and os.path.isdir(color):
    raise InputError(f'--pred-dir {pred_dir}: holds class ids and their colours; give {gray}')
  names = walk(pred_dir)
  if not names:
    raise InputError(f'--pred-dir {pred_dir}: holds no predictions (label images such as NAME.png)')
  if not data_list:
    return names
  found, stems = grouped(names, stem), listed_stems(data_list)
  missing = [s for s in stems if s not in found]
  if missing:
    more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
    raise InputError(f'{data_list}: {missing[0]}{more} has no prediction in --pred-dir {pred_dir}; predict all first')
  return [name for s in stems for name in found[s]]


def listed_stems(data_list: str) -> list[str]:
  """The names, without folder and suffix, of a list file's images; each once, in the order of the list."""
  image_end = re.compile(r'\t|(?<=\.png)\s|(?<=\.jpg)\s|(?<=\.jpeg)\s', re.IGNORECASE)
  images = (image_end.split(line, maxsplit=1)[0].strip() for _, line in list_file.list_lines(data_list))
  return list(dict.fromkeys(map(stem, images)))


def find(
  names: list[str], pred_dir: str, gt_dir: str, inst_dir: str, replace: tuple[str, str], inst_replace: tuple[str, str]
) -> tuple[list[Files], int]:
  """The files of each prediction in `names`, and the number of ground truth files without prediction.

  `replace` and `inst_replace` (old, new) turn a prediction's name into that of its ground truth and its instances.

  Raises:
    InputError: a prediction without ground truth, with two, or two predictions of one.
  """
  truths = Folder('--gt-dir', gt_dir, 'ground truth', '--string-replace')
  instances = inst_dir and Folder('--inst-dir', inst_dir, 'instances', '--inst-string-replace')
  files, pred_of = [], {}
  for name in names:
    pred = os.path.join(pred_dir, name)
    truth = truths.find(_replaced(name, replace), pred)
    if truth in pred_of:
      raise InputError(f'{pred}: has the same ground truth as {pred_of[truth]}: {truth}; keep one prediction an image')
    pred_of[truth] = pred
    files.append(Files(name, pred, truth, instances.find(_replaced(name, inst_replace), pred) if instances else None))
  return files, len(truths.unused)


def _replaced(name: str, replace: tuple[str, str]) -> str:
  return name.replace(*replace) if replace[0] else name
