"""Which ground truth belongs to which prediction. Loads no TensorFlow."""

import os
import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from utils import arguments, images, lists
from utils.errors import InputError

SUFFIXES = (*images.SUFFIXES, '.pgm')
# The flag of a folder -> what its files are to a prediction, and what to check where a prediction has none.
FOLDERS = {
  '--gt-dir': ('ground truth', 'the folders and --string-replace old,new'),
  '--inst-dir': ('instances', 'the folders and --inst-string-replace old,new'),
  '--image-dir': ('image', 'the folders'),
}


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
  flag: str, root: str, pred_dir: str, names: list[str], replacement: tuple[str, str] = ('', '')
) -> tuple[list[str], int]:
  """The only file of a folder that belongs to each prediction in `names`, by its path and, failing that, by its name;
  and the number of files there that belong to none.

  `flag`: the one of `FOLDERS` that gave the folder; of an image the suffix does not count. `replacement`: (old, new)
  turns the prediction's path into that of the file.
  """
  (content, mend), (old, new) = FOLDERS[flag], replacement
  photo = flag == '--image-dir'
  key = without_suffix if photo else str
  paths = images.walk(images.check_folder(flag, root), images.SUFFIXES if photo else SUFFIXES)
  by_name, found = grouped(paths, lambda path: os.path.basename(key(path))), []
  for name in names:
    wanted = key(os.path.normpath(name.replace(old, new) if old else name))
    same_name = by_name.get(os.path.basename(wanted), [])
    there = not photo and os.path.isfile(os.path.join(root, wanted))
    same_name = [wanted] if there else [path for path in same_name if key(path) == wanted] or same_name
    if not same_name:
      raise InputError(
        f'{os.path.join(pred_dir, name)}: has no {content}: neither {wanted} nor any other {os.path.basename(wanted)} '
        f'is in {flag} {root}; check {mend}'
      )
    if same_name[1:]:
      raise InputError(
        f'{os.path.join(pred_dir, name)}: its {content} is ambiguous: {" and ".join(same_name[:2])} in {flag} {root} '
        f'have the same name; keep the predictions in the same sub-folders, or give a smaller {flag}'
      )
    found += same_name
  return [os.path.join(root, path) for path in found], len(set(paths) - set(found))


def grouped(paths: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
  groups = defaultdict(list)
  for path in paths:
    groups[key(path)].append(path)
  return groups


def without_suffix(path: str) -> str:
  return os.path.splitext(path)[0]


def stem(path: str) -> str:
  """The file name without folder and suffix."""
  return os.path.basename(without_suffix(path))


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
  path = '/' + without_suffix(image)
  same_path = [name for name in names if path.endswith('/' + without_suffix(name))]
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


def find(pred_dir: str, names: list[str], truths, instances, photos) -> list[Files]:
  """The files of each prediction in `names`, given its other ones; an InputError if two have the same truth.

  Confidences lie in a folder `confidence` beside that of the predictions, under their names."""
  beside = os.path.join(os.path.dirname(os.path.abspath(pred_dir)), 'confidence')
  preds, confidences = ([os.path.join(folder, name) for name in names] for folder in (pred_dir, beside))
  confidences = [path if os.path.isfile(path) else None for path in confidences]
  pred_of = {}
  for pred, truth in zip(preds, truths, strict=True):
    if truth in pred_of:
      raise InputError(f'{pred}: has the same ground truth as {pred_of[truth]}: {truth}; keep one prediction an image')
    pred_of[truth] = pred
  return list(map(Files, names, preds, truths, instances, confidences, photos))
