"""Label images as people have them: ids of any depth and file format, and colours with the table of the classes'
colours."""

import contextlib
import csv
import pathlib
from collections import Counter
from typing import NamedTuple

import numpy as np
from PIL import Image

from utils import files, images
from utils.errors import InputError, one_line
from utils.labels import VOID, colour_and_name

Colour = tuple[int, int, int]
SUFFIXES = ('.png', '.gif', '.tif', '.tiff', '.bmp', '.jpg', '.jpeg', '.npy', '.webp')
RGB_TO_CODE = np.array((1 << 16, 1 << 8, 1), np.uint32)  # rgb @ RGB_TO_CODE: one number from 0 to 2^24 - 1 a colour
JPEG_TOLERANCE = 64  # grey levels, in each of R, G and B, by which JPEG changes a colour beside an edge
LARGEST_ARRAY = 1 << 31  # bytes of a .npy file


def read_colour_table(path: str) -> dict[Colour, str]:
  """Colour -> class name, from lines that `labels.colour_and_name` reads or a CSV file with columns name, r, g, b, as
  class_dict.csv and classes.csv. Several colours may have one name; # begins a comment.

  Raises:
    InputError: it cannot be read, a line is none of these, or a colour occurs twice.
  """
  table, columns = {}, None
  for number, line in enumerate(files.read_text(path, 'a colour table').splitlines(), 1):
    text = line.split('#')[0].strip()
    row = [word.strip() for word in next(csv.reader([text]), [])]
    if not text:
      continue
    if not table and {'name', 'r', 'g', 'b'} <= {word.lower() for word in row}:
      columns = [word.lower() for word in row]
      continue
    if columns:
      fields = dict(zip(columns, row, strict=False))
      text = ' '.join(fields.get(column, '') for column in ('r', 'g', 'b', 'name')).strip()
    found = colour_and_name(text)
    if found is None:
      raise InputError(
        f'{path} line {number}: `{line.strip()}` is not `r g b name`; write for example `128 64 128 road`'
      )
    colour, name = found
    if colour in table:
      raise InputError(f'{path} line {number}: the colour {colour} is there already, as {table[colour]}; remove one')
    table[colour] = name
  if not table:
    raise InputError(f'{path}: holds no line `r g b name`; write one per colour')
  return table


def lookup_table(class_ids: dict[Colour, int]) -> np.ndarray:
  """int16 [2^24]: the code of a colour -> its class id, -1 for colours without one."""
  table = np.full(1 << 24, -1, np.int16)
  for colour, class_id in class_ids.items():
    table[np.dot(colour, RGB_TO_CODE)] = class_id
  return table


def read_colours(path: str, table: np.ndarray, advice: str, tolerance: int = 0) -> tuple[np.ndarray, Counter]:
  """Class ids, uint8 [H, W], of an image of colours (RGB, grey or palette), by a `lookup_table`, and what was done.

  Transparent pixels are void. A colour that the table lacks is taken for the nearest one if no channel differs by more
  than `tolerance` (JPEG: at least JPEG_TOLERANCE; what is farther, at most a twentieth of a JPEG, is void).

  Raises:
    InputError: the image is damaged, or has a colour that belongs to no class; `advice` says what to do then.
  """
  with images.open_picture(path) as image:
    jpeg, clear = image.format in ('JPEG', 'MPO'), None
    if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info and image.mode in ('P', 'RGB', 'L'):
      clear = np.asarray(image.convert('RGBA'))[..., 3] == 0
    if image.mode.startswith('I') or image.mode == 'F':
      rgb = np.repeat(_eight_bits(path, np.asarray(image))[..., None], 3, axis=2)
    else:
      rgb = np.asarray(image.convert('RGB'))
  ids, tally = table[rgb @ RGB_TO_CODE], Counter()
  if clear is not None:
    ids[clear] = VOID
    tally['transparent|'] += int(clear.sum())
  tolerance = max(tolerance, JPEG_TOLERANCE) if jpeg else tolerance
  unknown = ids < 0
  if tolerance and unknown.any():
    known = np.flatnonzero(table >= 0)
    codes, where = np.unique(rgb[unknown] @ RGB_TO_CODE, return_inverse=True)
    palette, colours = (np.stack([c >> 16, c >> 8 & 255, c & 255], axis=1).astype(np.float32) for c in (known, codes))
    nearest = np.argmin((palette**2).sum(axis=1) - 2 * colours @ palette.T, axis=1)  # |c - p|^2 without |c|^2
    near = np.abs(palette[nearest] - colours).max(axis=1) <= tolerance
    ids[unknown] = np.where(near, table[known[nearest]], -1)[where]
    near = near[where]
    tally['nearest|'] += int(near.sum())
    if jpeg and (~near).sum() * 20 <= ids.size:
      ids[ids < 0] = VOID
      tally['far|'] += int((~near).sum())
  unknown = ids < 0
  if unknown.any():
    row, column = np.argwhere(unknown)[0]
    number = len(np.unique(rgb[unknown] @ RGB_TO_CODE))
    raise InputError(
      f'{path}: the pixel at x {column}, y {row} has the colour {tuple(rgb[row, column].tolist())}, which '
      f'belongs to no class ({unknown.sum()} pixels, {number} such colours); {advice}'
    )
  return ids.astype(np.uint8), +tally


def _eight_bits(path: str, levels: np.ndarray) -> np.ndarray:
  if levels.max(initial=0) <= 255:
    return levels.astype(np.uint8)
  if not (levels % 257).any():  # 8 bits, written twice
    return (levels // 257).astype(np.uint8)
  raise InputError(
    f'{path}: holds 16-bit grey levels ({", ".join(map(str, np.unique(levels)[:5]))}), which are ids and no colours; '
    'leave --colors out (ids up to 254), or number them with --class-map'
  )


class Mask(NamedTuple):
  """The ids that a file holds."""

  ids: np.ndarray | None  # integers [H, W]; None where only the rest is wanted
  values: dict[int, int]  # value -> pixels
  palette: dict[int, Colour]  # of a palette image: the colours of the indices in use
  as_is: bool  # training can read the file: a grey or palette PNG of 8 bits
  void: bool  # transparent pixels were made void


def read_ids(path: str) -> Mask:
  """A mask of ids: a picture of any format, or an array in a .npy file.

  Grey PNGs and TIFFs of 1, 2 and 4 bits hold ids, which decoders stretch to 255. Three equal channels are one.
  Transparent pixels (of pictures with an alpha channel) and -1 are void.

  Raises:
    InputError: it is no such file, or a picture of colours.
  """
  if pathlib.PurePath(path).suffix.lower() == '.npy':
    return _mask(path, _read_array(path), {}, False, False)
  with images.open_picture(path) as image:
    if image.format == 'TIFF':
      one_picture(path)
    label, palette, void = np.asarray(image), {}, False
    as_is = image.format == 'PNG' and image.mode in ('L', 'P')
    if image.mode == 'P':
      colours = np.asarray(image.getpalette('RGB')).reshape(-1, 3).tolist()
      palette = dict(enumerate(map(tuple, colours)))
    elif image.mode == 'L' and (bits := _bits(image, path)) in (2, 4):
      label, as_is = label // (255 // (2**bits - 1)), False
    elif image.mode in ('RGB', 'RGBA', 'LA', 'CMYK', 'YCbCr', 'PA'):
      rgba = np.asarray(image.convert('RGBA'))
      clear = rgba[..., 3] == 0 if image.mode in ('RGBA', 'LA', 'PA') else np.zeros(rgba.shape[:2], bool)
      shown = rgba[~clear]
      if (shown[:, :3] != shown[:, :1]).any():
        raise InputError(f'{path}: is a {image.mode} picture, not class ids; {_colour_advice(shown)}')
      if clear.any() and (shown[:, 0] == VOID).any():
        raise InputError(
          f'{path}: is white on transparent pixels, which are void; fill the background first, for example with '
          '`mogrify -background black -alpha remove *.png`'
        )
      label, void = np.where(clear, np.uint8(VOID), rgba[..., 0]), bool(clear.any())
    if image.format in ('JPEG', 'MPO'):
      label = _jpeg_levels(path, label)
  return _mask(path, label, palette, as_is, void)


def _mask(path: str, label: np.ndarray, palette: dict[int, Colour], as_is: bool, void: bool) -> Mask:
  ids = _whole_numbers(path, label)
  if ids.dtype == np.uint8:  # ten times as fast as np.unique
    counts = {value: pixels for value, pixels in enumerate(np.bincount(ids.ravel()).tolist()) if pixels}
  else:
    values, pixels = np.unique(ids, return_counts=True)
    counts = dict(zip(values.astype(int).tolist(), pixels.tolist(), strict=True))
  return Mask(ids, counts, {i: palette[i] for i in counts if i in palette}, as_is, void)


def _colour_advice(shown: np.ndarray) -> str:
  """Says how to write the table for pixels [n, 4] of colours, with the commonest ones as its lines."""
  codes, counts = np.unique(shown[:, :3] @ RGB_TO_CODE, return_counts=True)
  commonest = codes[np.argsort(-counts, kind='stable')][:5].astype(int)
  lines = ', '.join(f'`{code >> 16} {code >> 8 & 255} {code & 255} NAME`' for code in commonest)
  return (
    f'give --colors colors.txt, whose lines are {lines}{", ..." if len(codes) > 5 else ""} (labelmap.txt and '
    'class_dict.csv are such tables too), or save ids as a grey or palette PNG'
  )


def _read_array(path: str) -> np.ndarray:
  files.check_regular(path, 'an array [H, W] of class ids')
  if pathlib.Path(path).stat().st_size > LARGEST_ARRAY:
    raise InputError(f'{path}: has more than {LARGEST_ARRAY >> 20} MB; give an array [H, W] of class ids')
  try:
    array = np.load(path, allow_pickle=False)
  except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as e:
    raise InputError(f'{path}: is not a NumPy array ({one_line(e)}); save ids with numpy.save') from None
  shape = getattr(array, 'shape', ())  # np.load also reads archives of arrays
  if len(shape) not in (2, 3) or shape[2:] not in ((), (1,)) or 0 in shape:
    raise InputError(f'{path}: has the shape {list(shape)}, not [H, W]; save one id for each pixel')
  return array.reshape(shape[:2])


def _whole_numbers(path: str, label: np.ndarray) -> np.ndarray:
  if label.dtype == bool:
    return label.astype(np.uint8)
  if label.dtype.kind == 'f' and np.isfinite(label).all() and not (label % 1).any() and np.abs(label).max() < 2**31:
    return label.astype(np.int64)
  if label.dtype.kind not in 'iu':
    raise InputError(f'{path}: holds {label.dtype} numbers that are no whole ids; save ids as integers')
  return np.where(label == -1, VOID, label) if label.dtype.kind == 'i' and label.min() == -1 else label


def one_picture(path: str) -> None:
  """An InputError for a TIFF that is a stack: its second picture has the first one's size, and is no mask of it."""
  with images.open_picture(path) as image:
    first = image.size
    with contextlib.suppress(SyntaxError):  # of a mask of one bit, which Pillow does not read
      number = image.n_frames
      image.seek(min(1, number - 1))
      if number > 1 and image.size == first and not image.tag_v2.get(254, 0) & 4:
        raise InputError(f'{path}: {images.STACK.format(number)}')


def _bits(image: Image.Image, path: str) -> int:
  """Bits of a grey pixel in the file."""
  if image.format == 'PNG':
    with open(path, 'rb') as file:
      return file.read(25)[24]
  return int(image.tag_v2.get(258, (8,))[0]) if image.format == 'TIFF' else 8


def _jpeg_levels(path: str, label: np.ndarray) -> np.ndarray:
  """0 and 255 of a black and white JPEG, which changes levels beside edges.

  Raises:
    InputError: it is not black and white: what the levels were cannot be told.
  """
  between = (label > JPEG_TOLERANCE) & (label < 255 - JPEG_TOLERANCE)
  if between.mean() > 0.05 or (label > 127).any() and label.max() < 255 - JPEG_TOLERANCE or 0 < label.max() <= 127:
    raise InputError(f'{path}: is JPEG, which changes class ids; save masks as PNG')
  return np.where(label > 127, 255, 0).astype(np.uint8)


def photo(path: str) -> np.ndarray:
  """An image of any format as uint8 [H, W, 3], upright (EXIF's orientation applied).

  Raises:
    InputError: it cannot be decoded, or is a TIFF of more than 8 bits, whose range is not known, or a turned one.
  """
  with images.open_picture(path) as image:
    if image.format == 'TIFF':
      one_picture(path)
    turn, bits = images.orientation(image), _bits(image, path)
    if bits > 8:
      raise InputError(f'{path}: {images.DEEP.format(bits)}')
    if image.format == 'TIFF' and turn > 1:  # Pillow turns some by itself
      raise InputError(f'{path}: {images.TURNED.format(turn)}')
    return np.ascontiguousarray(images.upright(np.asarray(image.convert('RGB')), turn))
