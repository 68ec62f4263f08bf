"""The pictures of a study: its HTML page, and one PNG of the same images under every method."""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils import files, labels
from utils.lists import Pair
from utils.score import report
from utils.study.plan import Run
from utils.study.run import predictions

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / 'pyscripts' / 'study' / 'study.html'
GAP, HEAD, WIDE = 6, 22, 240  # of the PNG, in pixels: between pictures, for the heads, what small pictures grow to


def write(out: pathlib.Path, study: dict, runs: list[Run], split: str, pairs: list[Pair], width: int) -> None:
  """OUT/study.html and OUT/study.png. `runs`: the finished ones of one seed; `pairs`: the images to show of them."""
  classes = study['classes']
  runs = runs if pairs else []
  folders = [report.Folder(run.method.name, predictions(run, split, pairs), len(classes)) for run in runs]
  colours = labels.voc_colours(len(classes))
  named = labels.Classes([row['name'] for row in classes], colours)
  strips = report.Strips(folders, named, {pair.label: pair.image for pair in pairs}, width)
  hex_colours = ['#' + bytes(rgb).hex() for rgb in colours.tolist()]
  content = {
    **study,
    'classes': [{**row, 'colour': colour} for row, colour in zip(classes, hex_colours, strict=True)],
    'shown': {
      'split': split,
      'seed': next((run.seed for run in runs), None),
      'methods': [run.method.name for run in runs],
    },
    'strips': [strips.of(pair.label) for pair in pairs],
    'pictureWidth': width,
  }
  files.write_text(out / 'study.html', report.page(content, TEMPLATE))
  if pairs:
    files.write_png(out / 'study.png', picture(strips, pairs))


def evenly(pairs: list, number: int) -> list:
  """`number` of them, spread evenly over the list: nobody picked them."""
  number = min(number, len(pairs))
  return [pairs[(2 * i + 1) * len(pairs) // (2 * number)] for i in range(number)]


def picture(strips: report.Strips, pairs: list[Pair]) -> np.ndarray:
  """uint8 RGB: a row an image; photo, truth and every method's prediction side by side under their names."""
  rows = [strips.pictures(pair.label) for pair in pairs]
  labels = [label for label in rows[0] if not label.startswith('errors')]
  factor = max(1, round(WIDE / max(row['truth'].width for row in rows)))
  sizes = [(factor * row['truth'].width, factor * row['truth'].height) for row in rows]
  column_width = max(width for width, _ in sizes) + GAP
  heights = [height + GAP for _, height in sizes]
  canvas = Image.new('RGB', (len(labels) * column_width - GAP, HEAD + sum(heights) - GAP), 'white')
  pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
  for column, label in enumerate(labels):
    left = column * column_width
    pen.text((left, HEAD // 2), label.removeprefix('prediction '), 'black', font, 'lm')
    for i, (row, size) in enumerate(zip(rows, sizes, strict=True)):
      canvas.paste(row[label].resize(size, Image.Resampling.NEAREST), (left, HEAD + sum(heights[:i])))
  return np.asarray(canvas)
