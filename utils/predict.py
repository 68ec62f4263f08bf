"""A prediction run: images in, class ids, colours and what else was asked for out."""

import collections
import concurrent.futures
import os
import pathlib

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from seg_models.image_reader import decode_image
from seg_models.models import build
from utils import checkpoint, distribute, precision
from utils.datasets import colours
from utils.errors import InputError, one_line
from utils.general import claim, list_images, read_list, whole_file, write_png
from utils.inference import class_map, probability_function, scores, windows_at_once
from utils.visualisation import colour, read_colormap

MAX_PIXELS = 2 * Image.MAX_IMAGE_PIXELS  # beyond it a file is taken for a decompression bomb


def predict(args, scales=(1.0,), flip: bool = False) -> int:
  """Runs a prediction script; `args` from inference_flags.parse. Returns the exit code: 1 if an image failed."""
  palette = read_colormap(args.colormap) if args.colormap else colours(args.num_classes)
  if len(palette) < args.num_classes:
    raise InputError(f'{args.colormap}: has {len(palette)} colours for {args.num_classes} classes; take another')
  outputs = Outputs(args, palette)
  paths = images_to_do(args, outputs)
  distribute.grow_memory()
  model = build(args.model, args.backbone, args.num_classes)
  wanted = {checkpoint.name_of(v): v for v in model.variables}
  checkpoint.restore(args.restore_from, wanted, 'check --model, --backbone and --num-classes')
  precision.apply(model, args.precision)
  probabilities = probability_function(model, args.input_size)
  batch_size = args.batch_size or windows_at_once()
  part = '-'.join(map(str, args.shard)) if args.shard else 'lock'
  with claim_folder(args.save_dir, part):
    failed = run(paths, probabilities, outputs, (args.input_size, args.strides, scales, flip, batch_size))
  for path, reason in failed:
    print(f'failed: {path}: {reason}')
  print(f'{len(paths) - len(failed)} of {len(paths)} images predicted: {args.save_dir}')
  return 1 if failed else 0


def claim_folder(folder: str, part: str):
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as e:
    raise InputError(f'--save-dir {folder}: cannot be made ({e.strerror}); name another') from None
  return claim(folder, part)


def images_to_do(args, outputs) -> list[str]:
  """The image files of this run: of the list, the shard, without those already done.

  Raises:
    InputError: none at all, or two that would write the same file.
  """
  if args.data_list:
    paths = [pair.image for pair in read_list(args.data_list, args.data_dir, need_label=False)]
  else:
    paths = args.image or list_images(args.image_dir)
  by_name = collections.defaultdict(list)
  for path in paths:
    by_name[pathlib.Path(path).stem].append(path)
  for name, same in by_name.items():
    if len(same) > 1:
      raise InputError(f'{same[0]} and {same[1]} would both be written to {name}.png; predict them to two --save-dir')
  if args.shard:
    paths = paths[args.shard[0] - 1 :: args.shard[1]]
  if args.skip_existing:
    paths = [path for path in paths if not outputs.all_there(path)]
  return paths


def run(paths, probabilities, outputs, settings) -> list[tuple[str, str]]:
  """Reads ahead, predicts and writes behind; returns (path, reason) of the images that failed."""
  window, strides, scales, flip, batch_size = settings
  failed = []
  with (
    concurrent.futures.ThreadPoolExecutor(1) as reader,
    concurrent.futures.ThreadPoolExecutor(2) as writer,
    tqdm(total=len(paths), desc='predicting', unit='image') as bar,
  ):

    def images():
      ahead = collections.deque()
      for path in [*paths, None, None]:
        ahead.append((path, reader.submit(read_image, path) if path else None))
        if len(ahead) == 3:
          path, image = ahead.popleft()
          try:
            yield path, image.result()
          except (InputError, tf.errors.OpError, OSError) as e:
            failed.append((path, one_line(e)))
            bar.update()

    writing = collections.deque()
    keyed = (((path, image), image) for path, image in images())
    for (path, image), score in scores(keyed, probabilities, window, strides, scales, flip, batch_size):
      writing.append(writer.submit(outputs.write, path, image, score))
      while len(writing) > 2:
        writing.popleft().result()
      bar.update()
    for one in writing:
      one.result()
  return failed


def read_image(path: str) -> np.ndarray:
  """uint8 RGB [h, w, 3], decoded as in training."""
  try:
    with Image.open(path) as header:
      if header.width * header.height > MAX_PIXELS:
        raise InputError(f'{header.width} x {header.height} pixels are more than {MAX_PIXELS}; cut it into parts')
    return decode_image(tf.io.read_file(path)).numpy()
  except (Image.DecompressionBombError, SyntaxError, ValueError, OSError, tf.errors.OpError) as e:
    raise InputError(f'cannot be decoded ({one_line(e)}); replace the file') from None


class Outputs:
  """Where and how predictions are written."""

  def __init__(self, args, palette):
    self.folder, self.palette, self.as_palette = pathlib.Path(args.save_dir), palette, args.palette
    self.kinds = {'gray': '.png', 'color': '.png'}
    self.kinds |= {'overlay': '.png'} if args.overlay else {}
    self.kinds |= {'probs': '.npy'} if args.save_probs else {}

  def path(self, kind: str, image_path: str) -> pathlib.Path:
    return self.folder / kind / (pathlib.Path(image_path).stem + self.kinds[kind])

  def all_there(self, image_path: str) -> bool:
    return all(self.path(kind, image_path).is_file() for kind in self.kinds)

  def write(self, path: str, image: np.ndarray, score: np.ndarray) -> None:
    """Writes all outputs of one image, class ids last, so that what has class ids has everything."""
    labels = class_map(score)
    pixels = colour(labels, self.palette)
    if 'probs' in self.kinds:
      with whole_file(self.path('probs', path)) as temporary, open(temporary, 'wb') as f:
        np.save(f, (score / score.sum(-1, keepdims=True)).astype(np.float16))
    if 'overlay' in self.kinds:
      write_png(self.path('overlay', path), cv2.addWeighted(image, 0.5, pixels, 0.5, 0))
    write_png(self.path('color', path), pixels)
    write_png(self.path('gray', path), labels, self.palette if self.as_palette else None)
