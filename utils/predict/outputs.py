"""What a prediction run reads and where it writes, settled and checked before TensorFlow loads.

Conventions: images are uint8 RGB [h, w, 3], scores float32 [h, w, C]. Image DIR/NAME.jpg is predicted to KIND/NAME.png
below the output folder, whatever DIR is; of --image-dir, and where names repeat in a list, the sub-folders are kept. So
nothing is written outside it. TIFF images are predicted to TIFF.
"""

import collections
import contextlib
import os
import pathlib

import numpy as np

from utils.errors import InputError
from utils.files import claim, make_folder, whole_file, write_png
from utils.images import list_images
from utils.labels import VOID, Classes, blend, colour, read_colormap, write_classes
from utils.lists import read_list
from utils.predict.tiff import is_tiff


class Outputs:
  """The files that a run writes of each image."""

  def __init__(self, args):
    self.folder, self.as_palette, self.root = pathlib.Path(args.save_dir), args.palette, args.image_dir
    self.least = args.min_confidence
    self.video = self.folder / 'video' / (pathlib.Path(args.video).stem + '.mp4') if args.video else None
    self.colours = read_colormap(args.colormap) if args.colormap else args.classes.colours
    if len(self.colours) < args.num_classes:
      raise InputError(
        f'--colormap {args.colormap}: has {len(self.colours)} colours for --num-classes {args.num_classes}; '
        'take one with a colour a class, or leave the flag out'
      )
    self.classes = Classes(args.classes.names, self.colours[: args.num_classes])
    self.kinds = {'gray': '.png'} if args.video else {'gray': '.png', 'color': '.png'}
    self.kinds |= {'overlay': '.png'} if args.overlay else {}
    self.kinds |= {'confidence': '.png'} if args.confidence else {}
    self.kinds |= {'probs': '.npy'} if args.save_probs else {}

  def name(self, image_path: str) -> str:
    """The image's name below each kind's folder, without suffix."""
    below = os.path.relpath(image_path, self.root) if self.root else os.path.basename(image_path)
    return os.path.splitext(below)[0]

  def keep_folders(self, paths: list[str]) -> None:
    """Names the outputs by the images' paths below the folder that holds all, where two images have one name."""
    names = {os.path.splitext(os.path.basename(path))[0] for path in paths}
    if not self.root and len(names) < len(paths):
      self.root = os.path.commonpath([os.path.dirname(path) or '.' for path in paths]) or '.'

  def frame(self, number: int) -> str:
    """What stands for a frame of the video where an image's path is asked for."""
    return f'{self.video.stem}_{number:06}.png'

  def path(self, kind: str, image_path: str) -> pathlib.Path:
    suffix = '.tif' if is_tiff(image_path) else self.kinds[kind]
    return self.folder / kind / (self.name(image_path) + suffix)

  def all_there(self, image_path: str) -> bool:
    paths = [self.path(kind, image_path) for kind in self.kinds]
    return all(path.is_file() and path.stat().st_size for path in paths)

  def write(self, path: str, image: np.ndarray, score: np.ndarray) -> None:
    """Writes all outputs of one image, class ids last, so that what has class ids has everything."""
    labels, confidence = self.labels(*decided(score))
    pixels = colour(labels, self.colours)
    if 'probs' in self.kinds:
      with whole_file(self.path('probs', path)) as temporary, open(temporary, 'wb') as f:
        np.save(f, (score / score.sum(-1, keepdims=True)).astype(np.float16))
    if 'confidence' in self.kinds:
      write_png(self.path('confidence', path), confidence)
    if 'overlay' in self.kinds:
      write_png(self.path('overlay', path), blend(image, pixels))
    if 'color' in self.kinds:
      write_png(self.path('color', path), pixels)
    write_png(self.path('gray', path), labels, self.colours if self.as_palette else None)

  def labels(self, classes: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class ids, void where the confidence is below --min-confidence, and the confidence in 255ths, uint8 [h, w]."""
    return certain(classes, confidence, self.least), np.rint(255 * confidence).astype(np.uint8)

  @contextlib.contextmanager
  def claim(self, shard: tuple[int, int] | None):
    """Holds the folder, made if need be, for the process that predicts this part of the images. Other parts may be
    predicted at the same time, but not parts of another number of parts: they would overlap."""
    part, parts = shard or (1, 1)
    make_folder('--save-dir', self.folder)
    with claim(self.folder, f'part-{part}-of-{parts}'):
      for other in self.folder.glob('.part-*-of-*'):
        if not other.name.endswith(f'-of-{parts}'):
          with claim(self.folder, other.name[1:]):  # nobody holds it: a killed process left it
            pass
      write_classes(self.folder, self.classes)
      yield


def class_map(score: np.ndarray) -> np.ndarray:
  """The best class of each pixel: [h, w, C] -> uint8 [h, w]."""
  return np.argmax(score, -1).astype(np.uint8)


def decided(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Scores [h, w, C] -> the best class of each pixel, uint8 [h, w], and its confidence, float32 [h, w]: its share
  of the pixel's scores, which is the mean softmax probability over windows, scales and flips.
  """
  return class_map(score), np.max(score, -1) / np.sum(score, -1)


def certain(classes: np.ndarray, confidence: np.ndarray, least: float) -> np.ndarray:
  """The class ids, void where the confidence is below `least`: uint8 [h, w]."""
  return np.where(confidence < least, np.uint8(VOID), classes)


def images_to_do(args, outputs: Outputs) -> list[str]:
  """The image files of this run: all, or the shard's.

  Raises:
    InputError: none at all, two that would write the same file, or one that an output would replace.
  """
  written = {os.path.realpath(outputs.folder / kind) for kind in outputs.kinds}
  paths = _images(args, written)
  if len(set(paths)) == len(paths):
    outputs.keep_folders(paths)
  _check_names(paths, outputs)
  for path in paths:
    if os.path.realpath(os.path.dirname(path)) in written:
      raise InputError(f'{path}: lies where the outputs go; name another --save-dir than {outputs.folder}')
  if args.shard:
    paths = paths[args.shard[0] - 1 :: args.shard[1]]
  return paths


def _images(args, written: set[str]) -> list[str]:
  if args.data_list:
    return [pair.image for pair in read_list(args.data_list, args.data_dir, need_label=False)]
  if args.image_dir:
    return list_images(args.image_dir, skip=written)
  for path in args.image:
    if not os.path.isfile(path):
      what = 'is a folder; give --image-dir for all its images' if os.path.isdir(path) else 'no such file'
      raise InputError(f'--image {path}: {what}')
  return args.image


def _check_names(paths, outputs):
  by_name = collections.defaultdict(list)
  for path in paths:
    by_name[outputs.name(path)].append(path)
  for name, same in by_name.items():
    if same[1:] and same[0] == same[1]:
      raise InputError(f'{same[0]}: is to be predicted twice; name every image once')
    if same[1:]:
      raise InputError(f'{same[0]} and {same[1]} would both be written to {name}; predict them to two --save-dir')
