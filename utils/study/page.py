"""The pictures of a study: its HTML page, and one PNG of the same images under every method."""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils import atomic
from utils.data import datasets
from utils.score import report
from utils.study.plan import Run
from utils.study.run import predictions

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / 'pyscripts' / 'study' / 'study.html'
GAP, HEAD, WIDE = 6, 22, 240  # of the PNG, in pixels: between pictures, for the heads, what small pictures grow to


def strips(runs: list[Run], split: str, pairs, num_classes: int, width: int) -> report.Strips:
  """The images of `pairs` under each of `runs`, which are one seed's."""
  folders = [report.Folder(run.method.name, predictions(run, split, pairs), num_classes) for run in runs]
  return report.Strips(folders, num_classes, {pair.label: pair.image for pair in pairs}, width)


def evenly(pairs: list, number: int) -> list:
  """`number` of them, spread evenly over the list: nobody picked them."""
  number = min(number, len(pairs))
  return [pairs[(2 * i + 1) * len(pairs) // (2 * number)] for i in range(number)]


def page(study: dict, shown: report.Strips, pairs) -> str:
  colours = datasets.colours(len(study['classes'])).tolist()
  classes = [{**each, 'colour': '#' + bytes(rgb).hex()} for each, rgb in zip(study['classes'], colours, strict=True)]
  pictures = {'strips': [shown.of(pair.label) for pair in pairs], 'pictureWidth': shown.width}
  return report.page({**study, 'classes': classes, **pictures}, TEMPLATE)


def picture(shown: report.Strips, pairs) -> np.ndarray:
  """uint8 RGB: a row an image; photo, truth and every method's prediction side by side under their names."""
  rows = [
    {label: each for label, each in shown.pictures(pair.label).items() if not label.startswith('errors')}
    for pair in pairs
  ]
  factor = max(1, round(WIDE / max(each.width for row in rows for each in row.values())))
  rows = [{label: enlarged(each, factor) for label, each in row.items()} for row in rows]
  width = max(each.width for row in rows for each in row.values())
  heights = [max(each.height for each in row.values()) for row in rows]
  size = len(rows[0]) * (width + GAP) - GAP, HEAD + sum(heights) + GAP * (len(rows) - 1)
  canvas = Image.new('RGB', size, 'white')
  pen, font, top = ImageDraw.Draw(canvas), ImageFont.load_default(14), HEAD
  for column, label in enumerate(rows[0]):
    pen.text((column * (width + GAP), HEAD // 2), label.removeprefix('prediction '), 'black', font, 'lm')
  for row, height in zip(rows, heights, strict=True):
    for column, each in enumerate(row.values()):
      canvas.paste(each, (column * (width + GAP), top))
    top += height + GAP
  return np.asarray(canvas)


def enlarged(picture: Image.Image, factor: int) -> Image.Image:
  return picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)


def write(out: pathlib.Path, study: dict, runs: list[Run], split: str, pairs, width: int) -> None:
  """OUT/study.html and OUT/study.png; `runs`: the finished ones of one seed."""
  shown = strips(runs, split, pairs, len(study['classes']), width)
  atomic.write_text(out / 'study.html', page(study, shown, pairs))
  if pairs:
    atomic.write_png(out / 'study.png', picture(shown, pairs))
