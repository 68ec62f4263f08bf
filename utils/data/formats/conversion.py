"""Masks of class ids made from labels of another form: palette PNGs in VOC's colours below DATA_DIR/label_ids, beside
the originals, which are only read. classes.txt and conversion.txt there tell what the ids mean and were made from."""

import os
import pathlib

from utils import atomic
from utils.data import convert, datasets
from utils.data.formats import class_table
from utils.data.formats.forms import Form
from utils.data.own import CONVERTED, Pair
from utils.errors import InputError


def run(
  data_dir: str, splits: dict[str, list[Pair]], form: Form, names: list[str] | None, origins: dict[str, str]
) -> tuple[list[str], dict[str, list[Pair]]]:
  """Converts what is not converted already; all of it where the record is another than the last time.

  Args:
    names: the classes in the order of their ids, None where the labels have no names.
    origins: every name of the labels -> what stands for it there, '' where its name does.

  Returns:
    A line for each that failed, and the pairs of the others with their new masks.

  Raises:
    InputError: the folder holds files that were not written here.
  """
  folder, ids = pathlib.Path(data_dir, CONVERTED), class_table.class_ids(list(origins), names or [])
  settings = folder / 'conversion.txt'
  if folder.exists() and not settings.exists():
    raise InputError(f'{folder}: is there and was not written by this script; rename it, for the masks go there')
  text = record(form, ids, origins)
  if not settings.exists() or settings.read_text(encoding='utf-8') != text:
    atomic.write_text(settings, text)
  if names is not None:
    atomic.write_text(folder / 'classes.txt', '\n'.join(names) + '\n')
  make = form.converter(ids)
  jobs = {
    (split, pair.name): _job(data_dir, split, pair, make, str(settings))
    for split, pairs in splits.items()
    for pair in pairs
    if pair.label is not None
  }
  failed = convert.run(jobs.values(), CONVERTED)
  masks = {key: job.output for key, job in jobs.items() if job.output not in failed}
  return list(failed.values()), {split: _with_masks(data_dir, split, pairs, masks) for split, pairs in splits.items()}


def record(form: Form, ids: dict[str, int], origins: dict[str, str]) -> str:
  """The text of conversion.txt: what the masks were made from, and a line for every value."""
  lines = [f'Made by dataset/prepare_own.py from {form.flag} {form.path}: {form.meaning}']
  for name, value in ids.items():
    lines.append(f'{value} {name}' + (f' ({origins[name]})' if origins.get(name) else ''))
  return '\n'.join(lines) + '\n'


def _job(data_dir: str, split: str, pair: Pair, make, settings: str) -> convert.Job:
  label = os.path.join(data_dir, pair.label) if isinstance(pair.label, str) else pair.label
  output = os.path.join(data_dir, CONVERTED, split, f'{pair.name}.png')
  source = label if isinstance(label, str) else label.source
  image = os.path.join(data_dir, pair.image)
  return convert.Job(source, output, lambda _: make(image, label), settings, datasets.voc_colours())


def _with_masks(data_dir: str, split: str, pairs: list[Pair], masks: dict[tuple[str, str], str]) -> list[Pair]:
  """The pairs whose label was converted, with its mask, and those without a label."""
  kept = [pair for pair in pairs if pair.label is None or (split, pair.name) in masks]
  paths = [masks.get((split, pair.name)) for pair in kept]
  return [
    pair._replace(label=path and pathlib.Path(path).relative_to(data_dir).as_posix())
    for pair, path in zip(kept, paths, strict=True)
  ]
