"""Scores of parts of a data set, for example of the jobs of an array, merged into the scores of the whole.

The JSON file of a part holds, as text under `part`, what merging needs: settings, images and sums.
"""

import base64
import json
import os
import zlib
from typing import NamedTuple

import numpy as np

from utils import list_file
from utils.errors import InputError
from utils.score import counting
from utils.score.counting import Sums
from utils.score.pairs import Files

SETTINGS = ('num_classes', 'inst_dir', 'boundary', 'boundary_band', 'boundary_tolerance', 'cityscapes')


class Part(NamedTuple):
  """What one run of a benchmark script counted, and on which images and with which settings."""

  settings: dict  # name in `SETTINGS` -> value; `class 3` -> its name
  images: list[str]  # paths of the ground truth, relative to --gt-dir
  sums: Sums

  def packed(self) -> str:
    """JSON, compressed and in base64: the names of 10,000 images take 30 to 60 KB."""
    counted = {name: array.tolist() for name, array in self.sums.items()}
    return base64.b64encode(zlib.compress(json.dumps(self._replace(sums=counted)).encode(), 9)).decode()


def settings(args, names: list[str]) -> dict:
  """What must be equal in all parts: flags (of --inst-dir whether it is given) and the class names."""
  flags = {**vars(args), 'inst_dir': bool(args.inst_dir)}
  return {name: flags[name] for name in SETTINGS} | {f'class {i}': name for i, name in enumerate(names)}


def images(files: list[Files], gt_dir: str) -> list[str]:
  return [os.path.relpath(file.truth, gt_dir) for file in files]


def read(path: str) -> Part:
  """The part in a JSON file that a benchmark script wrote; raises an InputError for any other file."""
  text = '\n'.join(list_file.text_lines(path, 'the JSON file of a benchmark'))
  try:
    part = Part(*json.loads(zlib.decompress(base64.b64decode(json.loads(text)['part'], validate=True))))
  except (ValueError, LookupError, TypeError, zlib.error):
    raise InputError(f'{path}: holds no sums to merge; write it again with --json of a benchmark script') from None
  return part._replace(sums={name: np.array(values) for name, values in part.sums.items()})


def merged(paths: list[str]) -> Part:
  """The sum of all parts.

  Raises:
    InputError: a file holds no part, one has other settings than the first, or an image is in two of them.
  """
  whole, file_of = Part({}, [], {}), {}
  for path in paths:
    part = read(path)
    first = whole.settings or part.settings
    for name in [*part.settings, *first]:
      values = [x.get(name, 'missing') for x in (part.settings, first)]
      if values[0] != values[1]:
        raise InputError(
          f'{path}: {name} is {values[0]}, and {values[1]} in {paths[0]}; score all parts with the same flags'
        )
    for image in part.images:
      if image in file_of:
        raise InputError(f'{path}: {image} is scored in {file_of[image]} already; score each image in one part')
      file_of[image] = path
    whole = Part(first, whole.images + part.images, counting.add(whole.sums, part.sums))
  return whole
