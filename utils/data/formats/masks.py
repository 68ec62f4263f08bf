"""Masks as pictures of another kind than class ids: colours, with the table that says which class has which, and ids
that count from 1 because 0 is what nobody labelled (ADE20K)."""

import numpy as np

from utils import image_file, list_file
from utils.data.labels import VOID
from utils.errors import InputError

Colour = tuple[int, int, int]
CODE = np.array((1 << 16, 1 << 8, 1), np.uint32)


def read_table(path: str) -> dict[Colour, str]:
  """Colour -> class name, from lines `r g b name`. Several colours may have one name; # begins a comment.

  Raises:
    InputError: it cannot be read, a line is none of these, or a colour stands there twice.
  """
  table = {}
  for number, line in enumerate(list_file.text_lines(path, 'a colour table'), 1):
    words = line.split('#')[0].replace(',', ' ').split(maxsplit=3)
    if not words:
      continue
    if len(words) < 4 or not all(word.isdecimal() and int(word) < 256 for word in words[:3]):
      raise InputError(
        f'{path} line {number}: `{line.strip()}` is not `r g b name`; write for example `128 64 128 road`'
      )
    colour = tuple(map(int, words[:3]))
    if colour in table:
      raise InputError(f'{path} line {number}: the colour {colour} is there already, as {table[colour]}; remove one')
    table[colour] = words[3].strip()
  if not table:
    raise InputError(f'{path}: holds no line `r g b name`; write one a colour')
  return table


def lookup(class_ids: dict[Colour, int]) -> np.ndarray:
  """A table int16 [2^24]: a colour's code -> class id, -1 for every other colour."""
  table = np.full(1 << 24, -1, np.int16)
  for colour, class_id in class_ids.items():
    table[np.dot(colour, CODE)] = class_id
  return table


def read_colours(path: str, table: np.ndarray, mend: str) -> np.ndarray:
  """Class ids, uint8 [H, W], of a picture's colours (grey and palettes are colours too).

  Raises:
    InputError: the picture is a JPEG or damaged, or has a colour that the table lacks; `mend` says what to do then.
  """
  with image_file.open_picture(path) as image:
    if image.format == 'JPEG':
      raise InputError(f'{path}: is JPEG, which changes colours; save masks as PNG')
    rgb = np.asarray(image.convert('RGB'))
  return from_colours(path, rgb, table, mend)


def from_colours(path: str, rgb: np.ndarray, table: np.ndarray, mend: str) -> np.ndarray:
  """As `read_colours`, of the picture's colours, uint8 [H, W, 3]."""
  ids = table[rgb @ CODE]
  unknown = ids < 0
  if unknown.any():
    row, column = np.argwhere(unknown)[0]
    number = len(np.unique(rgb[unknown] @ CODE))
    raise InputError(
      f'{path}: the pixel at x {column}, y {row} has the colour {tuple(rgb[row, column].tolist())}, which is no '
      f"class's ({unknown.sum()} pixels, {number} such colours); {mend}"
    )
  return ids.astype(np.uint8)


def read_zero_is_void(path: str, ignore_label: int = VOID) -> np.ndarray:
  """Class ids, uint8 [H, W]: 0 and `ignore_label` become void (255), as 255 stays; k becomes k - 1.

  Raises:
    InputError: no mask of ids, or an id above 255.
  """
  label = image_file.read_label(path)
  if label.min() < 0 or label.max() > VOID:
    raise InputError(f'{path}: holds {label.max()}, and class ids end at {VOID}; are these instance ids?')
  void = (label == 0) | (label == VOID) | (label == ignore_label)
  return np.where(void, VOID, label - 1).astype(np.uint8)
