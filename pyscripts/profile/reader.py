"""Measures the reader of the training scripts, scaling, mirroring and cropping: images a second, and the processor time
that one takes. On a list of one's own, or on 64 images made for it (JPEG of 480 x 360 with PNG labels)."""

import functools
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.lists import Pair, read_list
from utils.profile import figures, generated


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', default='', help='the folder that the list is relative to')
  parser.add_argument('--data-list', default='', help='list file, `image label`; none: images made for it')
  parser.add_argument('--input-size', type=arguments.height_width, default=(336, 336), metavar='H,W', help='crop')
  parser.add_argument('--batch-size', type=arguments.whole(1), default=8, help='images a batch')
  parser.add_argument('--batches', type=arguments.whole(1), default=60, help='batches a measurement')
  parser.add_argument('--random-rotate', type=arguments.real(0, 180), default=0.0, help='as in training')
  parser.add_argument('--color-jitter', action='store_true', help='as in training')
  parser.add_argument('--crop-max-share', type=arguments.real(0, 1), default=1.0, help='as in training')
  parser.add_argument('--repeat', type=arguments.whole(1), default=5, help='measurements; the median is printed')
  figures.add_flag(parser)
  args = parser.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    pairs = read_list(args.data_list, args.data_dir, True) if args.data_list else draw(pathlib.Path(folder), 64)
    measure(args, {'files': pairs})


def draw(folder: pathlib.Path, number: int) -> list[Pair]:
  sizes = [(360, 480)] * number
  images = generated.photographs(folder / 'images', sizes)
  generated.label_pairs(folder, sizes, 11)
  return [Pair(str(image), str(folder / 'gt' / f'{image.stem}.png')) for image in images]


def measure(args, sources: dict[str, list[Pair]]) -> None:
  from utils.parallel import cores
  from utils.profile import timing

  batches = {name: batches_of(args, pairs) for name, pairs in sources.items()}
  cpu = {name: [] for name in sources}

  def read(name: str):
    begun = time.process_time()
    for _ in range(args.batches):
      timing.wait_for(next(batches[name]))
    cpu[name].append(time.process_time() - begun)

  seconds = timing.interleaved_seconds({name: functools.partial(read, name) for name in sources}, args.repeat)
  number, rows = args.batches * args.batch_size, []
  for name in sources:
    each = statistics.median(cpu[name][1:]) / number
    print(
      f'{name}: {number / seconds[name]:.0f} images a second; {1e3 * each:.2f} ms of processor time an image, so '
      f'{cores() / each:.0f} a second where all {cores()} cores are free'
    )
    speed = {'images/s': number / seconds[name], 'processor ms an image': 1e3 * each, 'cores': cores()}
    rows.append({'source': name, **speed})
  figures.write(args.json, rows)


def batches_of(args, pairs: list[Pair]):
  from seg_models.augmentation import Augmentation
  from seg_models.image_reader import training_dataset

  augmentation = Augmentation((0.5, 2.0), True, True, args.random_rotate, args.color_jitter, args.crop_max_share)
  dataset = training_dataset(pairs, args.batch_size, args.input_size, 255, seed=0, augmentation=augmentation)
  return iter(dataset.batch(args.batch_size).prefetch(2))


if __name__ == '__main__':
  sys.exit(errors.run(main))
