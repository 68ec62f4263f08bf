"""Classes: their names and colours, from files beside lists, runs and predictions; labels drawn in colours.

A class id is a *train id*: 0 .. number of classes - 1; Cityscapes' files number their labels otherwise, by *label id*.
A palette is uint8 RGB [n, 3]. Loads no TensorFlow.

`classes.csv` (columns id, name, r, g, b) or `classes.txt` (names alone, one per line) stands beside the lists of a data
set. Training copies it into the run's folder, and prediction from there beside its outputs. Nothing is guessed from a
number of classes.
"""

from __future__ import annotations

import csv
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import scipy.io

from utils import files
from utils.errors import InputError

MISC = pathlib.Path(__file__).resolve().parents[1] / 'misc'
VOID = 255  # the label of pixels that are not counted, in all these data sets
CSV, TEXT = 'classes.csv', 'classes.txt'
COLUMNS = ['id', 'name', 'r', 'g', 'b']
_RGB = r'(?P<r>\d+){0}(?P<g>\d+){0}(?P<b>\d+)'
_SPACE = r'[ ,\t]+'
COLOUR_LINES = (
  _RGB.format(_SPACE) + _SPACE + '(?P<name>.+)',
  '(?P<name>[^:]+):' + _RGB.format(',') + '(:.*)?',
  '(?P<name>.+?)' + _SPACE + _RGB.format(_SPACE),
)


class Classes(NamedTuple):
  """Names and colours (uint8 [n, 3]) of classes 0 .. n - 1."""

  names: list[str]
  colours: np.ndarray


def numbered(number: int) -> Classes:
  """`class 0`, `class 1`, ... in VOC's colours."""
  return Classes([f'class {i}' for i in range(number)], voc_colours(number))


def choose_classes(num_classes: int, given: str = '', beside='') -> Classes:
  """The classes of a run.

  Args:
    given: the file of --class-names; empty: none.
    beside: a list or folder, with or without a file of classes beside it (or in it).

  Raises:
    InputError: the file does not have `num_classes` classes, or cannot be read.
  """
  path = given or (beside and _file_beside(beside))
  if not path:
    return numbered(num_classes)
  classes = read_classes(path)
  if len(classes.names) != num_classes:
    raise InputError(
      f'{path}: has {len(classes.names)} classes, --num-classes is {num_classes}; correct one, or name the right file '
      'with --class-names'
    )
  return classes


def classes_beside(path) -> Classes | None:
  """The classes of the file beside a list (or in a folder), None where there is none."""
  found = _file_beside(path)
  return read_classes(found) if found else None


def _file_beside(path) -> str | None:
  folder = path if os.path.isdir(path) else os.path.dirname(path)
  return next((found for name in (CSV, TEXT) if os.path.isfile(found := os.path.join(folder, name))), None)


def read_classes(path) -> Classes:
  """The classes of a file: `classes.csv`, lines as `128 64 128 road`, or names alone, in VOC's colours.

  Raises:
    InputError: it cannot be read, or a line is none of these.
  """
  text = files.read_text(path, 'a file of classes, one line per class')
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  table = [colour_and_name(line) for line in lines]
  if lines and [word.strip().lower() for word in lines[0].split(',')] == COLUMNS:
    table = []
    for number, row in enumerate(csv.reader(lines[1:])):
      found = len(row) == 5 and colour_and_name(' '.join([*row[2:], row[1]]))
      if not found or row[0].strip() != str(number):
        raise InputError(
          f'{path} line {number + 2}: `{",".join(row)}` is not `{number},NAME,R,G,B` (ids from 0 on, colours 0 to 255)'
        )
      table.append((found[0], row[1]))
  if not all(table):
    if any(table) or str(path).lower().endswith('.csv'):
      line = table.index(None)
      raise InputError(
        f'{path} line {line + 1}: `{lines[line]}` is no class with a colour, `r g b name`, as others are; give '
        'such lines, or the columns id,name,r,g,b, or names alone in a .txt file'
      )
    return Classes(lines, voc_colours(len(lines)))
  return Classes([name for _, name in table], np.array([colour for colour, _ in table], np.uint8).reshape(-1, 3))


def colour_and_name(line: str) -> tuple[tuple[int, int, int], str] | None:
  """Of a line `r g b name` or `name r g b` (commas or spaces), or CVAT's `name:r,g,b:parts:actions`; None where it is
  something else."""
  match = next(filter(None, (re.fullmatch(pattern, line) for pattern in COLOUR_LINES)), None)
  colour = tuple(int(match[channel]) for channel in 'rgb') if match else (256,)
  return (colour, match['name'].strip()) if max(colour) <= 255 else None


def write_classes(folder, classes: Classes) -> None:
  """Writes FOLDER/classes.csv."""
  rows = ([i, name, *map(int, c)] for i, (name, c) in enumerate(zip(*classes, strict=True)))
  files.write_csv(os.path.join(folder, CSV), [COLUMNS, *rows], plain=True)


def voc_colours(number: int = 256) -> np.ndarray:
  """VOC's colour map: the bits of the class id, three at a time, become the high bits of R, G and B (VOCdevkit's
  VOClabelcolormap). Entry 255, VOC's void, is (224, 224, 192)."""
  ids = np.arange(number)
  colours = np.zeros((number, 3), np.uint8)
  for bit in range(8):
    for channel in range(3):
      colours[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
  return colours


def published(name: str) -> Classes:
  """Those of a public data set, by the name in `misc/classes_NAME.csv`."""
  return read_classes(MISC / f'classes_{name}.csv')


class CityscapesLabel(NamedTuple):
  """One of Cityscapes' labels. `train_id` is 255 where the label is not counted.

  `instance_size`: the mean number of pixels of an instance in the training set, by which iIoU weighs instances; 0 for
  labels whose instances are not told apart.
  """

  name: str
  id: int
  train_id: int
  category: str
  instance_size: float
  colour: tuple[int, int, int]


def _cityscapes_labels() -> list[CityscapesLabel]:
  """The data set's label definitions, of https://github.com/mcordts/cityscapesScripts (helpers/labels.py), and the
  class sizes of its evaluation."""
  rows = list(csv.reader(files.read_text(MISC / 'cityscapes_labels.csv', 'the table of labels').splitlines()))[1:]
  return [
    CityscapesLabel(name, int(number), int(train_id), category, float(size), tuple(map(int, colour)))
    for name, number, train_id, category, size, *colour in rows
  ]


CITYSCAPES_LABELS = _cityscapes_labels()
# The 19 labels that count, in the order of their train ids.
CITYSCAPES_TRAINED = sorted((x for x in CITYSCAPES_LABELS if x.train_id != VOID), key=lambda x: x.train_id)
CITYSCAPES = Classes(
  [label.name for label in CITYSCAPES_TRAINED], np.array([label.colour for label in CITYSCAPES_TRAINED], np.uint8)
)

# Look-up tables. uint8 [19]: train id -> label id, the numbering that Cityscapes' test server reads.
CITYSCAPES_LABEL_IDS = np.array([label.id for label in CITYSCAPES_TRAINED], np.uint8)
# uint8 [256]: label id -> train id, 255 for every id that does not count.
CITYSCAPES_TRAIN_IDS = np.full(256, VOID, np.uint8)
CITYSCAPES_TRAIN_IDS[CITYSCAPES_LABEL_IDS] = np.arange(len(CITYSCAPES_LABEL_IDS))


def read_colormap(path: str) -> np.ndarray:
  """A palette from a MATLAB file that holds an [n, 3] array in [0, 1] under the file's own stem, or, from any other
  file, the colours of `read_classes`.

  Raises:
    InputError: no such file, not a MATLAB file, no such key, another shape or range.
  """
  if not path.lower().endswith('.mat'):
    return read_classes(path).colours
  key = pathlib.Path(path).stem
  try:
    content = scipy.io.loadmat(path)
  except FileNotFoundError:
    raise InputError(f'{path}: no such colormap; use misc/colormapvoc.mat or misc/colormapcs.mat') from None
  except Exception as e:  # SciPy raises whatever a damaged file makes it stumble over
    raise InputError(f'{path}: cannot be read as a MATLAB file ({e}); use for example misc/colormapvoc.mat') from None
  if key not in content:
    found = ', '.join(k for k in content if not k.startswith('__')) or 'nothing'
    raise InputError(f'{path}: holds {found}, not `{key}`; the array must be named like the file')
  colours = content[key]
  if not isinstance(colours, np.ndarray) or colours.ndim != 2 or colours.shape[1] != 3 or not len(colours):
    raise InputError(f'{path}: `{key}` has shape {getattr(colours, "shape", "none")}; it must be [n, 3]')
  if colours.dtype.kind not in 'fiu' or not np.all((colours >= 0) & (colours <= 1)):
    raise InputError(f'{path}: `{key}` must hold red, green, blue from 0 to 1; divide by 255?')
  return np.round(np.asarray(colours, np.float64) * 255).astype(np.uint8)


def colour(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
  """Class ids [..., h, w] to uint8 RGB [..., h, w, 3]."""
  table = np.zeros((256, 3), np.uint8)
  table[255] = 255
  table[: min(256, len(palette))] = palette[:256]
  return table[np.clip(labels, 0, 255)]


def blend(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
  """Half of each of two uint8 pictures, rounded up."""
  return ((image.astype(np.uint16) + pixels + 1) // 2).astype(np.uint8)
