"""Draws what adaptive affinity fields learned, from a checkpoint of train_aaf.py (the paper's figure).

The softmaxed edge and non-edge weights, a row for each class, a column for each size. Shades run from the smallest to
the largest weight; equal weights, where training starts, are all 1 / sizes.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import scipy.special
from PIL import Image, ImageDraw, ImageFont

from utils import arguments, errors, runs
from utils.files import write_png
from utils.labels import choose_classes
from utils.train import flags

CELL, MARGIN = (72, 18), 12  # pixels: width and height of a cell, space around
SHADES = ((255, 255, 255), (8, 48, 107))  # of the smallest and the largest weight
NARROWEST = 0.02  # the shades span at least this, so that rounding does not look like a result


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  runs.add_checkpoint(parser)
  parser.add_argument('output', help='picture to write, for example weights.png')
  where = 'the distances [those of the config beside the checkpoint, else 1,2,...]'
  parser.add_argument('--kld-sizes', type=flags.distances, default=(), help=where)
  parser.add_argument('--names', default='', help='file of class names, one per line [that beside the checkpoint]')
  args = parser.parse_args(argv)
  args.checkpoint = args.checkpoint or runs.of_flag(args.run).checkpoint
  weights = read_weights(args.checkpoint)
  names = choose_classes(len(weights['edge']), args.names, args.checkpoint).names
  number = weights['edge'].shape[1]
  distances = args.kld_sizes or trained_sizes(args.checkpoint, number)
  if len(distances) != number:
    raise errors.InputError(f'{args.checkpoint}: has weights of {number} sizes, not of {distances}')
  for i, name in enumerate(names):
    row = '  '.join(f'{kind} ' + ' '.join(f'{w:.3f}' for w in table[i]) for kind, table in weights.items())
    print(f'{name}: {row}')
  write_png(args.output, draw(weights, names, distances))
  print(f'drawn: {args.output}')


def read_weights(prefix: str) -> dict:
  """'edge' and 'non-edge' -> softmaxed weights [classes, sizes]."""
  with errors.quiet_start():
    from utils.checkpoint import Reader

  reader = Reader(prefix)
  weights = {}
  for kind, name in (('edge', 'edge_w'), ('non-edge', 'nonedge_w')):
    if name not in reader.shapes:
      raise errors.InputError(f'{prefix}: holds no {name}; name a checkpoint of train_aaf.py')
    raw = reader.get(name)
    weights[kind] = scipy.special.softmax(raw.reshape(-1, raw.shape[-1]), -1)
  return weights


def trained_sizes(prefix: str, number: int) -> list[int]:
  """The distances of the run that the checkpoint lies in the folder of; 1, 2, ... if its config does not tell."""
  return runs.recorded(os.path.dirname(prefix)).get('kld_sizes', list(range(1, number + 1)))


def draw(weights: dict, names: list[str], distances):
  """The picture, uint8 RGB: the tables side by side; the larger a weight, the darker its cell."""
  values = np.concatenate(list(weights.values()), -1)  # [classes, tables * sizes]
  columns, sizes = values.shape[1], len(distances)
  middle, span = (values.min() + values.max()) / 2, max(np.ptp(values), NARROWEST)
  depths = (values - middle) / span + 0.5
  font = ImageFont.load_default(12)
  left = 2 * MARGIN + max(int(font.getlength(name)) for name in names)
  top, right = MARGIN + 2 * CELL[1], left + columns * CELL[0] + len(weights) * MARGIN
  image = Image.new('RGB', (right, top + (len(names) + 1) * CELL[1] + MARGIN), 'white')
  pen = ImageDraw.Draw(image)

  def write(column, row, text, anchor='mm', fill='black'):
    """Writes at a place in cells, (0, 0) being the top left corner of the first."""
    x = left + column * CELL[0] + column // sizes * MARGIN
    pen.text((x, top + row * CELL[1]), text, fill, font, anchor)

  for row, name in enumerate(names):
    write(0, row + 0.5, f'{name}  ', 'rm')
  for table, kind in enumerate(weights):
    write((table + 0.5) * sizes, -1.5, f'{kind} weights')
  for column in range(columns):
    side = 2 * distances[column % sizes] + 1
    write(column + 0.5, -0.5, f'{side}x{side}')
  for (row, column), depth in np.ndenumerate(depths):
    x, y = left + column * CELL[0] + column // sizes * MARGIN, top + row * CELL[1]
    shade = tuple(int(round(a + (b - a) * depth)) for a, b in zip(*SHADES, strict=True))
    pen.rectangle((x, y, x + CELL[0] - 2, y + CELL[1] - 2), shade, 'lightgrey')
    write(column + 0.5, row + 0.5, f'{values[row, column]:.3f}', fill='white' if depth > 0.5 else 'black')
  legend = f'white {middle - span / 2:.3f}, blue {middle + span / 2:.3f}'
  pen.text((right - 2 * MARGIN, image.height - MARGIN), legend, 'dimgrey', font, 'rm')
  return np.asarray(image)


if __name__ == '__main__':
  sys.exit(errors.run(main))
