"""Measures the reader of the training scripts, scaling, mirroring and cropping: images a second, and the processor time
that one takes. On a list of one's own, or on 64 images made for it (JPEG of 480 x 360 with PNG labels)."""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.list_file import Pair, read_list
from utils.profile import generated


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', default='', help='the folder that the list is relative to')
  parser.add_argument('--data-list', default='', help='list file, `image label`; none: images made for it')
  parser.add_argument('--input-size', type=arguments.height_width, default=(336, 336), metavar='H,W', help='crop')
  parser.add_argument('--batch-size', type=arguments.whole(1), default=8, help='images a batch')
  parser.add_argument('--batches', type=arguments.whole(1), default=60, help='batches a measurement')
  parser.add_argument('--repeat', type=arguments.whole(1), default=5, help='measurements; the median is printed')
  args = parser.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    pairs = read_list(args.data_list, args.data_dir, True) if args.data_list else draw(pathlib.Path(folder), 64)
    measure(args, pairs)


def draw(folder: pathlib.Path, number: int) -> list[Pair]:
  sizes = [(360, 480)] * number
  images = generated.photographs(folder / 'images', sizes)
  generated.label_pairs(folder, sizes, 11)
  return [Pair(str(image), str(folder / 'gt' / f'{image.stem}.png')) for image in images]


def measure(args, pairs: list[Pair]) -> None:
  from seg_models.image_reader import training_dataset
  from utils.parallel import cores
  from utils.profile import timing

  augmentation = {'random_scale': True, 'random_mirror': True, 'random_crop': True}
  dataset = training_dataset(pairs, args.batch_size, args.input_size, 255, seed=0, **augmentation)
  batches = iter(dataset.batch(args.batch_size).prefetch(2))

  def read():
    for _ in range(args.batches):
      timing.wait_for(next(batches))

  seconds = timing.median_seconds(read, args.repeat)
  begun = time.process_time()
  read()
  number = args.batches * args.batch_size
  cpu = (time.process_time() - begun) / number
  print(
    f'{number / seconds:.0f} images a second; {1e3 * cpu:.2f} ms of processor time an image, so {cores() / cpu:.0f} '
    f'a second where all {cores()} cores are free'
  )


if __name__ == '__main__':
  sys.exit(errors.run(main))
