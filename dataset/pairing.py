"""Pairs images and labels of a user's own data set by their names, and splits the pairs into train, val and test."""

import collections
import functools
import hashlib
import itertools
import os
import pathlib
import re
from typing import NamedTuple

from dataset import listing
from dataset.formats import drawing
from dataset.formats.classes import plain
from utils import arguments, checks, errors, lists, parallel
from utils.errors import InputError
from utils.labels import VOID

IMAGES = ('.jpg', '.jpeg', '.png')  # what training reads
PHOTOS = (*IMAGES, '.tif', '.tiff', '.bmp', '.webp', '.gif', '.jfif')
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}
CONVERTED, CONVERTED_IMAGES = 'label_ids', 'images_png'  # the folders below DATA_DIR where converted files go
OTHER_SIZE = 'pair the image with its own label'  # the end of the check's line about two sizes


class Pair(NamedTuple):
  """An image and its label: the path of a mask, what an annotation file says, or None. Paths are below DATA_DIR."""

  split: str  # train, val or test; '' where all images are to be split at random
  name: str  # path below the folder of images, without the suffix
  image: str
  label: str | drawing.AnnotatedImage | None


def splits_of(data_dir: str, images: str, labels: str, labels_flag: str) -> dict[str, tuple[str, str | None]]:
  """Split -> its folder of images, and the folder or file of its labels (None: test images without labels).

  Where the flags hold no {split}, one split named ''. The images of all splits may be in one folder. A split's name
  may be written in small letters, Capitalised or in CAPITALS.

  Raises:
    InputError: {split} is in `images` alone, or the split train does not exist.
  """
  if '{split}' not in images + labels:
    return {'': (images, labels)}
  if '{split}' not in labels:
    raise InputError(f'{labels_flag} {labels}: holds no {{split}} while --images does; put it into both')
  found = {}
  for split in SPLITS:
    image_path, label_path = (_of_split(data_dir, path, split) for path in (images, labels))
    # Where the images of all splits are in one folder, only the labels tell whether this split exists.
    if image_path and (label_path or '{split}' in images):
      found[split] = image_path, label_path or (None if split == 'test' else labels.replace('{split}', split))
  if 'train' not in found:
    wanted = images if '{split}' in images else labels
    raise InputError(f'--images {images}: {wanted.replace("{split}", "train")} does not exist below {data_dir}')
  return found


def _of_split(data_dir: str, pattern: str, split: str) -> str | None:
  forms = (form(name) for name in SPLITS[split] for form in (str, str.capitalize, str.upper))
  paths = (pattern.replace('{split}', name) for name in forms)
  return next((path for path in paths if pathlib.Path(data_dir, path).exists()), None)


def files_by_name(
  data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], affixes=('', ''), skip=None, faults=None
) -> dict[str, str]:
  """Name -> path below `data_dir`, for every file in the folder and its sub-folders; links are followed.

  The name is the path below the folder, without the suffix and without `affixes`, what names begin and end with
  (`mask_`, `_mask`), in Unicode's composed form. `skip(path)` leaves a file out. Sub-folders that cannot be read are
  appended to `faults`.

  Raises:
    InputError: the folder does not exist or holds no such file, or two files have one name.
  """
  root, (prefix, ending) = pathlib.Path(data_dir, folder), affixes
  if not root.is_dir() or not root.is_relative_to(data_dir):
    there = sorted(entry.name for entry in os.scandir(data_dir) if entry.is_dir()) if os.path.isdir(data_dir) else []
    raise InputError(
      f'{flag} {folder}: is not a folder below --data-dir {data_dir} (there: {listing.first_names(there)})'
    )
  found, others, seen = {}, collections.Counter(), set()

  def unreadable(error: OSError) -> None:
    if faults is not None:
      faults.append(f'{errors.os_error_line(error)}; its files are left out')

  for parent, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
    seen.add(os.path.realpath(parent))
    folders[:] = sorted(
      name
      for name in folders
      if not name.startswith('.')
      and name not in (CONVERTED, CONVERTED_IMAGES)
      and os.path.realpath(os.path.join(parent, name)) not in seen  # a link to a folder above
    )
    for file in sorted(names):
      stem, suffix = os.path.splitext(file)
      if file.startswith('.'):
        continue
      if suffix.lower() not in suffixes or not plain(stem).startswith(prefix) or not plain(stem).endswith(ending):
        others[suffix.lower() if suffix.lower() not in suffixes else f'*{suffix.lower()} of other names'] += 1
        continue
      path = pathlib.Path(parent, file).relative_to(data_dir).as_posix()
      if skip and skip(path):
        continue
      stem = plain(stem)[len(prefix) : len(plain(stem)) - len(ending)]
      name = plain((pathlib.Path(parent).relative_to(root) / stem).as_posix())
      if name in found:
        raise InputError(f'{path}: differs from {found[name]} in the suffix only; rename or remove one')
      found[name] = path
  if not found:
    there = ', '.join(f'{number} {kind or "without suffix"}' for kind, number in others.most_common(5)) or 'nothing'
    kind = '--image-ending' if flag == '--images' else '--mask-ending'
    raise InputError(
      f'{flag} {folder}: holds no file of {", ".join(suffixes)} (there: {there}); check the folder and {kind}'
    )
  return found


def labels_by_image(
  images: dict[str, str], annotated: list[drawing.AnnotatedImage], where: str, notes: list[str]
) -> dict[str, drawing.AnnotatedImage]:
  """Image name -> its entry of an annotation file; entries without an image are counted in `notes`.

  Names in the file have suffixes and may start with folders that are not part of the names of `images`, or lack them.

  Raises:
    InputError: two entries belong to one image, or no entry has an image.
  """
  labels, missing, by_last = {}, [], collections.defaultdict(list)
  if not annotated:
    raise InputError(f'{where}: holds no image; export the annotations again, with the images that they belong to')
  for name in images:
    by_last[name.rsplit('/', 1)[-1]].append(name)
  for entry in annotated:
    name = stem = plain(os.path.splitext(entry.file_name.replace('\\', '/').lstrip('/'))[0])
    while name not in images and '/' in name:
      name = name.split('/', 1)[1]
    if name not in images and len(by_last[name]) == 1:
      name = by_last[name][0]
    if name in labels:
      raise InputError(f'{where}: has two images of the name {name}; rename one, there and on the disk')
    if name in images:
      labels[name] = entry
    else:
      missing.append(stem)
  fault = f'{where}: {len(missing)} of its images are missing ({listing.first_names(missing)}); put them below --images'
  if not labels:
    raise InputError(f'{fault} (there: {listing.first_names(list(images)[:3])})')
  if missing:
    notes.append(f'{fault}; the others are prepared')
  return labels


def match_by_name(
  split: str, images: dict[str, str], labels: dict, where: str, shared: bool, notes: list[str]
) -> list[Pair]:
  """Pairs images and labels of the same name, sorted; where no name is the same, those that share all but what the
  images' names, and the labels', have in common. Those without a partner are left out and counted in `notes`.

  Args:
    where: the folder or file of the labels, for messages.
    shared: `images` holds those of all splits, so an image without a label is no reason for a note.

  Raises:
    InputError: no image has a label.
  """
  common = sorted(images.keys() & labels)
  if not common:
    partners = _partners(list(images), list(labels))
    if not partners:
      raise InputError(
        f'no image has the name of a label in {where} (for example {next(iter(images))}, {next(iter(labels))}); check '
        '--images, --image-ending and --mask-ending'
      )
    image, label = next(iter(partners.items()))
    shown = labels[label] if isinstance(labels[label], str) else label
    print(f'pairs images and labels by what their names share: {images[image]} with {shown}, ...')
    labels = {image: labels[label] for image, label in partners.items()} | {
      label: labels[label] for label in labels.keys() - partners.values()
    }
    common = sorted(partners)
  for reason, names in (('label', set() if shared else images.keys() - common), ('image', labels.keys() - common)):
    if names:
      notes.append(f'{where}: {len(names)} files have no {reason} and are left out: {listing.first_names(names)}')
  return [Pair(split, name, images[name], labels[name]) for name in common]


def _partners(images: list[str], labels: list[str]) -> dict[str, str]:
  """Image name -> label name, where both are the same without a common beginning and end of the images' names and one
  of the labels' (`1_sat`, `1_mask`), without folders, or in other letter case; empty unless most of the fewer match."""
  best, found = (len(images) + 1) // 2 if len(images) <= len(labels) else (len(labels) + 1) // 2, {}
  for folded, strip, other in itertools.product((False, True), _affixes(images), _affixes(labels)):
    one, two = _stripped(images, *strip, folded), _stripped(labels, *other, folded)
    common = one.keys() & two.keys() if one and two else ()
    if len(common) >= best + bool(found):
      best, found = len(common), {one[key]: two[key] for key in common}
  return dict(sorted(found.items()))


def _affixes(names: list[str]) -> list[tuple[str, str]]:
  """Beginnings and ends that all of these names (without folders) have, cut at a separator or before a digit."""
  stems = [name.rsplit('/', 1)[-1] for name in names]
  start = os.path.commonprefix(stems)
  end = os.path.commonprefix([stem[::-1] for stem in stems])[::-1]
  starts = [''] + [start[: match.end()] for match in re.finditer(r'[_\-. ]|[^\d](?=\d|$)', start)][:4]
  ends = [''] + [end[match.start() :] for match in re.finditer(r'[_\-. ]', end)][-4:]
  return list(itertools.product(dict.fromkeys(starts), dict.fromkeys(ends)))


def _stripped(names: list[str], start: str, end: str, folded: bool) -> dict[str, str]:
  """Rest of a name -> name; none if two are the same or one is empty."""
  found = {}
  for name in names:
    stem = name.rsplit('/', 1)[-1].removeprefix(start)
    stem = stem.removesuffix(end)
    found[stem.casefold() if folded else stem] = name
  return found if len(found) == len(names) and '' not in found else {}


def inspect(data_dir: str, pairs: list[Pair], notes: list[str]) -> tuple[list[str], list[Pair], collections.Counter]:
  """Checks that every image and its mask can be read, have one size and fit into a list.

  Returns:
    A line for each faulty pair (one for all of different sizes), the other pairs without those whose mask is void
    everywhere, and the pixels of each value in all masks.
  """
  faults, sizes, sound, values, void = [], [], [], collections.Counter(), []
  files = [lists.Pair(*(path and os.path.join(data_dir, path) for path in pair[2:])) for pair in pairs]
  inspect_pair = functools.partial(checks.inspect, num_classes=arguments.LARGEST, ignore_label=VOID)
  for pair, finding in zip(pairs, parallel.in_threads(inspect_pair, files, 'checking', 'pair'), strict=True):
    try:
      listing.line(pair.image, pair.label)
      fault = finding.fault
    except InputError as e:
      fault = errors.one_line(e)
    if fault and OTHER_SIZE in fault:
      sizes.append(fault.split(' (width')[0])
    elif fault and finding.counts.keys() != {VOID}:
      faults.append(fault)
    else:
      values.update(finding.counts)
      if finding.counts.keys() == {VOID}:
        void.append(pair.name)
      else:
        sound.append(pair)
  if sizes:
    more = f' (and {len(sizes) - 1} other labels)' if len(sizes) > 1 else ''
    faults.append(f'{sizes[0]}{more} (width x height); --resize-labels takes them, by the nearest pixel')
  if void:
    notes.append(f'{len(void)} labels are void everywhere and are left out: {listing.first_names(void)}')
  return faults, sound, values


def random_split(pairs: list[Pair], val: float, test: float, seed: int) -> list[Pair]:
  """Assigns fractions `val` and `test` of the pairs (at least one, if there are so many) to these splits, the rest to
  train.

  Pairs are ranked by a hash of seed and name, so files added later change the split of few others.
  """
  ranked = sorted(pairs, key=lambda pair: hashlib.sha256(f'{seed}/{pair.name}'.encode()).digest())
  first_val = max(round(len(pairs) * test), min(1, len(pairs) - 2) if test else 0, 0)
  number = max(round(len(pairs) * val), min(1, len(pairs) - first_val - 1) if val else 0, 0)
  first_train = first_val + number
  splits = ['test'] * first_val + ['val'] * number + ['train'] * (len(pairs) - first_train)
  return sorted(
    (pair._replace(split=split) for pair, split in zip(ranked, splits, strict=True)), key=lambda pair: pair[:3]
  )
