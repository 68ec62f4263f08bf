"""Masks of class ids made from labels of another kind: palette PNGs in VOC's colours below DATA_DIR/label_ids, beside
the originals, which are only read. classes.csv and conversion.txt there tell what the ids mean, what they were made
from and what was dropped, clipped, covered or skipped. Images that training does not read become PNGs in
DATA_DIR/images_png.
"""

import collections
import hashlib
import os
import pathlib

import numpy as np

from dataset import convert
from dataset.formats import classes, masks
from dataset.formats.sources import LabelSource
from dataset.pairing import CONVERTED, CONVERTED_IMAGES, IMAGES, Pair
from utils import checks, files, labels
from utils.errors import InputError

RECORD = 'conversion.txt'
PARTS = {  # reason -> what the summary says of `number` things of a class
  'clipped': '{} outlines of {} reach over the border and were clipped',
  'thin': '{} annotations of {} have an outline of fewer than three points, which is left out',
  'crowd only': '{} annotations of {} are marked as crowd (iscrowd), as all of that class are: drawn as the class',
  'transparent': '{} transparent pixels are void',
  'nearest': '{} pixels took the nearest colour of the table',
  'far': '{} pixels are far from every colour of the table: void',
  'resized': '{} labels were resized to their images (nearest pixel)',
  'dropped': '{} pixels of {} became void by --class-map',
}


def convert_images(data_dir: str, pairs: list[Pair]) -> tuple[list[str], list[Pair]]:
  """Makes PNGs of the images that are neither JPEG nor PNG by their suffix. Returns a line for each that failed, and
  the pairs of the others."""
  odd = [pair for pair in pairs if not pair.image.lower().endswith(IMAGES)]
  if not odd:
    return [], pairs

  def target(pair: Pair) -> str:
    return pathlib.PurePath(CONVERTED_IMAGES, pair.split, f'{pair.name}.png').as_posix()

  jobs = {
    pair.image: convert.Job(os.path.join(data_dir, pair.image), os.path.join(data_dir, target(pair)), masks.photo)
    for pair in odd
  }
  failed = convert.run(jobs.values(), CONVERTED_IMAGES, root=data_dir)
  kept = [pair for pair in pairs if pair.image not in jobs or jobs[pair.image].output not in failed]
  return list(failed.values()), [pair._replace(image=target(pair)) if pair.image in jobs else pair for pair in kept]


def run(
  data_dir: str, pairs: list[Pair], source: LabelSource, names: list[str], origins: dict[str, str], resize: bool
) -> tuple[list[str], list[Pair], list[str]]:
  """Converts the labels that are new or changed; all of them if the settings changed. The folder is claimed before
  anything is written in it.

  Args:
    names: the classes in the order of their ids.
    origins: class name -> what stands for it in the labels (`category 3`, a colour); '' if they hold the name itself.
    resize: labels take their images' sizes.

  Returns:
    A line for each label that failed, the pairs of the others with their new masks, and the summary's lines.

  Raises:
    InputError: the folder holds files that were not written here, is a link, or another process is writing there.
  """
  folder, ids = pathlib.Path(data_dir, CONVERTED), classes.class_ids(list(origins), names)
  convert.refuse_links([folder], data_dir)
  if folder.exists() and not (folder / RECORD).exists() and os.listdir(folder):
    raise InputError(f'{folder}: is there and was not written by this script; rename it, for the masks go there')
  with files.claim(folder, 'preparing'):
    text = record(source, ids, origins)
    settings = hashlib.sha256(f'{text}{resize}{source.settings}'.encode()).hexdigest()
    # Until all is done the record says so; each mask holds the digest of the settings that it was made by.
    files.write_text(folder / RECORD, f'{text}(not complete: run the command again)\n')
    labelled, make = [pair for pair in pairs if pair.label is not None], source.converter(ids)
    jobs = [_job(data_dir, pair, make, settings, resize) for pair in labelled]
    failed = convert.run(jobs, CONVERTED, root=data_dir)
    done = [(pair, job) for pair, job in zip(labelled, jobs, strict=True) if job.output not in failed]
    total = collections.Counter()
    for _, job in done:
      total.update(convert.note(job.output)[1])
    lines = summary(total)
    files.write_text(folder / RECORD, text + ''.join(f'{line}\n' for line in lines))
    files.write_text(folder / 'classes.txt', '\n'.join(names) + '\n')
    labels.write_classes(folder, labels.Classes(names, source.colours(names)))
  converted = [pair._replace(label=_mask_path(pair)) for pair, _ in done]
  return list(failed.values()), converted + [pair for pair in pairs if pair.label is None], lines


def record(source: LabelSource, ids: dict[str, int], origins: dict[str, str]) -> str:
  """The first part of conversion.txt: what the masks were made from, and a line for every value."""
  lines = [f'Made by dataset/prepare_own.py from {source.flag} {source.path}: {source.meaning}']
  for name, value in ids.items():
    lines.append(f'{value} {name}' + (f' ({origins[name]})' if origins.get(name) else ''))
  return '\n'.join(lines) + '\n'


def summary(total: collections.Counter) -> list[str]:
  """What was dropped, clipped, covered, skipped or made void, by class and reason: one line each."""
  lines = []
  for key, number in sorted(total.items()):
    reason, _, name = key.partition('|')
    if not number:
      continue
    if reason == 'skipped':
      name, _, why = name.partition('|')
      lines.append(f'{number} annotations of {name} were skipped: {why}')
    elif reason == 'covered' and (drawn := total[f'outlined|{name}']):
      lines.append(f'{number / drawn:.1%} of the outlined pixels of {name} are covered by outlines of other classes')
    elif reason in PARTS:
      lines.append(PARTS[reason].format(number, name))
    elif reason.startswith('crowd of'):
      lines.append(f'{number} annotations of {reason.removeprefix("crowd of ")} are crowds (iscrowd): void')
  return lines


def _mask_path(pair: Pair) -> str:
  return pathlib.PurePath(CONVERTED, pair.split, f'{pair.name}.png').as_posix()


def _job(data_dir: str, pair: Pair, make, settings: str, resize: bool) -> convert.Job:
  label = os.path.join(data_dir, pair.label) if isinstance(pair.label, str) else pair.label
  image, output = (os.path.join(data_dir, path) for path in (pair.image, _mask_path(pair)))
  original = label if isinstance(label, str) else label.source

  def made(_) -> tuple[np.ndarray, dict[str, int]]:
    ids, numbers = make(image, label)
    if resize and (size := checks.image_size(image)) != ids.shape[::-1]:
      ids, numbers = masks.resized(ids, *size), {**numbers, 'resized|': 1}
    return ids, dict(numbers)

  return convert.Job(original, output, made, settings, labels.voc_colours())
