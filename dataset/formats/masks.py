"""Label images that must be converted to class ids: masks of colours, with the table of the classes' colours, and masks
whose ids start at 1 because 0 is void (ADE20K)."""

import numpy as np

from utils import files, images
from utils.errors import InputError
from utils.labels import VOID

Colour = tuple[int, int, int]
RGB_TO_CODE = np.array((1 << 16, 1 << 8, 1), np.uint32)  # rgb @ RGB_TO_CODE: one number from 0 to 2^24 - 1 a colour


def read_colour_table(path: str) -> dict[Colour, str]:
  """Colour -> class name, from lines `r g b name`. Several colours may have one name; # begins a comment.

  Raises:
    InputError: it cannot be read, a line is not `r g b name`, or a colour occurs twice.
  """
  table = {}
  for number, line in enumerate(files.text_lines(path, 'a colour table'), 1):
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


def lookup_table(class_ids: dict[Colour, int]) -> np.ndarray:
  """int16 [2^24]: the code of a colour -> its class id, -1 for colours without one."""
  table = np.full(1 << 24, -1, np.int16)
  for colour, class_id in class_ids.items():
    table[np.dot(colour, RGB_TO_CODE)] = class_id
  return table


def read_colours(path: str, table: np.ndarray, advice: str) -> np.ndarray:
  """Class ids, uint8 [H, W], of an image of colours (RGB, grey or palette), by a `lookup_table`.

  Raises:
    InputError: the image is a JPEG or damaged, or has a colour that the table lacks; `advice` says what to do then.
  """
  with images.open_picture(path) as image:
    if image.format == 'JPEG':
      raise InputError(f'{path}: is JPEG, which changes colours; save masks as PNG')
    rgb = np.asarray(image.convert('RGB'))
  return from_colours(path, rgb, table, advice)


def from_colours(path: str, rgb: np.ndarray, table: np.ndarray, advice: str) -> np.ndarray:
  """As `read_colours`, from RGB values, uint8 [H, W, 3]; `path` is for the message."""
  ids = table[rgb @ RGB_TO_CODE]
  unknown = ids < 0
  if unknown.any():
    row, column = np.argwhere(unknown)[0]
    number = len(np.unique(rgb[unknown] @ RGB_TO_CODE))
    raise InputError(
      f'{path}: the pixel at x {column}, y {row} has the colour {tuple(rgb[row, column].tolist())}, which '
      f'belongs to no class ({unknown.sum()} pixels, {number} such colours); {advice}'
    )
  return ids.astype(np.uint8)


def read_zero_is_void(path: str, ignore_label: int = VOID) -> np.ndarray:
  """Class ids, uint8 [H, W]: 0, 255 and `ignore_label` become void (255), any other k becomes k - 1.

  Raises:
    InputError: it is not a label image, or holds an id above 255.
  """
  label = images.read_label(path)
  if label.min() < 0 or label.max() > VOID:
    raise InputError(f'{path}: holds {label.max()}, and class ids end at {VOID}; are these instance ids?')
  void = (label == 0) | (label == VOID) | (label == ignore_label)
  return np.where(void, VOID, label - 1).astype(np.uint8)
