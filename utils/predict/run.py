"""A prediction run: reads images, predicts them, and writes class ids, colours and the other outputs of the flags."""

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models import image_reader
from utils import parallel
from utils.checks import sizes
from utils.errors import InputError, RunError, one_line, os_error_line, report
from utils.files import whole_file
from utils.images import open_picture, orientation, upright
from utils.predict.predictor import load_network
from utils.predict.tiff import TILE, TiffReader, is_tiff, write_tiff
from utils.predict.windows import score_bands, scores


def predict(args, paths: list[str], outputs) -> int:
  """Predicts the images `paths`; `args` from `flags.parse`. One bad image does not stop the others. Returns the exit
  code: 1 if an image failed."""
  windows = load_network(args)
  read = functools.partial(read_image, most_pixels=affordable_pixels(args.num_classes, args.scales))
  failed = run([path for path in paths if not is_tiff(path)], read, windows, outputs)
  failed += run_tiffs([path for path in paths if is_tiff(path)], windows, outputs)
  print(f'{len(paths) - len(failed)} of {len(paths)} images predicted: {args.save_dir}')
  return report(failed)


def run(paths: list[str], read, windows: dict, outputs) -> list[str]:
  """Reads ahead, predicts and writes behind; returns a line for each image that failed, and raises as `predicted`."""
  failed = []
  with tqdm(total=len(paths), desc='predicting', unit='image', disable=not paths) as bar:

    def images():
      """(path, image) of those that can be read."""
      for reading in parallel.in_background(lambda path: (path, read(path)), paths):
        try:
          yield reading.result()
        except InputError as e:
          failed.append(one_line(e))
          bar.update()

    for _ in predicted(images(), windows, outputs):
      bar.update()
  return failed


def predicted(images: Iterable[tuple[str, np.ndarray]], windows: dict, outputs) -> Iterator[None]:
  """Predicts each (path, image) with the arguments `windows` of `scores`, and writes its outputs while the next is
  predicted; yields when an image's are written.

  Raises:
    RunError: an output cannot be written: the rest would fail alike.
  """
  with writing(outputs):
    for written in parallel.in_background(lambda found: outputs.write(*found), scores(images, **windows)):
      yield written.result()


def run_tiffs(paths: list[str], windows: dict, outputs) -> list[str]:
  """Predicts TIFF images in bands of rows; returns a line for each image that failed, and raises as `predicted`."""
  failed = []
  in_bands = {name: windows[name] for name in ('probabilities', 'window', 'strides', 'batch_size')}
  for path in paths:
    try:
      with writing(outputs):
        predict_tiff(path, outputs, in_bands)
    except InputError as e:
      failed.append(one_line(e))
  return failed


def predict_tiff(path: str, outputs, windows: dict) -> None:
  """Writes the outputs of one TIFF image as TIFF, class ids last; `windows` are the arguments of `score_bands`.

  Class ids and confidence wait in a file until the whole image is predicted, so memory does not grow with the height.
  """
  with TiffReader(path) as image, tempfile.TemporaryFile(dir=outputs.folder) as waiting:
    for score in score_bands(image.bands(), image.size, **windows):
      waiting.write(np.stack(outputs.labels(score), -1).tobytes())

    def pictures(kind):
      waiting.seek(0)
      bands = iter(lambda: waiting.read(TILE * image.size[1] * 2), b'')
      pixels = image.bands() if kind == 'overlay' else itertools.repeat(None)
      for data, rgb in zip(bands, pixels, strict=False):
        labels, confidence = np.moveaxis(np.frombuffer(data, np.uint8).reshape(-1, image.size[1], 2), -1, 0)
        yield outputs.picture(kind, labels, confidence, rgb)

    outputs.remove_others(path)
    for kind in outputs.kinds:
      with whole_file(outputs.path(kind, path)) as temporary:
        write_tiff(temporary, pictures(kind), image.size, image, outputs.palette if kind == 'gray' else None)


@contextlib.contextmanager
def writing(outputs):
  """Turns an OSError of the block, which writes outputs, into a RunError."""
  try:
    yield
  except OSError as e:
    raise RunError(
      f'--save-dir {outputs.folder}: cannot be written ({os_error_line(e)}); what is there is whole: fix it and go on '
      'with --skip-existing'
    ) from None


def read_image(path: str, most_pixels: float) -> np.ndarray:
  """uint8 RGB [h, w, 3], JPEG and PNG decoded as in training, the first picture of a BMP, GIF or WebP by Pillow.

  Raises:
    InputError: none of these, damaged, almost black (`images.check_range`), or of more than `most_pixels`.
  """
  with open_picture(path) as image:
    check_memory(path, image.height, image.width, most_pixels)
    if image.format in ('BMP', 'GIF', 'WEBP'):
      return np.ascontiguousarray(upright(np.asarray(image.convert('RGB')), orientation(image)))
  sizes(path, for_network=True)  # refuses other formats, too, and files that were cut short
  try:
    return image_reader.read_image(path)  # TensorFlow's own reading takes no names but UTF-8
  except (OSError, tf.errors.OpError) as e:
    raise InputError(f'{path}: cannot be decoded ({one_line(e)[:200]}); replace the file') from None


def check_memory(path: str, height: int, width: int, most_pixels: float) -> None:
  if width * height > most_pixels:
    raise InputError(
      f'{path}: {width} x {height} pixels do not fit into the memory of this machine, about {most_pixels:.2g} do; '
      'convert it to TIFF, which is predicted in bands of rows, or cut it into parts'
    )


def affordable_pixels(num_classes: int, scales) -> float:
  """How many pixels an image may have: at worst two views at the largest scale and four scores of the image's size
  (a view resized, the sum, one that is being written with its copy) are in memory, each [h, w, C] in float32."""
  return 0.8 * parallel.memory() / (4 * num_classes * (2 * max(1, max(scales) ** 2) + 4))
