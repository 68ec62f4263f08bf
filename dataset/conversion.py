"""Masks of class ids made from labels of another kind: palette PNGs in VOC's colours below DATA_DIR/label_ids, beside
the originals, which are only read. classes.txt and conversion.txt there tell what the ids mean and were made from."""

import os
import pathlib

from dataset import convert
from dataset.formats import classes
from dataset.formats.sources import LabelSource
from dataset.pairing import CONVERTED, Pair
from utils import files, labels
from utils.errors import InputError


def run(
  data_dir: str, pairs: list[Pair], source: LabelSource, names: list[str] | None, origins: dict[str, str]
) -> tuple[list[str], list[Pair]]:
  """Converts the labels that are new or changed; all of them if the text of conversion.txt changed.

  Args:
    names: the classes in the order of their ids, None where the labels have no names.
    origins: class name -> what stands for it in the labels (`category 3`, a colour); '' if they hold the name itself.

  Returns:
    A line for each label that failed, and the pairs of the others with their new masks.

  Raises:
    InputError: the folder holds files that were not written here.
  """
  folder, ids = pathlib.Path(data_dir, CONVERTED), classes.class_ids(list(origins), names or [])
  settings = folder / 'conversion.txt'
  if folder.exists() and not settings.exists():
    raise InputError(f'{folder}: is there and was not written by this script; rename it, for the masks go there')
  text = record(source, ids, origins)
  if not settings.exists() or settings.read_bytes() != text.encode():
    files.write_text(settings, text)
  if names is not None:
    files.write_text(folder / 'classes.txt', '\n'.join(names) + '\n')
  labelled, make = [pair for pair in pairs if pair.label is not None], source.converter(ids)
  jobs = [_job(data_dir, pair, make, str(settings)) for pair in labelled]
  failed = convert.run(jobs, CONVERTED)
  done = [pair for pair, job in zip(labelled, jobs, strict=True) if job.output not in failed]
  converted = [pair._replace(label=_mask_path(pair)) for pair in done]
  return list(failed.values()), converted + [pair for pair in pairs if pair.label is None]


def record(source: LabelSource, ids: dict[str, int], origins: dict[str, str]) -> str:
  """The text of conversion.txt: what the masks were made from, and a line for every value."""
  lines = [f'Made by dataset/prepare_own.py from {source.flag} {source.path}: {source.meaning}']
  for name, value in ids.items():
    lines.append(f'{value} {name}' + (f' ({origins[name]})' if origins.get(name) else ''))
  return '\n'.join(lines) + '\n'


def _mask_path(pair: Pair) -> str:
  return pathlib.PurePath(CONVERTED, pair.split, f'{pair.name}.png').as_posix()


def _job(data_dir: str, pair: Pair, make, settings: str) -> convert.Job:
  label = os.path.join(data_dir, pair.label) if isinstance(pair.label, str) else pair.label
  image, output = (os.path.join(data_dir, path) for path in (pair.image, _mask_path(pair)))
  original = label if isinstance(label, str) else label.source
  return convert.Job(original, output, lambda _: make(image, label), settings, labels.voc_colours())
