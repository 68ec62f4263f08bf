"""Images and labels of the user's own: which belong together, and which image goes into which list."""

import hashlib
import os
import pathlib
from typing import NamedTuple

from utils import errors, parallel
from utils.data import check, lists
from utils.data.formats import annotations
from utils.data.labels import VOID
from utils.errors import InputError

IMAGES = ('.jpg', '.jpeg', '.png')
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}
CONVERTED = 'label_ids'  # the folder below DATA_DIR where masks made from other labels go


class Pair(NamedTuple):
  """An image and its label: the path of a mask, what an annotation file says, or None. Paths are below DATA_DIR."""

  name: str
  image: str
  label: str | annotations.Annotated | None


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
      there = [pathlib.Path(data_dir, path).exists() for path in paths]
      if there[0] and (there[1] or images != paths[0]):
        found[split] = paths[0], None if split == 'test' and not there[1] else paths[1]
        break
  if 'train' not in found:
    wanted = images if '{split}' in images else labels
    raise InputError(f'--images {images}: {wanted.replace("{split}", "train")} is not there below {data_dir}')
  return found


def named_files(data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], ending: str = '') -> dict[str, str]:
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


def by_image(images: dict[str, str], labels: dict, where: str) -> tuple[dict, list[str]]:
  """An annotation file's labels by the names of their images, and a line about those whose images are not there. The
  file's names may begin with folders that the images' have not.

  Raises:
    InputError: two labels belong to one image, or no image is there.
  """
  found, missing = {}, []
  for label in labels:
    name = label
    while name not in images and '/' in name:
      name = name.split('/', 1)[1]
    if name in found:
      raise InputError(f'{where}: has two images of the name {name}; rename one, there and on the disk')
    if name in images:
      found[name] = labels[label]
    else:
      missing.append(label)
  fault = f'{where}: {len(missing)} of its images are missing ({lists.shown(missing)}); put them below --images'
  if not found:
    raise InputError(fault)
  return found, [fault] if missing else []


def match(images: dict[str, str], labels: dict, where: str, shared: bool) -> list[Pair]:
  """Pairs of one name, sorted. Images without a label are left out with a warning; so are masks without an image.

  Args:
    where: what the labels are from, for messages.
    shared: the images are those of all splits, so that most have no label here.

  Raises:
    InputError: nothing matches.
  """
  both = sorted(images.keys() & labels)
  if not both:
    raise InputError(
      f'no image has the name of one in {where} (for example {next(iter(images))}, {next(iter(labels))}); check '
      '--images and --mask-ending'
    )
  for reason, names in (('label', set() if shared else images.keys() - labels), ('image', labels.keys() - images)):
    if names:
      lists.warn(f'{where}: {len(names)} files have no {reason} and are left out: {lists.shown(names)}')
  return [Pair(name, images[name], labels[name]) for name in both]


def inspect(data_dir: str, pairs: list[Pair]) -> tuple[list[str], dict[str, str], set[int]]:
  """Checks every image and its mask.

  Returns:
    What is wrong with pairs that cannot be listed, the lines of the others by name, and the values of their masks.
  """
  faults, sound, values, void = [], {}, set(), []

  def inspect_pair(pair):
    name, image, mask = pair
    try:
      size = check.image_size(os.path.join(data_dir, image))
      mask_size, counts, _ = (size, {}, False) if mask is None else check.label_counts(os.path.join(data_dir, mask))
      if size != mask_size:
        raise InputError(f'{mask}: is {mask_size[0]} x {mask_size[1]} while {image} is {size[0]} x {size[1]}')
      return name, lists.line(image, mask), counts, None
    except InputError as e:
      return name, None, {}, errors.one_line(e)

  for name, line, counts, fault in parallel.in_threads(inspect_pair, pairs, 'checking', 'pair'):
    values |= counts.keys()
    if fault:
      faults.append(fault)
    elif counts.keys() == {VOID}:
      void.append(name)
    else:
      sound[name] = line
  if void:
    lists.warn(f'{len(void)} labels are void everywhere and are left out: {lists.shown(void)}')
  return faults, sound, values


def random_split(names: list[str], val: float, test: float, seed: int) -> dict[str, list[str]]:
  """Sorted names by split. Each is ranked by a hash of seed and name, so its rank does not depend on the others."""
  ranked = sorted(names, key=lambda name: hashlib.sha256(f'{seed}/{name}'.encode()).digest())
  ends = [round(len(names) * test), round(len(names) * test) + round(len(names) * val)]
  splits = {'train': sorted(ranked[ends[1] :])}
  splits |= {'val': sorted(ranked[ends[0] : ends[1]])} if val else {}
  return splits | ({'test': sorted(ranked[: ends[0]])} if test else {})
