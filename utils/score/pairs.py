"""Which ground truth belongs to which prediction. Loads no TensorFlow."""

import argparse
import os
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from utils import images, lists
from utils.errors import InputError

SUFFIXES = (*images.SUFFIXES, '.pgm')


class Files(NamedTuple):
  """The files of one image: paths of the prediction, the ground truth and, where there are such, instances, confidence
  and the photo."""

  name: str  # the prediction's path relative to its folder
  pred: str
  truth: str
  instances: str | None = None
  confidence: str | None = None
  image: str | None = None


class LabelFolder:
  """A folder of label images, in which a prediction's file is found by its path and, failing that, by its name.

  `replacement` (old, new) turns the prediction's path into that of the file. `content` and the flags are for messages.
  """

  def __init__(self, flag: str, root: str, content: str, replacement: tuple[str, str], replace_flag: str):
    self.root, self.replacement = images.check_folder(flag, root), replacement
    self.content, self.flag, self.replace_flag = content, flag, replace_flag
    self.unused, self.photos = set(images.walk(root, SUFFIXES)), {}  # a folder does not say which photo is whose
    self.by_name = grouped(sorted(self.unused), os.path.basename)

  def find(self, prediction: str, pred_dir: str) -> str:
    """The path of the only file that belongs to the prediction; raises an InputError if there are none or two."""
    old, new = self.replacement
    path = os.path.normpath(prediction.replace(old, new) if old else prediction)
    if not os.path.isfile(os.path.join(self.root, path)):
      same_name = self.by_name.get(os.path.basename(path), [])
      if len(same_name) != 1:
        raise InputError(f'{os.path.join(pred_dir, prediction)}: {self._problem(path, same_name)}')
      path = same_name[0]
    self.unused.discard(path)
    return os.path.join(self.root, path)

  def _problem(self, path: str, same_name: list[str]) -> str:
    where = f'{self.flag} {self.root}'
    if same_name:
      return (
        f'its {self.content} is ambiguous: {" and ".join(same_name[:2])} in {where} have the same name; keep the '
        f'predictions in the same sub-folders, or give a smaller {self.flag}'
      )
    return (
      f'has no {self.content}: neither {path} nor any other {os.path.basename(path)} is in {where}; check the folders '
      f'and {self.replace_flag} old,new'
    )


class ListedTruth:
  """The ground truth of each prediction as a list has it, in place of a `LabelFolder`.

  Raises:
    InputError: a line's files are not there, or an image is listed twice.
  """

  unused = ()

  def __init__(self, data_list: str, data_dir: str, names: list[str]):
    listed = lists.read_list(data_list, data_dir, need_label=True)
    if len(listed) != len(names):
      raise InputError(f'{data_list}: names an image twice; name every image once')
    self.truths = {name: pair.label for name, pair in zip(names, listed, strict=True)}
    self.photos = {name: pair.image for name, pair in zip(names, listed, strict=True)}

  def find(self, prediction: str, pred_dir: str) -> str:
    del pred_dir
    return self.truths[prediction]


def grouped(paths: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
  groups = defaultdict(list)
  for path in paths:
    groups[key(path)].append(path)
  return groups


def stem(path: str) -> str:
  """The file name without folder and suffix."""
  return pathlib.PurePath(path).stem


def replacement(text: str) -> tuple[str, str]:
  """An argparse type: `old,new`."""
  old, comma, new = text.partition(',')
  if not comma or ',' in new or (new and not old):
    raise argparse.ArgumentTypeError(f'{text!r}: write old,new (`,` replaces nothing)')
  return old, new


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
  names: list[str], pred_dir: str, truths: LabelFolder | ListedTruth, instances: LabelFolder | None = None
) -> list[Files]:
  """The files of each prediction in `names`; raises an InputError if one lacks a file, or two have the same truth.

  Confidences lie in a folder `confidence` beside that of the predictions, under their names."""
  files, pred_of = [], {}
  beside = os.path.join(os.path.dirname(os.path.abspath(pred_dir)), 'confidence')
  known = set(images.walk(beside)) if os.path.isdir(beside) else set()
  for name in names:
    pred, truth = os.path.join(pred_dir, name), truths.find(name, pred_dir)
    if truth in pred_of:
      raise InputError(f'{pred}: has the same ground truth as {pred_of[truth]}: {truth}; keep one prediction an image')
    pred_of[truth] = pred
    confidence = os.path.join(beside, name) if name in known else None
    instance = instances.find(name, pred_dir) if instances else None
    files.append(Files(name, pred, truth, instance, confidence, truths.photos.get(name)))
  return files
