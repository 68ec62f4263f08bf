"""Classes: their names and colours, from files beside lists, runs and predictions; labels drawn in colours.

A class id is a *train id*: 0 .. number of classes - 1; Cityscapes' files number their labels otherwise, by *label id*.
A palette is uint8 RGB [n, 3]. Loads no TensorFlow.

`classes.csv` (columns id, name, r, g, b) or `classes.txt` (names alone, one a line) stands beside the lists of a data
set. Training copies it into the run's folder, and prediction from there beside its outputs. Nothing is guessed from a
number of classes.
"""

from __future__ import annotations

import csv
import io
import os
import pathlib
from typing import NamedTuple

import numpy as np
import scipy.io

from utils import files
from utils.errors import InputError

VOID = 255  # the label of pixels that are not counted, in all these data sets
CSV, TEXT = 'classes.csv', 'classes.txt'
COLUMNS = ['id', 'name', 'r', 'g', 'b']


class Classes(NamedTuple):
  """Names and colours (uint8 [n, 3]) of classes 0 .. n - 1."""

  names: list[str]
  colours: np.ndarray


def numbered(number: int) -> Classes:
  """`class 0`, `class 1`, ... in VOC's colours."""
  return Classes([f'class {i}' for i in range(number)], voc_colours(number))


def choose_classes(num_classes: int, given: str = '', *beside) -> Classes:
  """The classes of a run.

  Args:
    given: the file of --class-names; empty: none.
    beside: lists or folders; the first that has a file of classes beside it (or in it) counts.

  Raises:
    InputError: the file does not have `num_classes` classes, or cannot be read.
  """
  path = given or next(filter(None, map(_file_beside, filter(None, beside))), None)
  if path is None:
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
  """The classes of a file: `classes.csv`, lines `r g b name`, or names alone, in VOC's colours, one line per class.

  Raises:
    InputError: it cannot be read, or a line is none of these.
  """
  lines = [line.strip() for line in files.text_lines(path, 'a file of classes, one line per class') if line.strip()]
  if lines and [word.strip().lower() for word in lines[0].split(',')] == COLUMNS:
    return _from_rows(path, list(csv.reader(lines[1:])))
  tables = [_colour_and_name(line) for line in lines]
  if lines and all(tables):
    return Classes([name for _, name in tables], np.array([colour for colour, _ in tables], np.uint8))
  return Classes(lines, voc_colours(len(lines)))


def _from_rows(path, rows) -> Classes:
  names, colours = [], []
  for number, row in enumerate(rows):
    try:
      class_id, name, *colour = row
      colour = [int(value) for value in colour]
      if int(class_id) != number or len(colour) != 3 or not 0 <= min(colour) <= max(colour) <= 255:
        raise ValueError
    except ValueError:
      raise InputError(
        f'{path} line {number + 2}: `{",".join(row)}` is not `{number},NAME,R,G,B` (ids from 0 on, colours 0 to 255)'
      ) from None
    names.append(name)
    colours.append(colour)
  return Classes(names, np.array(colours, np.uint8).reshape(-1, 3))


def _colour_and_name(line: str):
  """((r, g, b), name) of a line `r g b name`, None where it is something else."""
  words = line.replace(',', ' ').split(maxsplit=3)
  try:
    colour = tuple(int(word) for word in words[:3])
  except ValueError:
    return None
  return (colour, words[3]) if len(words) == 4 and 0 <= min(colour) <= max(colour) <= 255 else None


def write_classes(folder, classes: Classes) -> None:
  """Writes FOLDER/classes.csv."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  writer.writerows([i, name, *map(int, c)] for i, (name, c) in enumerate(zip(*classes, strict=True)))
  files.write_text(os.path.join(folder, CSV), text.getvalue())


VOC_CLASSES = [
  'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
  'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
]  # fmt: skip

CAMVID_CLASSES = [
  'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'signsymbol', 'fence', 'car', 'pedestrian', 'bicyclist',
]  # fmt: skip

_CAMVID_COLOURS = bytes.fromhex('808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0')


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


# Source: the data set's label definitions, https://github.com/mcordts/cityscapesScripts (helpers/labels.py), and the
# class sizes of its evaluation.
CITYSCAPES_LABELS = tuple(
  CityscapesLabel(*row)
  for row in (
    ('unlabeled', 0, 255, 'void', 0, (0, 0, 0)),
    ('ego vehicle', 1, 255, 'void', 0, (0, 0, 0)),
    ('rectification border', 2, 255, 'void', 0, (0, 0, 0)),
    ('out of roi', 3, 255, 'void', 0, (0, 0, 0)),
    ('static', 4, 255, 'void', 0, (0, 0, 0)),
    ('dynamic', 5, 255, 'void', 0, (111, 74, 0)),
    ('ground', 6, 255, 'void', 0, (81, 0, 81)),
    ('road', 7, 0, 'flat', 0, (128, 64, 128)),
    ('sidewalk', 8, 1, 'flat', 0, (244, 35, 232)),
    ('parking', 9, 255, 'flat', 0, (250, 170, 160)),
    ('rail track', 10, 255, 'flat', 0, (230, 150, 140)),
    ('building', 11, 2, 'construction', 0, (70, 70, 70)),
    ('wall', 12, 3, 'construction', 0, (102, 102, 156)),
    ('fence', 13, 4, 'construction', 0, (190, 153, 153)),
    ('guard rail', 14, 255, 'construction', 0, (180, 165, 180)),
    ('bridge', 15, 255, 'construction', 0, (150, 100, 100)),
    ('tunnel', 16, 255, 'construction', 0, (150, 120, 90)),
    ('pole', 17, 5, 'object', 0, (153, 153, 153)),
    ('polegroup', 18, 255, 'object', 0, (153, 153, 153)),
    ('traffic light', 19, 6, 'object', 0, (250, 170, 30)),
    ('traffic sign', 20, 7, 'object', 0, (220, 220, 0)),
    ('vegetation', 21, 8, 'nature', 0, (107, 142, 35)),
    ('terrain', 22, 9, 'nature', 0, (152, 251, 152)),
    ('sky', 23, 10, 'sky', 0, (70, 130, 180)),
    ('person', 24, 11, 'human', 3462.4756337644, (220, 20, 60)),
    ('rider', 25, 12, 'human', 3930.4788056518, (255, 0, 0)),
    ('car', 26, 13, 'vehicle', 12794.0202738185, (0, 0, 142)),
    ('truck', 27, 14, 'vehicle', 27855.1264367816, (0, 0, 70)),
    ('bus', 28, 15, 'vehicle', 35732.1511111111, (0, 60, 100)),
    ('caravan', 29, 255, 'vehicle', 36771.8241758242, (0, 0, 90)),
    ('trailer', 30, 255, 'vehicle', 16926.9763313609, (0, 0, 110)),
    ('train', 31, 16, 'vehicle', 67583.7075812274, (0, 80, 100)),
    ('motorcycle', 32, 17, 'vehicle', 6298.7200839748, (0, 0, 230)),
    ('bicycle', 33, 18, 'vehicle', 4672.3249222261, (119, 11, 32)),
    ('license plate', -1, 255, 'vehicle', 0, (0, 0, 142)),
  )
)
# The 19 labels that count, in the order of their train ids.
CITYSCAPES_TRAINED = tuple(sorted((x for x in CITYSCAPES_LABELS if x.train_id != VOID), key=lambda x: x.train_id))
CITYSCAPES_CLASSES = [label.name for label in CITYSCAPES_TRAINED]


def cityscapes_train_ids() -> np.ndarray:
  """A look-up table, uint8 [256]: label id -> train id, 255 for every id that does not count."""
  table = np.full(256, VOID, np.uint8)
  for label in CITYSCAPES_TRAINED:
    table[label.id] = label.train_id
  return table


def cityscapes_label_ids() -> np.ndarray:
  """A look-up table, uint8 [19]: train id -> label id, the numbering that Cityscapes' test server reads."""
  return np.array([label.id for label in CITYSCAPES_TRAINED], np.uint8)


def voc_colours(number: int = 256) -> np.ndarray:
  """VOC's colour map: the bits of the class id, three at a time, become the high bits of R, G and B (VOCdevkit's
  VOClabelcolormap). Entry 255, VOC's void, is (224, 224, 192)."""
  ids = np.arange(number)
  colours = np.zeros((number, 3), np.uint8)
  for bit in range(8):
    for channel in range(3):
      colours[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
  return colours


def cityscapes_colours() -> np.ndarray:
  return np.array([label.colour for label in CITYSCAPES_TRAINED], np.uint8)


def known_classes(names: list[str]) -> Classes:
  """One of this module's data sets (VOC_CLASSES, CITYSCAPES_CLASSES, CAMVID_CLASSES) with its colours."""
  if names == CAMVID_CLASSES:
    return Classes(names, np.frombuffer(_CAMVID_COLOURS, np.uint8).reshape(-1, 3))
  return Classes(names, cityscapes_colours() if names == CITYSCAPES_CLASSES else voc_colours(len(names)))


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
