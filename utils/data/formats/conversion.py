"""Masks of class ids made from labels of another form: palette PNGs in VOC's colours below DATA_DIR/label_ids, beside
the originals, which are only read. classes.txt and conversion.txt there say what the ids mean and were made from."""

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
  make = form.maker(ids)
  jobs = {
    (split, pair.name): _job(data_dir, split, pair, make, str(settings))
    for split, pairs in splits.items()
    for pair in pairs
    if pair.label is not None
  }
  faults = convert.run(jobs.values(), CONVERTED)
  return faults, {split: _with_masks(data_dir, split, pairs, jobs) for split, pairs in splits.items()}


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


def _with_masks(data_dir: str, split: str, pairs: list[Pair], jobs: dict) -> list[Pair]:
  kept = []
  for pair in pairs:
    job = jobs.get((split, pair.name))
    if job is None:
      kept.append(pair)
    elif convert.is_current(job):
      kept.append(pair._replace(label=pathlib.Path(job.output).relative_to(data_dir).as_posix()))
  return kept
