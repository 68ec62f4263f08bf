"""Ranks a list's images by how likely their labels are wrong, and the regions that a confident prediction contradicts.

A pixel's score s is the probability that the network gives the class of its label, averaged over 7 x 7 pixels because
borders of objects are uncertain in every image; void does not count. An image's score is the soft minimum

  sum_p s_p exp((1 - s_p) / T) / sum_p exp((1 - s_p) / T),  T = 0.1,

from 0 (wrong, the network is sure) to 1 (V. Lad and J. Mueller, Estimating label quality and errors in semantic
segmentation data via any model, 2023, arXiv 2307.05080; without the average this is cleanlab's segmentation score).
The network must not have learned these labels: rank a validation list.

Writes OUT/suspects.csv, the most suspect image first, with up to 3 regions each (connected pixels of one label and one
prediction; those first whose pixels lack most probability in all), and pictures of the first images: image, label,
prediction, the regions framed.
"""

import heapq
import os
import pathlib
import sys
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from utils import arguments, checks, errors, files, labels, lists
from utils.predict import flags

TEMPERATURE, SIDE, REGIONS = 0.1, 7, 3
COLUMNS = 'rank,image,image_score,left,top,right,bottom,pixels,given,predicted,score'
WIDEST = 640  # pixels of a picture's image, label or prediction


class Region(NamedTuple):
  """Pixels [top:bottom, left:right] in part, whose label says `given` and whose prediction says `predicted`."""

  left: int
  top: int
  right: int
  bottom: int
  pixels: int
  given: int
  predicted: int
  score: float
  lost: float  # 1 - s, summed


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  flags.add_prediction_flags(parser, multi_scale=False)
  parser.add_argument('--data-dir', default='', help="the folder that the list's paths are relative to")
  parser.add_argument('--data-list', required=True, help='one line per image: `image label`')
  parser.add_argument('--out', required=True, metavar='DIR', help='folder of suspects.csv and the pictures')
  parser.add_argument('--pictures', type=arguments.whole(0), default=25, help='of the most suspect images')
  args = flags.parse_described(parser, argv)
  if not args.out:
    raise errors.InputError('--out is empty; name a folder')
  files.check_output_file('--out', os.path.join(args.out, 'suspects.csv'))
  pairs = lists.read_list(args.data_list, args.data_dir, need_label=True)
  checks.check_pairs(pairs, args.num_classes, args.ignore_label)
  os.makedirs(args.out, exist_ok=True)
  with errors.quiet_start():
    from utils.predict import run, windows
  from utils.predict.predictor import load_network
  from utils.train.validation import read_truth

  most = run.affordable_pixels(args.num_classes, args.scales)
  images = ((pair, run.read_image(pair.image, most)) for pair in pairs)
  found = windows.scores(images, **load_network(args))
  ranked, worst = [], []
  for pair, image, score in tqdm(found, total=len(pairs), desc='ranking', unit='image'):
    label, score = read_truth(pair), score / score.sum(-1, keepdims=True)  # upright; probabilities
    prediction, quality = np.argmax(score, -1), pixel_scores(score, label)
    valid = label < args.num_classes
    suspect = soft_minimum(quality[valid]), pair.image, regions(quality, label, prediction, valid)
    ranked.append(suspect)
    seen = suspect[:2], suspect[2], [image, *(labels.colour(ids, args.classes.colours) for ids in (label, prediction))]
    worst = heapq.nsmallest(args.pictures, [*worst, seen], key=lambda item: item[0])
  ranked.sort(key=lambda suspect: suspect[:2])
  if os.path.exists(table := os.path.join(args.out, 'suspects.csv')):
    for old in pathlib.Path(args.out).glob('[0-9][0-9][0-9]_*.png'):  # of an earlier ranking
      old.unlink()
  write_table(table, ranked, args.classes.names)
  for rank, ((_, path), found, panels) in enumerate(worst, 1):
    files.write_png(os.path.join(args.out, f'{rank:03}_{pathlib.Path(path).stem}.png'), picture(panels, found))
  print(f'{args.out}: suspects.csv ranks {len(ranked)} images, {len(worst)} pictures show the first')


def pixel_scores(probabilities: np.ndarray, label: np.ndarray) -> np.ndarray:
  """The label's probability, averaged over the labelled of SIDE x SIDE pixels: [h, w, C], [h, w] -> float64 [h, w]; 1
  where there is none."""
  classes = probabilities.shape[-1]
  valid = (label < classes).astype(np.float64)
  given = np.take_along_axis(probabilities, np.minimum(label, classes - 1)[..., np.newaxis].astype(int), -1)[..., 0]
  total, number = (cv2.blur(x, (SIDE, SIDE), borderType=cv2.BORDER_CONSTANT) for x in (given * valid, valid))
  return np.where(valid, total / np.maximum(number, 1 / SIDE**2), 1)


def soft_minimum(scores: np.ndarray) -> float:
  weights = np.exp((1 - scores) / TEMPERATURE)
  return float(np.sum(scores * weights) / np.sum(weights))


def regions(quality, label, prediction, valid) -> list[Region]:
  """The regions of SIDE x SIDE pixels and more; all arguments [h, w]."""
  found = []
  both = np.where(valid & (label != prediction), label.astype(int) * 256 + prediction, -1)
  values, numbers = np.unique(both, return_counts=True)
  for value in values[(values >= 0) & (numbers >= SIDE**2)].tolist():
    _, parts, boxes, _ = cv2.connectedComponentsWithStats((both == value).astype(np.uint8))
    for part in 1 + np.flatnonzero(boxes[1:, cv2.CC_STAT_AREA] >= SIDE**2):
      left, top, width, height, pixels = boxes[part].tolist()
      scores = quality[parts == part]
      box = left, top, left + width, top + height, pixels
      found.append(Region(*box, *divmod(value, 256), soft_minimum(scores), float((1 - scores).sum())))
  return sorted(found, key=lambda region: -region.lost)[:REGIONS]


def write_table(path: str, ranked: list, names: list[str]) -> None:
  """A row for each region; one with empty columns for an image without regions."""
  rows = [COLUMNS.split(',')]
  for rank, (score, image, found) in enumerate(ranked, 1):
    for r in found or [None]:
      rest = [''] * 8 if r is None else [*r[:5], names[r.given], names[r.predicted], f'{r.score:.4f}']
      rows.append([rank, image, f'{score:.4f}', *rest])
  files.write_csv(path, rows)


def picture(panels: list[np.ndarray], found: list[Region]) -> np.ndarray:
  """Image, label and prediction side by side, uint8 RGB, with a frame around each region."""
  step = -(-panels[0].shape[1] // WIDEST)
  framed = [np.ascontiguousarray(panel[::step, ::step]) for panel in panels]
  for panel in framed:
    for region in found:
      left, top, right, bottom = (side // step for side in region[:4])
      cv2.rectangle(panel, (left - 2, top - 2), (right + 1, bottom + 1), (255, 0, 255), 1)
  return np.concatenate(framed, 1)


if __name__ == '__main__':
  sys.exit(errors.run(main))
