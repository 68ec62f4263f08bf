"""Generated images for the programs that measure: photographs, and predictions with ground truth and instances.

Sizes are (height, width) in pixels, one an image; files are named by number. Equal arguments make equal files.
"""

import os
import pathlib

import numpy as np
from PIL import Image


def photographs(folder: pathlib.Path, sizes, suffixes=('jpg',), seed: int = 0) -> list[pathlib.Path]:
  """Writes smooth noise, which takes about as many bytes as photographs do; the suffixes take turns."""
  folder.mkdir()
  rng = np.random.default_rng(seed)
  paths = [folder / f'{i:05}.{suffixes[i % len(suffixes)]}' for i in range(len(sizes))]
  for path, (height, width) in zip(paths, sizes, strict=True):
    noise = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
    noise.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=92, subsampling=0)
  return paths


def label_pairs(folder: pathlib.Path, sizes, num_classes: int, distinct: int = 10, seed: int = 0) -> None:
  """Writes pred/, gt/ and inst/ like those of street scenes: smooth regions, some of them void, a tenth predicted
  otherwise. Pairs after the first `distinct` are links to these."""
  for kind in ('pred', 'gt', 'inst'):
    (folder / kind).mkdir()
  rng = np.random.default_rng(seed)
  for i, (height, width) in enumerate(sizes):
    paths = {kind: folder / kind / f'{i:05}.png' for kind in ('pred', 'gt', 'inst')}
    if i >= distinct:
      for path in paths.values():
        os.link(path.with_name(f'{i % distinct:05}.png'), path)
      continue
    scores = rng.random((num_classes + 1, 8, 12), np.float32)
    truth = _best(scores, height, width)
    pred = _best(scores + 0.1 * rng.random(scores.shape, np.float32), height, width).clip(max=num_classes - 1)
    blocks = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12))
    Image.fromarray(np.where(truth < num_classes, truth, 255).astype(np.uint8)).save(paths['gt'])
    Image.fromarray(pred).save(paths['pred'])
    blocks.resize((width, height), Image.Resampling.NEAREST).save(paths['inst'])


def _best(scores: np.ndarray, height: int, width: int) -> np.ndarray:
  """The class with the highest score at each pixel: [C, h, w] -> uint8 [height, width], smoothly enlarged."""
  enlarged = [Image.fromarray(score).resize((width, height), Image.Resampling.BICUBIC) for score in scores]
  return np.argmax(enlarged, axis=0).astype(np.uint8)
