"""Draws what adaptive affinity fields learned: the softmaxed edge and non-edge weights, a row a class, a column a size,
from a checkpoint of train_aaf.py (the paper's figure). Shades run from the smallest to the largest weight drawn; equal
weights, where training starts, are all 1 / sizes."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors

CELL, MARGIN = (72, 18), 12  # pixels: width and height of a cell, space around
SHADES = ((255, 255, 255), (8, 48, 107))  # of the smallest and the largest weight
NARROWEST = 0.02  # the shades span at least this, so that rounding does not look like a result


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  parser.add_argument('checkpoint', help='such as SNAPSHOTS/model.ckpt-30000')
  parser.add_argument('output', help='picture to write, for example weights.png')
  parser.add_argument('--names', default='', help='file of class names, one a line; default: by number of classes')
  args = parser.parse_args(argv)
  weights = read_weights(args.checkpoint)

  from utils.atomic import write_png
  from utils.data.labels import class_names

  names = class_names(len(weights['edge']), args.names)
  for i, name in enumerate(names):
    row = '  '.join(f'{kind} ' + ' '.join(f'{w:.3f}' for w in table[i]) for kind, table in weights.items())
    print(f'{name}: {row}')
  write_png(args.output, draw(weights, names))
  print(f'drawn: {args.output}')


def read_weights(prefix: str) -> dict:
  """'edge' and 'non-edge' -> softmaxed weights [classes, sizes]."""
  import scipy.special

  from utils.engine.checkpoint import Reader

  reader = Reader(prefix)
  weights = {}
  for kind, name in (('edge', 'edge_w'), ('non-edge', 'nonedge_w')):
    if name not in reader.shapes:
      raise errors.InputError(f'{prefix}: holds no {name}; name a checkpoint of train_aaf.py')
    raw = reader.get(name)
    weights[kind] = scipy.special.softmax(raw.reshape(-1, raw.shape[-1]), -1)
  return weights


def draw(weights: dict, names: list[str]):
  """The picture, uint8 RGB: one table beside the other, the darker the heavier."""
  import numpy as np
  from PIL import Image, ImageDraw, ImageFont

  font = ImageFont.load_default(12)
  label = max(int(font.getlength(name)) for name in names) + MARGIN
  sizes = len(next(iter(weights.values()))[0])
  table = sizes * CELL[0] + MARGIN
  height = (len(names) + 3) * CELL[1] + 2 * MARGIN
  low, high = span(np.concatenate([values.ravel() for values in weights.values()]))
  image = Image.new('RGB', (MARGIN + label + len(weights) * table, height), 'white')
  pen = ImageDraw.Draw(image)
  top = MARGIN + 2 * CELL[1]

  def write(x, y, text, anchor='mm', fill='black'):
    pen.text((x, y), text, fill, font, anchor)

  write(image.width - 2 * MARGIN, height - MARGIN, f'white {low:.3f}, blue {high:.3f}', 'rm', 'dimgrey')
  for row, name in enumerate(names):
    write(MARGIN + label - 6, top + (row + 0.5) * CELL[1], name, 'rm')
  for number, (kind, values) in enumerate(weights.items()):
    left = MARGIN + label + number * table
    write(left + sizes * CELL[0] / 2, MARGIN + CELL[1] / 2, f'{kind} weights')
    for column in range(sizes):
      side = 2 * column + 3
      write(left + (column + 0.5) * CELL[0], MARGIN + 1.5 * CELL[1], f'{side}x{side}')
      for row, value in enumerate(values[:, column]):
        x, y = left + column * CELL[0], top + row * CELL[1]
        depth = (value - low) / (high - low)
        shade = tuple(int(round(a + (b - a) * depth)) for a, b in zip(*SHADES, strict=True))
        pen.rectangle((x, y, x + CELL[0] - 2, y + CELL[1] - 2), shade, 'lightgrey')
        write(x + CELL[0] / 2, y + CELL[1] / 2, f'{value:.3f}', fill='white' if depth > 0.5 else 'black')
  return np.asarray(image)


def span(values) -> tuple[float, float]:
  """The weights that the shades begin and end at."""
  middle = (values.min() + values.max()) / 2
  half = max(values.max() - values.min(), NARROWEST) / 2
  return middle - half, middle + half


if __name__ == '__main__':
  sys.exit(errors.run(main))
