"""Which ground truth belongs to which prediction. Loads no TensorFlow."""

import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from utils import arguments, images, lists
from utils.errors import InputError

SUFFIXES = (*images.SUFFIXES, '.pgm')
# The flag of a folder of label images -> what they hold, and the flag that turns a prediction's path into theirs.
FOLDERS = {'--gt-dir': ('ground truth', '--string-replace'), '--inst-dir': ('instances', '--inst-string-replace')}


class Files(NamedTuple):
  """The files of one image: paths of the prediction, the ground truth and, where there are such, instances, confidence
  and the photo."""

  name: str  # the prediction's path relative to its folder
  pred: str
  truth: str
  instances: str | None = None
  confidence: str | None = None
  image: str | None = None


def in_folder(
  flag: str, root: str, replacement: tuple[str, str], names: list[str], pred_dir: str
) -> tuple[dict[str, str], int]:
  """The only file in a folder of label images that belongs to each prediction in `names`, by its path and, failing
  that, by its name; and the number of files there that belong to none.

  `flag`: --gt-dir or --inst-dir, which gave the folder. `replacement`: (old, new) turns the prediction's path into that
  of the file.
  """
  content, replace_flag = FOLDERS[flag]
  paths = images.walk(images.check_folder(flag, root), SUFFIXES)
  by_name, found, (old, new) = grouped(paths, os.path.basename), {}, replacement
  for name in names:
    path = os.path.normpath(name.replace(old, new) if old else name)
    same_name = by_name.get(os.path.basename(path), [])
    if os.path.isfile(os.path.join(root, path)):
      same_name = [path]
    if not same_name:
      raise InputError(
        f'{os.path.join(pred_dir, name)}: has no {content}: neither {path} nor any other {os.path.basename(path)} is '
        f'in {flag} {root}; check the folders and {replace_flag} old,new'
      )
    if same_name[1:]:
      raise InputError(
        f'{os.path.join(pred_dir, name)}: its {content} is ambiguous: {" and ".join(same_name[:2])} in {flag} {root} '
        f'have the same name; keep the predictions in the same sub-folders, or give a smaller {flag}'
      )
    found[name] = same_name[0]
  unused = len(set(paths) - set(found.values()))
  return {name: os.path.join(root, path) for name, path in found.items()}, unused


def in_list(data_list: str, data_dir: str, names: list[str]) -> dict[str, lists.Pair]:
  """The image and the ground truth of each prediction in `names` as the list has them.

  Raises:
    InputError: a line's files are not there, or an image is listed twice.
  """
  listed = lists.read_list(data_list, data_dir, need_label=True)
  if len(listed) != len(names):
    raise InputError(f'{data_list}: names an image twice; name every image once')
  return dict(zip(names, listed, strict=True))


def grouped(paths: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
  groups = defaultdict(list)
  for path in paths:
    groups[key(path)].append(path)
  return groups


def stem(path: str) -> str:
  """The file name without folder and suffix."""
  return pathlib.PurePath(path).stem


replacement = arguments.separated(
  'OLD,NEW', str, lambda old, new: bool(old or not new), 'old,new (`,` replaces nothing)'
)


def predictions(pred_dir: str, data_list: str = '') -> list[str]:
  """The prediction files in `pred_dir`, relative to it; with a list file, those of its images.

  The image `a/b.jpg` has the prediction `b.png`, in any sub-folder; of several, that whose path ends its own
  (`a/b.png`).

  Raises:
    InputError: no prediction at all, none or several for an image of the list, or the folder is that of `gray` and
      `color`.
  """
  images.check_folder('--pred-dir', pred_dir)
  gray, color = (os.path.join(pred_dir, name) for name in ('gray', 'color'))
  if os.path.isdir(gray) and os.path.isdir(color):
    raise InputError(f'--pred-dir {pred_dir}: holds class ids and their colours; give {gray}')
  names = images.walk(pred_dir, SUFFIXES)
  if not names:
    raise InputError(f'--pred-dir {pred_dir}: holds no predictions (label images such as NAME.png)')
  if not data_list:
    return names
  found, wanted = grouped(names, stem), listed_images(data_list)
  missing = [image for image in wanted if stem(image) not in found]
  if missing:
    more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
    raise InputError(
      f'{data_list}: {stem(missing[0])}{more} has no prediction in --pred-dir {pred_dir}; predict all first'
    )
  images_of = grouped(wanted, lambda image: prediction_of(image, found[stem(image)], pred_dir))
  for name, same in images_of.items():
    if same[1:]:
      raise InputError(
        f'{data_list}: {same[0]} and {same[1]} have one prediction in --pred-dir {pred_dir}, {name}; predict all first'
      )
  return list(images_of)


def prediction_of(image: str, names: list[str], pred_dir: str) -> str:
  """The one of `names`, predictions with the image's stem, that is the image's."""
  if len(names) == 1:
    return names[0]
  path = '/' + os.path.splitext(image)[0]
  same_path = [name for name in names if path.endswith('/' + os.path.splitext(name)[0])]
  if not same_path:
    raise InputError(
      f'--pred-dir {pred_dir}: {names[0]} and {names[1]} could both be the prediction of {image}; keep the sub-folders '
      'of the list, or give a smaller --pred-dir'
    )
  return max(same_path, key=len)


def listed_images(data_list: str) -> list[str]:
  """The images of a list file, each once, in the order of the list."""
  image_end = re.compile('|'.join(['\t', *(rf'(?<={re.escape(suffix)})\s' for suffix in SUFFIXES)]), re.IGNORECASE)
  found = (image_end.split(line, maxsplit=1)[0].strip() for _, line in lists.list_lines(data_list))
  return list(dict.fromkeys(found))


def find(
  names: list[str], pred_dir: str, truths: dict[str, str], instances: dict[str, str], photos: dict[str, str]
) -> list[Files]:
  """The files of each prediction in `names`, which is the key of the rest; an InputError if two have the same truth.

  Confidences lie in a folder `confidence` beside that of the predictions, under their names."""
  files, pred_of = [], {}
  beside = os.path.join(os.path.dirname(os.path.abspath(pred_dir)), 'confidence')
  known = set(images.walk(beside)) if os.path.isdir(beside) else set()
  for name in names:
    pred, truth = os.path.join(pred_dir, name), truths[name]
    if truth in pred_of:
      raise InputError(f'{pred}: has the same ground truth as {pred_of[truth]}: {truth}; keep one prediction an image')
    pred_of[truth] = pred
    confidence = os.path.join(beside, name) if name in known else None
    files.append(Files(name, pred, truth, instances.get(name), confidence, photos.get(name)))
  return files
