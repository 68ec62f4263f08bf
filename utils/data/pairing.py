"""A user's images and labels: which belong together, and which pair goes into which list."""

import functools
import hashlib
import os
import pathlib
from typing import NamedTuple

from utils import arguments, errors, list_file, parallel
from utils.data import check, lists
from utils.data.formats import annotations
from utils.data.labels import VOID
from utils.errors import InputError

IMAGES = ('.jpg', '.jpeg', '.png')
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}
CONVERTED = 'label_ids'  # the folder below DATA_DIR where masks made from other labels go


class Pair(NamedTuple):
  """An image and its label: the path of a mask, what an annotation file says, or None. Paths are below DATA_DIR."""

  split: str  # train, val or test; '' where all images are to be split at random
  name: str  # path below the folder of images, less the suffix
  image: str
  label: str | annotations.AnnotatedImage | None


def splits_of(data_dir: str, images: str, labels: str, labels_flag: str) -> dict[str, tuple[str, str | None]]:
  """Split -> its folder of images and its labels, folder or file; one split without a name where the flags hold no
  {split}. The images of all splits may be in one folder, and test images may have no labels.

  Raises:
    InputError: only the images are split, or there is no train.
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
      if has_images and (has_labels or images != paths[0]):
        found[split] = paths[0], None if split == 'test' and not has_labels else paths[1]
        break
  if 'train' not in found:
    wanted = images if '{split}' in images else labels
    raise InputError(f'--images {images}: {wanted.replace("{split}", "train")} is not there below {data_dir}')
  return found


def files_by_name(data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], ending: str = '') -> dict[str, str]:
  """Name below the folder, less suffix and ending -> path below `data_dir`, for every file in whatever depth.

  Raises:
    InputError: no such folder, no such file in it, or two files of one name.
  """
  root = pathlib.Path(data_dir, folder)
  if not root.is_dir():
    raise InputError(f'{flag} {folder}: is no folder below --data-dir {data_dir}')
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
        raise InputError(f'{path}: has the name of {files[name]} but for the suffix; rename or remove one')
      files[name] = path
  if not files:
    raise InputError(f'{flag} {folder}: holds no file of {", ".join(suffixes)}; check the folder and --mask-ending')
  return files


def labels_by_image(
  images: dict[str, str], annotated: list[annotations.AnnotatedImage], where: str
) -> tuple[dict[str, annotations.AnnotatedImage], list[str]]:
  """What an annotation file says, by the names of the images, and a line about images that are not there. The file's
  names have suffixes, and may begin with folders that the images' have not.

  Raises:
    InputError: two entries belong to one image, or no image is there.
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
  fault = f'{where}: {len(missing)} of its images are missing ({lists.first_names(missing)}); put them below --images'
  if not labels:
    raise InputError(fault)
  return labels, [fault] if missing else []


def match_by_name(split: str, images: dict[str, str], labels: dict, where: str, shared: bool) -> list[Pair]:
  """Pairs of one name, sorted. Images without a label are left out with a warning; so are masks without an image.

  Args:
    where: what the labels are from, for messages.
    shared: the images are those of all splits, so that most have no label here.

  Raises:
    InputError: nothing matches.
  """
  common = sorted(images.keys() & labels)
  if not common:
    raise InputError(
      f'no image has the name of one in {where} (for example {next(iter(images))}, {next(iter(labels))}); check '
      '--images and --mask-ending'
    )
  for reason, names in (('label', set() if shared else images.keys() - labels), ('image', labels.keys() - images)):
    if names:
      lists.warn(f'{where}: {len(names)} files have no {reason} and are left out: {lists.first_names(names)}')
  return [Pair(split, name, images[name], labels[name]) for name in common]


def inspect(data_dir: str, pairs: list[Pair]) -> tuple[list[str], list[Pair], set[int]]:
  """Checks every image and its mask.

  Returns:
    What is wrong with pairs that cannot be listed, the other pairs, and the values of all masks.
  """
  faults, sound, values, void = [], [], set(), []
  files = [list_file.Pair(*(path and os.path.join(data_dir, path) for path in pair[2:])) for pair in pairs]
  inspect_pair = functools.partial(check.inspect, num_classes=arguments.LARGEST, ignore_label=VOID)
  for pair, finding in zip(pairs, parallel.in_threads(inspect_pair, files, 'checking', 'pair'), strict=True):
    try:
      lists.line(pair.image, pair.label)
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
    lists.warn(f'{len(void)} labels are void everywhere and are left out: {lists.first_names(void)}')
  return faults, sound, values


def random_split(pairs: list[Pair], val: float, test: float, seed: int) -> list[Pair]:
  """Assigns splits, shares `val` and `test` of the pairs. Each pair is ranked by a hash of seed and name, so its rank
  does not depend on the others."""
  ranked = sorted(pairs, key=lambda pair: hashlib.sha256(f'{seed}/{pair.name}'.encode()).digest())
  first_val = round(len(pairs) * test)
  first_train = first_val + round(len(pairs) * val)
  splits = ['test'] * first_val + ['val'] * (first_train - first_val) + ['train'] * (len(pairs) - first_train)
  return sorted(pair._replace(split=split) for pair, split in zip(ranked, splits, strict=True))
