"""Prediction of large TIFF images in bands of rows: memory grows with the width, not with the height.

Windows move from left to right and down. The softmax of overlapping windows is added up for one window, and kept over
the whole width for those rows alone that windows further down reach too. At one scale, not mirrored, this gives what
`windows.scores` gives, to the last bit.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from tqdm import tqdm

from network.common.layers import MEAN
from utils.files import whole_file
from utils.labels import blend, colour
from utils.predict.tiff import TILE, TiffReader, as_rgb, regrouped, write_tiff
from utils.predict.windows import coverage, probabilities_of, window_starts


def predict_tiff(path: str, outputs, probabilities, window, strides, batch_size: int) -> None:
  """Writes the outputs of one TIFF image as TIFF, class ids last; the network and windows as in `windows.scores`.

  Raises:
    InputError: the image cannot be read.
    OSError: an output cannot be written.
  """
  with TiffReader(path) as image, whole_file(outputs.path('gray', path)) as class_ids:
    bands = class_bands(map(as_rgb, image.bands()), image.size, probabilities, window, strides, batch_size)
    write_tiff(class_ids, bands, image.size, image, outputs.colours if outputs.as_palette else None)
    for kind in outputs.kinds.keys() - {'gray'}:
      with TiffReader(class_ids, class_ids=True) as labels, whole_file(outputs.path(kind, path)) as temporary:
        bands = (colour(band[..., 0], outputs.colours) for band in regrouped(labels.bands(), TILE))
        if kind == 'overlay':
          pictures = regrouped(map(as_rgb, image.bands()), TILE)
          bands = (blend(*pair) for pair in zip(pictures, bands, strict=True))
        write_tiff(temporary, bands, image.size, image)


def class_bands(
  bands: Iterable[np.ndarray],
  size: tuple[int, int],
  probabilities: Callable,
  window: tuple[int, int],
  strides: tuple[int, int],
  batch_size: int,
) -> Iterator[np.ndarray]:
  """Yields the class ids of an image, uint8 [n, w], from top to bottom, given its pixels, uint8 RGB [n, w, 3]."""
  padded = [max(side, least) for side, least in zip(size, window, strict=True)]
  starts = [window_starts(*axis) for axis in zip(padded, window, strides, strict=True)]
  rows, columns = (list(itertools.pairwise([*axis, side])) for axis, side in zip(starts, padded, strict=True))
  in_height, in_width = (coverage(*axis).numpy() for axis in zip(starts, window, padded, strict=True))
  scores = probabilities_of(cut_windows(bands, size, starts, window), probabilities, batch_size)
  overlap = max(y + window[0] - next_y for y, next_y in rows)
  sums = None
  with tqdm(desc='predicting', unit='window', total=len(rows) * len(columns)) as bar:
    for y, next_y in rows:
      class_ids = np.empty((next_y - y, padded[1]), np.uint8)
      for (x, next_x), (_, score) in zip(columns, scores, strict=False):
        sums = sums or MovingSums(score.shape, overlap, padded[1])
        sums.add(x, score)
        mean = sums.move(x, next_x - x, next_y - y) / in_height[y:next_y, np.newaxis, np.newaxis]
        mean /= in_width[x:next_x, np.newaxis]
        class_ids[:, x:next_x] = np.argmax(mean, -1)
        bar.update()
      sums.move_down(next_y - y)
      yield class_ids[: size[0] - y, : size[1]]


class MovingSums:
  """The sums of the softmax of windows [H, W, C] that move from left to right and down and overlap.

  Args:
    overlap: the most rows that a window shares with those below.
    width: of the image.
  """

  def __init__(self, window: tuple[int, int, int], overlap: int, width: int):
    self.window = window
    self.from_above = np.zeros((overlap, width, window[2]), np.float32)
    self.rows_from_above = 0  # of the window's rows, the first ones: windows above have added to them
    self.sums = None  # of the window

  def add(self, x: int, score: np.ndarray) -> None:
    """Adds the score [H, W, C] of the window whose left column is `x`."""
    if x == 0:
      self.sums = self.columns(0, self.window[1])
    self.sums += score

  def columns(self, left: int, right: int) -> np.ndarray:
    """[H, n, C]: what windows above have added to these columns of the image."""
    width = self.from_above.shape[1]
    block = np.zeros((self.window[0], min(right, width) - left, self.window[2]), np.float32)
    block[: self.rows_from_above] = self.from_above[: self.rows_from_above, left:right]
    return block

  def move(self, x: int, right: int, down: int) -> np.ndarray:
    """Moves to the next window, `right` pixels to the right of `x`; the next row of windows is `down` pixels below.
    Returns the sums [down, right, C] at the window's top left, which no other window reaches."""
    finished = self.sums[:down, :right]
    self.from_above[: self.window[0] - down, x : x + right] = self.sums[down:, :right]
    next_columns = self.columns(x + self.window[1], x + self.window[1] + right)
    self.sums = np.concatenate([self.sums[:, right:], next_columns], 1)
    return finished

  def move_down(self, down: int) -> None:
    self.rows_from_above = self.window[0] - down


def cut_windows(bands, size, starts, window) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
  """Yields ((y, x), pixels) of every window, row of windows by row of windows: float32 [H, W, 3] minus the mean, zeros
  beyond the image."""
  bands = regrouped(bands, TILE)
  rows, top = next(bands), 0
  for y in starts[0]:
    rows, top = rows[y - top :], y
    while len(rows) < min(window[0], size[0] - y):
      rows = np.concatenate([rows, next(bands)])
    for x in starts[1]:
      pixels = np.zeros((*window, 3), np.float32)
      cut = rows[: window[0], x : x + window[1]]
      np.subtract(cut, np.float32(MEAN), out=pixels[: cut.shape[0], : cut.shape[1]])
      yield (y, x), pixels
