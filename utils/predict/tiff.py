"""Large TIFF images (GeoTIFF too), read and written in bands of rows, so that memory does not grow with the height.

tifffile does it: pure Python, and the only common reader that decodes single tiles and strips (Pillow and OpenCV decode
whole images). It is imported here alone, as only users of TIFF need it. Without imagecodecs beside it, it decodes
uncompressed, deflate, LZMA and PackBits data.
"""

import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from utils import files, images
from utils.errors import InputError, one_line

TILE = 256  # pixels, height and width of the tiles that are written
LARGEST_PIECE = 2**28  # bytes of a decoded tile or strip
FILE_BUFFER = 2**22  # bytes that are read at a time
# Where the image lies on the earth: ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory,
# GeoDoubleParams, GeoAsciiParams (OGC GeoTIFF 1.1).
GEOREFERENCE = (33550, 33922, 34264, 34735, 34736, 34737)


def is_tiff(path) -> bool:
  return pathlib.Path(path).suffix.lower() in ('.tif', '.tiff')


def tifffile():
  """The library.

  Raises:
    InputError: it is not installed.
  """
  try:
    import tifffile as library
  except ImportError:
    raise InputError('TIFF images need tifffile; install it with `pip install tifffile`') from None
  return library


class TiffReader:
  """The first picture of a TIFF file: 8 bits, grey or RGB, alpha or not.

  `size` is (height, width), `georeference` the tags of that name. A context manager, which closes the file.

  Raises:
    InputError: no such picture, or one that cannot be read in bands.
  """

  def __init__(self, path: str):
    self.path, self.library = path, tifffile()
    with contextlib.ExitStack() as stack:
      with self.decoding():
        files.check_regular(path, 'an image')
        stream = stack.enter_context(open(path, 'rb'))
        self.file = self.library.TiffFile(stream)
        self.page = self.file.pages[0]
        problem = self.problem()
      if problem:
        raise InputError(f'{path}: {problem}')
      self.opened = stack.pop_all()
    self.size = self.page.imagelength, self.page.imagewidth
    self.georeference = [tag for tag in self.page.tags.values() if tag.code in GEOREFERENCE]

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self.opened.close()

  def problem(self) -> str | None:
    """Why it cannot be read here, and how to convert it; None if it can."""
    page, kinds = self.page, self.library.PHOTOMETRIC
    if page.dtype != np.uint8 or page.bitspersample != 8:
      return images.DEEP.format(page.bitspersample)
    if page.samplesperpixel > 4 or page.photometric not in (kinds.MINISBLACK, kinds.RGB, kinds.YCBCR):
      kind = getattr(page.photometric, 'name', page.photometric)
      return f'has {page.samplesperpixel} samples a pixel ({kind}), not grey or RGB; convert it'
    if page.planarconfig != self.library.PLANARCONFIG.CONTIG and page.samplesperpixel > 1:
      return 'stores its bands one after the other; convert it with `gdal_translate -co INTERLEAVE=PIXEL -co TILED=YES`'
    if (turn := page.tags.valueof(images.ORIENTATION)) in range(2, 9):
      return images.TURNED.format(turn)
    pages = self.file.pages
    same_size = len(pages) > 1 and pages[1].shape[:2] == page.shape[:2]  # else an overview
    if same_size and not pages[1].is_mask:
      return images.STACK.format(len(pages))
    if self.is_plain():
      missing = page.dataoffsets[0] + page.nbytes > self.file.filehandle.size
    else:
      missing = len(page.dataoffsets) < np.prod(page.chunked, dtype=np.int64)
    if missing:
      return f'claims {page.imagewidth} x {page.imagelength} pixels, and the file holds fewer; replace the file'
    if not self.is_plain() and np.prod(page.chunks, dtype=np.int64) > LARGEST_PIECE:
      return 'is compressed in pieces of over 256 MB; convert it with `gdal_translate -co TILED=YES`'
    return None

  def is_plain(self) -> bool:
    """Whether the pixels lie in the file row by row, as they are."""
    return self.page.is_contiguous and self.page.compression == self.library.COMPRESSION.NONE

  @contextlib.contextmanager
  def decoding(self):
    """Turns errors of the block, which decodes, into InputErrors."""
    try:
      yield
    except InputError:
      raise
    except Exception as e:  # tifffile and its codecs raise whatever a damaged file makes them stumble over
      if 'imagecodecs' in str(e):
        raise InputError(f'{self.path}: {one_line(e)}; install it with `pip install imagecodecs`') from None
      raise InputError(f'{self.path}: cannot be decoded ({one_line(e)[:200]}); replace the file') from None

  def bands(self) -> Iterator[np.ndarray]:
    """Yields uint8 RGB [TILE, w, 3] from top to bottom, the last of any height; grey is repeated, alpha dropped."""
    rows = 0
    with self.decoding():
      for band in regrouped(self.plain_bands() if self.is_plain() else self.decoded_bands()):
        rows += len(band)
        yield band[..., :3] if band.shape[-1] > 2 else band[..., :1].repeat(3, -1)
      if rows < self.size[0]:
        raise EOFError(f'it ends after {rows} of {self.size[0]} rows')

  def plain_bands(self):
    width, samples = self.size[1], self.page.samplesperpixel
    row = width * samples
    for y in range(0, self.size[0], TILE):
      rows = min(TILE, self.size[0] - y)
      data = self.file.filehandle.read_array(np.uint8, rows * row, self.page.dataoffsets[0] + y * row)
      yield data.reshape(rows, width, samples)

  def decoded_bands(self):
    pieces = self.page.segments(maxworkers=1, buffersize=FILE_BUFFER)
    for y, row_of_pieces in itertools.groupby(pieces, lambda piece: piece[1][2]):
      band = None
      for data, (*_, x, _), (_, height, width, samples) in row_of_pieces:
        if band is None:
          band = np.zeros((min(height, self.size[0] - y), self.size[1], samples), np.uint8)
        place = band[:, x : x + width]
        if data is not None:  # None: left out of the file, which means zeros
          place[:] = data[0, : place.shape[0], : place.shape[1]]  # tiles reach beyond the image
      yield band


def regrouped(bands: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
  """The same rows in bands of TILE rows; the last may have fewer."""
  waiting, number = [], 0
  for band in bands:
    for start in range(0, len(band), TILE):
      waiting.append(band[start : start + TILE])
      number += len(waiting[-1])
      if number >= TILE:
        joined = np.concatenate(waiting)
        yield joined[:TILE]
        waiting, number = [joined[TILE:]], number - TILE
  if number:
    yield np.concatenate(waiting)


def write_tiff(path: str, bands: Iterable[np.ndarray], size, like: TiffReader, palette=None) -> None:
  """Writes uint8 bands [TILE, w] (grey) or [TILE, w, 3] (RGB), the last of any height, as a tiled, deflated TIFF with
  the georeference of `like`.

  With a `palette`, uint8 RGB [c, 3], grey becomes a palette image.
  """
  bands = iter(bands)
  first = next(bands)
  tiles = (band[:, x : x + TILE] for band in itertools.chain([first], bands) for x in range(0, size[1], TILE))
  shape = (*size, *first.shape[2:])
  look = {'photometric': 'rgb' if first.ndim == 3 else 'minisblack'}
  if palette is not None:
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, : len(palette)] = palette.T.astype(np.uint16) * 257
    look = {'photometric': 'palette', 'colormap': colormap}
  values = [x.encode() if isinstance(x := tag.value, str) else x for tag in like.georeference]  # text may be UTF-8
  extra = [(tag.code, tag.dtype, tag.count, x, True) for tag, x in zip(like.georeference, values, strict=True)]
  with like.library.TiffWriter(path, bigtiff=np.prod(shape, dtype=np.int64) > 2**31) as writer:
    settings = {'tile': (TILE, TILE), 'compression': 'zlib', 'metadata': None, 'software': False, 'maxworkers': 1}
    writer.write(tiles, shape=shape, dtype=np.uint8, extratags=extra, **look, **settings)
