"""What a prediction run reads and where it writes, settled and checked before TensorFlow loads.

Conventions: images are uint8 RGB [h, w, 3], scores float32 [h, w, C]. Image DIR/NAME.jpg is predicted to KIND/NAME.png
below the output folder, whatever DIR is; of --image-dir, and where names repeat in a list, the sub-folders are kept. So
nothing is written outside it. TIFF images are predicted to TIFF.
"""

import contextlib
import itertools
import os
import pathlib

import numpy as np

from utils.errors import InputError
from utils.files import Held, claim, whole_file, write_png
from utils.images import list_images
from utils.labels import CSV, VOID, Classes, blend, classes_beside, colour, read_colormap, write_classes
from utils.lists import read_list
from utils.predict.tiff import is_tiff

KINDS = ('probs', 'confidence', 'overlay', 'color', 'gray')  # in the order in which they are written


class Outputs:
  """The files that a run writes of each image."""

  def __init__(self, args):
    self.folder, self.root, self.min_confidence = pathlib.Path(args.save_dir), args.image_dir, args.min_confidence
    self.skip = args.skip_existing
    self.video = self.folder / 'video' / (pathlib.Path(args.video).stem + '.mp4') if args.video else None
    self.colours = read_colormap(args.colormap) if args.colormap else args.classes.colours
    if len(self.colours) < args.num_classes:
      raise InputError(
        f'--colormap {args.colormap}: has {len(self.colours)} colours for --num-classes {args.num_classes}; '
        'take one with one colour per class, or leave the flag out'
      )
    self.classes = Classes(args.classes.names, self.colours[: args.num_classes])
    # Of class ids. All 256 colours: with 16 or fewer Pillow stores 4 bits per pixel, and void would become a class.
    self.palette = colour(np.arange(256), self.colours) if args.palette else None
    wanted = (args.save_probs, args.confidence, args.overlay, not args.video, True)
    self.kinds = list(itertools.compress(KINDS, wanted))

  def name(self, image_path: str) -> str:
    """The image's name below each kind's folder, without suffix."""
    below = os.path.relpath(image_path, self.root) if self.root else os.path.basename(image_path)
    return os.path.splitext(below)[0]

  def keep_folders(self, paths: list[str]) -> None:
    """Names the outputs by the images' paths below the folder that holds all, where two images have one name."""
    names = {os.path.splitext(os.path.basename(path))[0] for path in paths}
    if not self.root and len(names) < len(paths):
      self.root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])

  def frame(self, number: int) -> str:
    """What stands for a frame of the video where an image's path is asked for."""
    return f'{self.video.stem}_{number:06}.png'

  def path(self, kind: str, image_path: str) -> pathlib.Path:
    suffix = '.npy' if kind == 'probs' else '.tif' if is_tiff(image_path) else '.png'
    return self.folder / kind / (self.name(image_path) + suffix)

  def all_there(self, image_path: str) -> bool:
    paths = [self.path(kind, image_path) for kind in self.kinds]
    return all(path.is_file() and path.stat().st_size for path in paths)

  def done(self, path: str) -> bool:
    """Whether all outputs of an image, or of the video, which is written behind its frames, are there."""
    if self.video:
      return self.video.is_file() and self.all_there(self.frame(1))
    return self.all_there(path)

  def write(self, path: str, image: np.ndarray, score: np.ndarray) -> None:
    """Writes all outputs of one image, class ids last, so that what has class ids has everything."""
    self.remove_others(path)
    labels, confidence = self.labels(score)
    for kind in self.kinds:
      target = self.path(kind, path)
      if kind == 'probs':
        with whole_file(target) as temporary, open(temporary, 'wb') as f:
          np.save(f, (score / score.sum(-1, keepdims=True)).astype(np.float16))
      else:
        picture = self.picture(kind, labels, confidence, image)
        write_png(target, picture, self.palette if kind == 'gray' else None)

  def remove_others(self, image_path: str) -> None:
    """Removes what an earlier run wrote of the image and this one does not: all that lies there is of one network."""
    for kind in set(KINDS) - set(self.kinds):
      self.path(kind, image_path).unlink(missing_ok=True)

  def remove_frames(self, number: int) -> None:
    """Removes the frames from `number` on, which an earlier run wrote of a longer video of this name."""
    while self.path('gray', self.frame(number)).is_file():
      for kind in KINDS:
        self.path(kind, self.frame(number)).unlink(missing_ok=True)
      number += 1

  def picture(self, kind: str, labels: np.ndarray, confidence: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What a picture of this kind holds, given what `labels` returns and the image: uint8 [h, w] or RGB [h, w, 3]."""
    if kind in ('gray', 'confidence'):
      return labels if kind == 'gray' else confidence
    pixels = colour(labels, self.colours)
    return blend(image, pixels) if kind == 'overlay' else pixels

  def labels(self, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `decided` says with --min-confidence, the confidence in 255ths: two uint8 [h, w]."""
    labels, confidence = decided(score, self.min_confidence)
    return labels, np.rint(255 * confidence).astype(np.uint8)

  @contextlib.contextmanager
  def claim(self, shard: tuple[int, int] | None):
    """Holds the folder, made if need be, for the process that predicts this part of the images. Other parts may be
    predicted at the same time, but not parts of another number of parts: they would overlap."""
    part, parts = shard or (1, 1)
    with claim(self.folder, f'part-{part}-of-{parts}'):
      for other in self.folder.glob('.part-*-of-*'):
        if not other.name.endswith(f'-of-{parts}'):
          with claim(self.folder, other.name[1:]):  # nobody holds it: a killed process left it
            pass
      there = classes_beside(os.path.join(self.folder, '')) if self.skip else None
      if there and there.names != self.classes.names:
        raise InputError(
          f'{self.folder}: holds predictions of other classes; name another --save-dir, or leave --skip-existing out'
        )
      with contextlib.suppress(Held), claim(self.folder, 'classes'):  # another part writes the same
        write_classes(self.folder, self.classes)
      yield


def class_map(score: np.ndarray) -> np.ndarray:
  """The best class of each pixel: [h, w, C] -> uint8 [h, w]."""
  return np.argmax(score, -1).astype(np.uint8)


def decided(score: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
  """Scores [h, w, C] -> the best class of each pixel, uint8 [h, w], void where its confidence is too low; and the
  confidence, float32 [h, w]: the share of the class in the pixel's scores, which is its mean softmax probability over
  windows, scales and flips.
  """
  confidence = np.max(score, -1) / np.sum(score, -1)
  return np.where(confidence < min_confidence, np.uint8(VOID), class_map(score)), confidence


def images_to_do(args, outputs: Outputs) -> list[str]:
  """The files of this run: the images, all or the shard's, or the video.

  Raises:
    InputError: none at all, two that would write the same file, or one that an output would replace.
  """
  paths = _images(args, outputs)
  outputs.keep_folders(paths)
  below = {os.path.dirname(outputs.name(path)) for path in paths}
  written = {os.path.realpath(outputs.folder / kind / folder) for kind in KINDS for folder in below}
  path_of = {}
  for path in paths:
    name = outputs.name(path)
    if path_of.get(name) == path:
      raise InputError(f'{path}: is to be predicted twice; name every image once')
    if name in path_of:
      raise InputError(f'{path_of[name]} and {path} would both be written to {name}; predict them to two --save-dir')
    path_of[name] = path
    if os.path.realpath(os.path.dirname(path)) in written:
      raise InputError(f'{path}: lies where the outputs go; name another --save-dir than {outputs.folder}')
  if args.shard:
    paths = paths[args.shard[0] - 1 :: args.shard[1]]
  return paths


def _images(args, outputs: Outputs) -> list[str]:
  if args.video and os.path.realpath(args.video) == os.path.realpath(outputs.video):
    raise InputError(f'--video {args.video}: the output would replace it; name another --save-dir than {args.save_dir}')
  if args.data_list:
    return [pair.image for pair in read_list(args.data_list, args.data_dir, need_label=False)]
  if args.image_dir:
    own, above = [os.path.realpath(outputs.folder / kind) for kind in KINDS], os.path.realpath(args.image_dir) + os.sep
    found = next((folder for folder in own if os.path.isdir(folder) and folder.startswith(above)), None)
    if found and not (outputs.folder / CSV).is_file():  # which every prediction writes
      raise InputError(f'{found}: lies where the outputs go; name another --save-dir than {outputs.folder}')
    return list_images('--image-dir', args.image_dir, skip=own)
  for path in args.image or [args.video]:
    if not os.path.isfile(path):
      what = 'is a folder; give --image-dir for all its images' if os.path.isdir(path) else 'no such file'
      raise InputError(f'--{"video" if args.video else "image"} {path}: {what}')
  return args.image or [args.video]
