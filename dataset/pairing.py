"""Pairs images and labels of a user's own data set by their names, and splits the pairs into train, val and test."""

import functools
import hashlib
import os
import pathlib
from typing import NamedTuple

from dataset import listing
from dataset.formats import drawing
from utils import arguments, checks, errors, lists, parallel
from utils.errors import InputError
from utils.labels import VOID

IMAGES = ('.jpg', '.jpeg', '.png')
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}
CONVERTED = 'label_ids'  # the folder below DATA_DIR where masks made from other labels go


class Pair(NamedTuple):
  """An image and its label: the path of a mask, what an annotation file says, or None. Paths are below DATA_DIR."""

  split: str  # train, val or test; '' where all images are to be split at random
  name: str  # path below the folder of images, without the suffix
  image: str
  label: str | drawing.AnnotatedImage | None


def splits_of(data_dir: str, images: str, labels: str, labels_flag: str) -> dict[str, tuple[str, str | None]]:
  """Split -> its folder of images, and the folder or file of its labels (None: test images without labels).

  Where the flags hold no {split}, one split named ''. The images of all splits may be in one folder.

  Raises:
    InputError: {split} is in `images` alone, or the split train does not exist.
  """
  if '{split}' not in images + labels:
    return {'': (images, labels)}
  if '{split}' not in labels:
    raise InputError(f'{labels_flag} {labels}: holds no {{split}} while --images does; put it into both')
  found = {}
  for split, spellings in SPLITS.items():
    for name in spellings:
      paths = [path.replace('{split}', name) for path in (images, labels)]
      has_images, has_labels = (pathlib.Path(data_dir, path).exists() for path in paths)
      # Where the images of all splits are in one folder, only the labels tell whether this split exists.
      if has_images and (has_labels or images != paths[0]):
        found[split] = paths[0], None if split == 'test' and not has_labels else paths[1]
        break
  if 'train' not in found:
    wanted = images if '{split}' in images else labels
    raise InputError(f'--images {images}: {wanted.replace("{split}", "train")} does not exist below {data_dir}')
  return found


def files_by_name(data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], ending: str = '') -> dict[str, str]:
  """Name -> path below `data_dir`, for every file in the folder and its sub-folders.

  The name is the path below the folder, without the suffix and without `ending` (`_mask`, for example).

  Raises:
    InputError: the folder does not exist or holds no such file, or two files have one name.
  """
  root = pathlib.Path(data_dir, folder)
  if not root.is_dir() or not root.is_relative_to(data_dir):
    raise InputError(f'{flag} {folder}: is not a folder below --data-dir {data_dir}')
  files = {}
  for parent, folders, names in os.walk(root):
    folders[:] = sorted(name for name in folders if not name.startswith('.') and name != CONVERTED)
    for file in sorted(names):
      stem, suffix = os.path.splitext(file)
      if file.startswith('.') or suffix.lower() not in suffixes or not stem.endswith(ending):
        continue
      path = pathlib.Path(parent, file).relative_to(data_dir).as_posix()
      name = (pathlib.Path(parent).relative_to(root) / stem[: len(stem) - len(ending)]).as_posix()
      if name in files:
        raise InputError(f'{path}: differs from {files[name]} in the suffix only; rename or remove one')
      files[name] = path
  if not files:
    raise InputError(f'{flag} {folder}: holds no file of {", ".join(suffixes)}; check the folder and --mask-ending')
  return files


def labels_by_image(
  images: dict[str, str], annotated: list[drawing.AnnotatedImage], where: str
) -> tuple[dict[str, drawing.AnnotatedImage], list[str]]:
  """Image name -> its entry of an annotation file, and a warning line if entries have no image.

  Names in the file have suffixes and may start with folders that are not part of the names of `images`.

  Raises:
    InputError: two entries belong to one image, or no entry has an image.
  """
  labels, missing = {}, []
  for entry in annotated:
    name = stem = os.path.splitext(entry.file_name.replace('\\', '/').lstrip('/'))[0]
    while name not in images and '/' in name:
      name = name.split('/', 1)[1]
    if name in labels:
      raise InputError(f'{where}: has two images of the name {name}; rename one, there and on the disk')
    if name in images:
      labels[name] = entry
    else:
      missing.append(stem)
  fault = f'{where}: {len(missing)} of its images are missing ({listing.first_names(missing)}); put them below --images'
  if not labels:
    raise InputError(fault)
  return labels, [fault] if missing else []


def match_by_name(split: str, images: dict[str, str], labels: dict, where: str, shared: bool) -> list[Pair]:
  """Pairs images and labels of the same name, sorted. Those without a partner are left out with a warning.

  Args:
    where: the folder or file of the labels, for messages.
    shared: `images` holds those of all splits, so an image without a label is no reason for a warning.

  Raises:
    InputError: no image has a label.
  """
  common = sorted(images.keys() & labels)
  if not common:
    raise InputError(
      f'no image has the name of a label in {where} (for example {next(iter(images))}, {next(iter(labels))}); check '
      '--images and --mask-ending'
    )
  for reason, names in (('label', set() if shared else images.keys() - labels), ('image', labels.keys() - images)):
    if names:
      listing.warn(f'{where}: {len(names)} files have no {reason} and are left out: {listing.first_names(names)}')
  return [Pair(split, name, images[name], labels[name]) for name in common]


def inspect(data_dir: str, pairs: list[Pair]) -> tuple[list[str], list[Pair], set[int]]:
  """Checks that every image and its mask can be read, have one size and fit into a list. Warns of masks that are void.

  Returns:
    A line for each faulty pair, the other pairs without the void ones, and the values in all masks.
  """
  faults, sound, values, void = [], [], set(), []
  files = [lists.Pair(*(path and os.path.join(data_dir, path) for path in pair[2:])) for pair in pairs]
  inspect_pair = functools.partial(checks.inspect, num_classes=arguments.LARGEST, ignore_label=VOID)
  for pair, finding in zip(pairs, parallel.in_threads(inspect_pair, files, 'checking', 'pair'), strict=True):
    try:
      listing.line(pair.image, pair.label)
      fault = finding.fault
    except InputError as e:
      fault = errors.one_line(e)
    if fault:
      faults.append(fault)
      continue
    values |= finding.counts.keys()
    if finding.counts.keys() == {VOID}:
      void.append(pair.name)
    else:
      sound.append(pair)
  if void:
    listing.warn(f'{len(void)} labels are void everywhere and are left out: {listing.first_names(void)}')
  return faults, sound, values


def random_split(pairs: list[Pair], val: float, test: float, seed: int) -> list[Pair]:
  """Assigns fractions `val` and `test` of the pairs to these splits, the rest to train.

  Pairs are ranked by a hash of seed and name, so files added later change the split of few others.
  """
  ranked = sorted(pairs, key=lambda pair: hashlib.sha256(f'{seed}/{pair.name}'.encode()).digest())
  first_val = round(len(pairs) * test)
  first_train = first_val + round(len(pairs) * val)
  splits = ['test'] * first_val + ['val'] * (first_train - first_val) + ['train'] * (len(pairs) - first_train)
  return sorted(pair._replace(split=split) for pair, split in zip(ranked, splits, strict=True))
