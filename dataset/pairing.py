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
from dataset.formats.classes import plain
from dataset.formats.drawing import AnnotatedImage
from utils import arguments, checks, errors, lists, parallel
from utils.errors import InputError
from utils.images import walk
from utils.labels import VOID

IMAGES = ('.jpg', '.jpeg', '.png')  # what training reads
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}


class Pair(NamedTuple):
  """An image and its label: the path of a mask, what an annotation file says, or None. Paths are below DATA_DIR."""

  split: str  # train, val or test; '' where all images are to be split at random
  name: str  # path below the folder of images, without the suffix
  image: str
  label: str | AnnotatedImage | None


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

  def existing(pattern: str, split: str) -> str | None:
    names = (form(name) for name in SPLITS[split] for form in (str, str.capitalize, str.upper))
    paths = (pattern.replace('{split}', name) for name in names)
    return next((path for path in paths if pathlib.Path(data_dir, path).exists()), None)

  found = {}
  for split in SPLITS:
    image_path, label_path = existing(images, split), existing(labels, split)
    # Where the images of all splits are in one folder, only the labels tell whether this split exists.
    if image_path and (label_path or '{split}' in images):
      found[split] = image_path, label_path or (None if split == 'test' else labels.replace('{split}', split))
  if 'train' not in found:
    wanted = images if '{split}' in images else labels
    raise InputError(f'--images {images}: {wanted.replace("{split}", "train")} does not exist below {data_dir}')
  return found


def files_by_name(
  data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], affixes, skip, faults: list[str]
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
  found, others = {}, collections.Counter()
  converted = [os.path.realpath(os.path.join(data_dir, name)) for name in (listing.CONVERTED, listing.CONVERTED_IMAGES)]
  for path in (root / name for name in walk(root, suffixes, converted, others, faults)):
    stem, below = plain(path.stem), path.relative_to(data_dir).as_posix()
    if not stem.startswith(prefix) or not stem.endswith(ending):
      others[f'*{path.suffix.lower()} of other names'] += 1
    elif not skip(below):
      stem = stem[len(prefix) : len(stem) - len(ending)]
      listing.put(found, plain((path.parent.relative_to(root) / stem).as_posix()), below)
  if not found:
    there = ', '.join(f'{number} {kind}' for kind, number in others.most_common(5)) or 'nothing'
    kind = '--image-ending' if flag == '--images' else '--mask-ending'
    raise InputError(
      f'{flag} {folder}: holds no file of {", ".join(suffixes)} (there: {there}); check the folder and {kind}'
    )
  return found


def labels_by_image(
  images: dict[str, str], annotated: list[AnnotatedImage], where: str, notes: list[str]
) -> dict[str, AnnotatedImage]:
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
  folders = {name.rsplit('/', 1)[0] for name in images if '/' in name}
  for entry in annotated:
    name = stem = plain(os.path.splitext(entry.file_name.replace('\\', '/').lstrip('/'))[0])
    while name not in images and '/' in name:
      name = name.split('/', 1)[1]
    elsewhere = '/' not in stem or stem.rsplit('/', 1)[0] not in folders  # else this very image is missing
    if name not in images and elsewhere and len(by_last[name]) == 1:
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
  partners = {name: name for name in images.keys() & labels}
  if not partners:
    partners = _partners(list(images), list(labels))
    if not partners:
      raise InputError(
        f'no image has the name of a label in {where} (for example {next(iter(images))}, {next(iter(labels))}); check '
        '--images, --image-ending and --mask-ending'
      )
    image, label = min(partners.items())
    shown = labels[label] if isinstance(labels[label], str) else label
    print(f'pairs images and labels by what their names share: {images[image]} with {shown}, ...')
  lone = {'label': set() if shared else images.keys() - partners, 'image': labels.keys() - partners.values()}
  for reason, names in lone.items():
    if names:
      notes.append(f'{where}: {len(names)} files have no {reason} and are left out: {listing.first_names(names)}')
  return [Pair(split, name, images[name], labels[label]) for name, label in sorted(partners.items())]


def _partners(images: list[str], labels: list[str]) -> dict[str, str]:
  """Image name -> label name, where both are the same without a common beginning and end of the images' names and one
  of the labels' (`1_sat`, `1_mask`), without folders, or in other letter case; empty unless half of the fewer match."""
  best, found = (min(len(images), len(labels)) + 1) // 2 - 1, {}
  for folded, strip, other in itertools.product((False, True), _affixes(images), _affixes(labels)):
    one, two = _stripped(images, *strip, folded), _stripped(labels, *other, folded)
    common = one.keys() & two.keys()
    if len(common) > best:
      best, found = len(common), {one[key]: two[key] for key in common}
  return found


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
  rests = [name.rsplit('/', 1)[-1].removeprefix(start).removesuffix(end) for name in names]
  found = dict(zip((rest.casefold() for rest in rests) if folded else rests, names, strict=True))
  return found if len(found) == len(names) and '' not in found else {}


def inspect(
  data_dir: str, pairs: list[Pair], notes: list[str], ignore_label: int
) -> tuple[list[str], list[Pair], collections.Counter]:
  """Checks that every image and its mask can be read, have one size and fit into a list.

  Returns:
    One line for each faulty pair, the other pairs without those whose mask is void everywhere, and the pixels of each
    value in all masks.
  """
  faults, sound, values, void = [], [], collections.Counter(), []
  files = [lists.Pair(*(path and os.path.join(data_dir, path) for path in pair[2:])) for pair in pairs]
  inspect_pair = functools.partial(checks.inspect, num_classes=arguments.LARGEST, ignore_label=VOID)
  for pair, finding in zip(pairs, parallel.in_threads(inspect_pair, files, 'checking', 'pair'), strict=True):
    only_void = bool(finding.counts) and finding.counts.keys() <= {VOID, ignore_label}
    fault = None if only_void else finding.fault
    try:
      listing.line(pair.image, pair.label)
    except InputError as e:
      fault = errors.one_line(e)
    if fault:
      faults.append(fault)
      continue
    values.update(finding.counts)
    (void if only_void else sound).append(pair)
  if void:
    names = listing.first_names([pair.name for pair in void])
    notes.append(f'{len(void)} labels are void everywhere and are left out: {names}')
  return faults, sound, values


def random_split(pairs: list[Pair], val: float, test: float, seed: int) -> list[Pair]:
  """Assigns fractions `val` and `test` of the pairs (at least one, if there are that many) to these splits, the rest to
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
