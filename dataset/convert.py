"""Converts many files on all cores: only those that changed since the last run, and whole files only. A bad file does
not stop the others. Loads no TensorFlow.

`run` serves every data set. `own_images` and `own_labels` convert a user's own: masks of class ids, palette PNGs in
VOC's colours, go to DATA_DIR/label_ids beside the originals, which are only read. classes.csv and conversion.txt there
tell what the ids mean, what they were made from and what was dropped, clipped, covered or skipped. Images that training
does not read become PNGs in DATA_DIR/images_png.
"""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dataset.formats import masks
from dataset.formats.sources import LabelSource
from dataset.listing import CONVERTED, CONVERTED_IMAGES
from dataset.pairing import IMAGES, Pair
from utils import checks, files, images, parallel
from utils.errors import InputError, RunError, one_line, os_error_line
from utils.labels import VOID, Classes, voc_colours, write_classes

NOTE = 'conversion'  # the key of the text in a PNG that says by which settings it was made, and what was done
RECORD = 'conversion.txt'
REASONS = {  # reason -> what the summary says of `number` things of a class
  'clipped': '{} outlines of {} reach over the border and were clipped',
  'thin': '{} annotations of {} have an outline of fewer than three points, which is left out',
  'crowd only': '{} annotations of {} are marked as crowd (iscrowd), as all of that class are: drawn as the class',
  'crowd': '{} annotations of {} are crowds (iscrowd): void',
  'skipped': '{} annotations of {} were skipped: {}',
  'transparent': '{} transparent pixels are void',
  'nearest': '{} pixels took the nearest colour of the table',
  'far': '{} pixels are far from every colour of the table: void',
  'resized': '{} labels were resized to their images (nearest pixel)',
}


class Job(NamedTuple):
  """One file to convert. `make(source)` returns the array that the PNG `output` is to hold; with `settings`, an array
  and a dict of numbers, which `note` reads again.

  The output is out of date if `source` is newer, or if it was made by other settings. With `palette`, uint8 RGB [n, 3],
  the PNG is a palette image.
  """

  source: str
  output: str
  make: Callable
  settings: str | None = None
  palette: np.ndarray | None = None


def run(jobs: Iterable[Job], title: str, root: str | None = None) -> dict[str, str]:
  """Does the jobs whose output is missing, damaged or out of date. Returns the outputs that failed, each with a
  line that says why.

  Raises:
    InputError: an output would replace its own source, its folder cannot be made or is a link below `root`, or another
      process is converting into the same folder.
    RunError: an output cannot be written (a full disk, a folder without permission): the other jobs would fail too.
  """
  jobs, faults, written = list(jobs), {}, 0
  for job in jobs:
    if os.path.realpath(job.output) == os.path.realpath(job.source):
      raise InputError(f'{job.output}: is the original itself (is its folder a link?), and originals are never changed')
  if root is not None:
    refuse_links({os.path.dirname(job.output) for job in jobs}, root)
  folder = os.path.commonpath([os.path.dirname(job.output) for job in jobs]) if jobs else ''
  with files.claim(folder, 'converting') if jobs else contextlib.nullcontext():
    for job, (fault, new) in zip(jobs, parallel.in_threads(_convert, jobs, title), strict=True):
      faults |= {job.output: fault} if fault else {}
      written += new
  print(f'{title}: {written} files written, {len(jobs) - written - len(faults)} up to date, {len(faults)} failed')
  return faults


def refuse_links(folders: Iterable[str], root) -> None:
  """Raises an InputError if one of these folders, or one between it and `root`, is a link: an archive that was unpacked
  there could lead what is written elsewhere."""
  top = os.path.abspath(root)
  for folder in folders:
    path = os.path.abspath(folder)
    while len(path) > len(top):
      if os.path.islink(path):
        raise InputError(f'{path}: is a link, and nothing is written through links below {root}; remove it')
      path = os.path.dirname(path)


def _convert(job: Job) -> tuple[str | None, bool]:
  """An error line or None, and whether the output was written."""
  info = None
  try:
    if _is_current(job):
      return None, False
    content = job.make(job.source)
    if job.settings is not None:
      content, numbers = content
      info = PngInfo()
      info.add_text(NOTE, json.dumps({'settings': job.settings, 'numbers': numbers}))
  except InputError as e:
    return one_line(e), False
  except OSError as e:
    return os_error_line(e), False
  except MemoryError:
    return f'{job.source}: does not fit into memory', False
  try:
    files.write_png(job.output, content, job.palette, info)
  except InputError as e:  # a folder or a link in the file's place
    return one_line(e), False
  except OSError as e:
    raise RunError(f'{job.output}: cannot be written ({e.strerror or e}); what is there already is kept') from None
  return None, True


def note(path: str) -> tuple[str | None, dict[str, int]]:
  """The settings and numbers in a PNG that `run` wrote; None and nothing in another file."""
  with images.open_picture(path) as image:
    try:
      found = json.loads(image.info.get(NOTE, ''))
      return found['settings'], found['numbers']
    except (ValueError, KeyError, TypeError):
      return None, {}


def _is_current(job: Job) -> bool:
  """Whether the output is whole, made by the same settings and newer than its source, by the times of the source's
  content and of its arrival (an archive's files keep their old dates when they are unpacked)."""
  try:
    source = os.stat(job.source)
    newer = os.stat(job.output).st_mtime_ns > max(source.st_mtime_ns, source.st_ctime_ns)
    same = newer and bool(checks.image_size(job.output))
    return same and (job.settings is None or note(job.output)[0] == job.settings)
  except (OSError, InputError):
    return False


def own_images(data_dir: str, pairs: list[Pair]) -> tuple[list[str], list[Pair]]:
  """Makes PNGs of the images that are neither JPEG nor PNG by their suffix. Returns one line for each that failed, and
  the pairs of the others."""
  others = [pair for pair in pairs if not pair.image.lower().endswith(IMAGES)]
  paths = {pair.image: _path(CONVERTED_IMAGES, pair) for pair in others}
  places = {old: os.path.join(data_dir, new) for old, new in paths.items()}
  photo = lambda path: (masks.photo(path), {})  # noqa: E731
  jobs = [Job(os.path.join(data_dir, old), new, photo, settings=old) for old, new in places.items()]
  failed = run(jobs, CONVERTED_IMAGES, root=data_dir) if jobs else {}
  found = [pair._replace(image=paths.get(pair.image, pair.image)) for pair in pairs]
  return list(failed.values()), [pair for pair in found if os.path.join(data_dir, pair.image) not in failed]


def own_labels(
  data_dir: str, pairs: list[Pair], source: LabelSource, names: list[str], origins: dict[str, str], resize: bool
) -> tuple[list[str], list[Pair], list[str]]:
  """Converts the labels that are new or changed; all of them if the settings changed. The folder is claimed before
  anything is written in it.

  Args:
    names: the classes in the order of their ids.
    origins: class name -> what stands for it in the labels (`category 3`, a colour); '' if they hold the name itself.
    resize: labels take their images' sizes.

  Returns:
    One line for each label that failed, the pairs of the others with their new masks, and the summary's lines.

  Raises:
    InputError: the folder holds files that were not written here, is a link, or another process is writing there.
  """
  folder = pathlib.Path(data_dir, CONVERTED)
  ids = {name: i for i, name in enumerate(names)} | {name: VOID for name in origins if name not in names}
  refuse_links([folder], data_dir)
  if folder.exists() and not (folder / RECORD).exists() and os.listdir(folder):
    raise InputError(f'{folder}: is there and was not written by this script; rename it, for the masks go there')
  text = [f'Made by dataset/prepare_own.py from {source.flag} {source.path}: {source.meaning}']
  text += [f'{value} {name}' + (f' ({origins[name]})' if origins.get(name) else '') for name, value in ids.items()]
  settings = hashlib.sha256(f'{text}{resize}{source.settings}{source.mapping}'.encode()).hexdigest()
  with files.claim(folder, 'preparing'):
    # Until all is done the record says so; each mask holds the digest of the settings that it was made by.
    files.write_text(folder / RECORD, '\n'.join([*text, '(not complete: run the command again)', '']))
    labelled = [pair for pair in pairs if pair.label is not None]
    make = source.converter({name: ids.get(new, VOID) for name, new in source.mapping.items()}, names)
    jobs = [_label_job(data_dir, pair, make, settings, resize) for pair in labelled]
    failed = run(jobs, CONVERTED, root=data_dir)
    done, total = [], collections.Counter()
    for pair, job in zip(labelled, jobs, strict=True):
      if job.output not in failed:
        done.append(pair._replace(label=_path(CONVERTED, pair)))
        total.update(note(job.output)[1])
    lines = summary(total)
    files.write_text(folder / RECORD, '\n'.join([*text, *lines, '']))
    if names:
      write_classes(folder, Classes(names, source.palette(names)))
  return list(failed.values()), done + [pair for pair in pairs if pair.label is None], lines


def _path(folder: str, pair: Pair) -> str:
  return pathlib.PurePath(folder, pair.split, f'{pair.name}.png').as_posix()


def _label_job(data_dir: str, pair: Pair, make: Callable, settings: str, resize: bool) -> Job:
  label = os.path.join(data_dir, pair.label) if isinstance(pair.label, str) else pair.label
  image, output = (os.path.join(data_dir, path) for path in (pair.image, _path(CONVERTED, pair)))

  def made(_) -> tuple[np.ndarray, dict[str, int]]:
    ids, numbers = make(image, label)
    stored, seen, turn = checks.sizes(image)
    if resize and ids.shape[::-1] not in (seen, stored):
      if turn >= 5:
        raise InputError(f'{image}: has EXIF orientation {turn} and its label another size; save the photo upright')
      ids = np.asarray(Image.fromarray(ids).resize(seen, Image.Resampling.NEAREST))
      numbers = {**numbers, 'resized|': 1}
    return images.upright_label(ids, stored[::-1], turn), dict(numbers)

  settings += f' {pair.label}' if isinstance(pair.label, str) else ''
  if resize:
    with contextlib.suppress(InputError):  # `made` says what is wrong with the image
      settings += f' {checks.image_size(image)}'
  return Job(label if isinstance(label, str) else label.source, output, made, settings, voc_colours())


def summary(total: collections.Counter) -> list[str]:
  """What was dropped, clipped, covered or skipped: one line for each key `reason|class` or `reason|class|why`."""
  lines = []
  for key, number in sorted(total.items()):
    reason, what = key.split('|', 1)
    what = what.rsplit('|', 1) if reason in ('skipped', 'crowd') else [what]  # a class's name may hold |
    if number and reason in REASONS:
      lines.append(REASONS[reason].format(number, *what))
    elif number and reason == 'covered':
      share = number / total[f'outlined|{what[0]}']
      lines.append(f'{share:.1%} of the outlined pixels of {what[0]} are covered by outlines of other classes')
  return lines
