"""Converts many files on all cores: only those that changed since the last run, and whole files only. A bad file does
not stop the others. Loads no TensorFlow."""

import contextlib
import functools
import io
import json
import os
import pathlib
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL.PngImagePlugin import PngInfo

from utils import checks, files, images, parallel
from utils.errors import InputError, RunError, one_line, os_error_line

LARGEST_MAT = 1 << 24  # bytes: a mask of SBD has 40 KB, and the lists of GTA5 200 KB
NOTE = 'conversion'  # the key of the text in a PNG that says by which settings it was made, and what was done


class Job(NamedTuple):
  """One file to convert. `make(source)` returns the content of `output`: an array, written as PNG, or bytes; with
  `settings`, an array and a dict of numbers, which `note` reads again.

  The output is out of date if `source` is newer, or if it was made by other settings. With `palette`, uint8 RGB [n, 3],
  the PNG is a palette image.
  """

  source: str
  output: str
  make: Callable
  settings: str | None = None
  palette: np.ndarray | None = None


def run(jobs: Iterable[Job], title: str, again: bool = False, root: str | None = None) -> dict[str, str]:
  """Does the jobs whose output is missing, damaged or out of date (all jobs with `again`). Returns the outputs that
  failed, each with a line that says why.

  Raises:
    InputError: an output would replace its own source, its folder is a link below `root`, or another process is
      converting into the same folder.
    RunError: an output cannot be written (a full disk, a folder without permission): the other jobs would fail too.
  """
  jobs, faults, written = list(jobs), {}, 0
  for job in jobs:
    folder, name = os.path.split(job.output)
    if os.path.join(os.path.realpath(folder), name) == os.path.realpath(job.source):
      raise InputError(f'{job.output}: is the original itself (is its folder a link?), and originals are never changed')
  if root is not None:
    refuse_links({os.path.dirname(job.output) for job in jobs}, root)
  with _claim_folder(jobs) if jobs else contextlib.nullcontext():
    results = parallel.in_threads(functools.partial(_convert, again=again), jobs, title)
    for job, (fault, new) in zip(jobs, results, strict=True):
      faults |= {job.output: fault} if fault else {}
      written += new
  kept = len(jobs) - written - len(faults)
  print(f'{title}: {written} files written, {kept} up to date, {len(faults)} failed')
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


def _claim_folder(jobs: list[Job]):
  """Makes the folder that all outputs are in and holds it for this process."""
  folder = os.path.commonpath([os.path.dirname(job.output) for job in jobs])
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as e:
    raise RunError(f'{folder}: cannot be made ({e.strerror or e}); what is there already is kept') from None
  return files.claim(folder, 'converting')


def _convert(job: Job, again: bool) -> tuple[str | None, bool]:
  """An error line or None, and whether the output was written."""
  try:
    if not again and _is_current(job):
      return None, False
    content = job.make(job.source)
  except InputError as e:
    return one_line(e), False
  except OSError as e:
    return os_error_line(e), False
  try:
    _write(job, content)
  except InputError as e:  # a folder or a link in the file's place
    return one_line(e), False
  except OSError as e:
    raise RunError(f'{job.output}: cannot be written ({e.strerror or e}); what is there already is kept') from None
  return None, True


def _write(job: Job, content) -> None:
  if isinstance(content, bytes):
    files.write_bytes(job.output, content)
  elif job.settings is None:
    files.write_png(job.output, content, job.palette)
  else:
    array, numbers = content
    info = PngInfo()
    info.add_text(NOTE, json.dumps({'settings': job.settings, 'numbers': numbers}))
    files.write_png(job.output, array, job.palette, info)


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


def read_mat(path: str, names: list[str], kind: str, take: Callable):
  """`take(variables)` of a MATLAB file. Reading one executes nothing.

  Raises:
    InputError: it is not `kind` of file, or holds more than LARGEST_MAT bytes, as they are or unpacked.
  """
  import scipy.io  # takes longer to load than --help should

  data, position, total = files.read_bytes(path, kind, LARGEST_MAT), 128, 0
  while position + 8 <= len(data):
    element, size = (int.from_bytes(data[position + i : position + i + 4], 'little') for i in (0, 4))
    if element == 15:  # compressed
      stream = zlib.decompressobj()
      with contextlib.suppress(zlib.error):  # SciPy names the damage
        total += len(stream.decompress(data[position + 8 : position + 8 + size], LARGEST_MAT))
        total += LARGEST_MAT if stream.unconsumed_tail else 0
    if total > LARGEST_MAT:
      raise InputError(f'{path}: holds more than {LARGEST_MAT >> 20} MB, unlike {kind}; unpack it again')
    position += 8 + size
  try:
    return take(scipy.io.loadmat(io.BytesIO(data), variable_names=names))
  except Exception as e:  # a damaged file raises whatever its bytes lead to
    raise InputError(f'{path}: is not {kind} ({one_line(e)}); unpack it again') from None


def files_by_stem(folder: str | pathlib.Path, suffixes: tuple[str, ...], ending: str = '') -> dict[str, str]:
  """File name without `ending` and suffix -> path, sorted, of the files in a folder that have both. Leaves out hidden
  files; empty if the folder does not exist."""
  found = {}
  for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in suffixes and stem.endswith(ending) and not name.startswith('.'):
      found[stem.removesuffix(ending)] = os.path.join(folder, name)
  return found
