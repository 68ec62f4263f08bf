"""Measures prediction: a batch of windows by batch size, whole multi-scale images with flips, the memory on top of the
network's, all against this machine's matrix product. Random weights and random images; decoding and writing are in the
images' time too, as far as they are not hidden behind the network."""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.predict.flags import SCALES
from utils.profile import figures, generated, training_step


def main(argv=None):
  parser = arguments.Parser(__doc__)
  arguments.add_network_flags(parser)
  arguments.add_precision_flag(parser)
  size, whole = arguments.height_width, arguments.whole(1)
  parser.add_argument('--image-size', type=size, default=(360, 480), metavar='H,W', help='of the images')
  parser.add_argument('--input-size', type=size, default=(240, 240), metavar='H,W', help='window')
  parser.add_argument('--strides', type=size, default=(160, 160), metavar='H,W', help='of the windows')
  parser.add_argument('--batch-sizes', type=whole, nargs='+', default=[1, 2, 4, 8], help='windows at a time')
  parser.add_argument('--images', type=arguments.whole(0), default=1, help='whole images to predict; 0: none')
  parser.add_argument('--repeat', type=whole, default=5, help='measurements of a batch; the median is printed')
  figures.add_flag(parser)
  parser.set_defaults(image_dir=None, video=None, colormap='', palette=False, overlay=False, save_probs=False)
  measure(parser.parse_args(argv))


def measure(args) -> None:
  import tensorflow as tf

  from utils import devices
  from utils.predict import windows
  from utils.profile import timing

  devices.grow_memory()
  model = training_step.network(args)
  gflop = timing.conv_gflop(lambda x: model(x), tf.TensorSpec([1, *args.input_size, 3]))
  windows.freeze(model)
  probabilities = windows.probability_function(model, args.input_size)
  print(f'{args.model} on {args.backbone}, {args.precision}, {gflop:.1f} GFLOP a window of {args.input_size}')
  shares, rows = {}, []  # of the matrix product
  for number in args.batch_sizes:
    batch = tf.random.stateless_normal([number, *args.input_size, 3], [0, 1], stddev=60)
    calls = {'windows': lambda batch=batch: probabilities(batch)[0, 0, 0]}
    seconds, ceiling = timing.seconds_and_ceiling(calls, args.repeat, args.precision)
    shares[number] = number * gflop / seconds['windows'] / ceiling
    print(f'{number} windows: {timing.described(seconds["windows"], number * gflop, ceiling)}', flush=True)
    rows.append({'what': f'{number} windows', 's': seconds['windows'], 'of matrix product': shares[number]})
  if args.images:
    rows.append(predict_images(args, probabilities, gflop, max(shares, key=shares.get), ceiling))
  figures.write(args.json, rows)


def predict_images(args, probabilities, gflop: float, batch_size: int, ceiling: float) -> dict:
  """Prints and returns the figures of a run over equally large images, read and written as the scripts do."""
  from utils.predict import outputs, run, windows
  from utils.profile import timing

  view = {'window': args.input_size, 'strides': args.strides}
  options = {**view, 'probabilities': probabilities, 'scales': SCALES, 'flip': True, 'batch_size': batch_size}
  with tempfile.TemporaryDirectory() as folder:
    args.save_dir = folder
    paths = list(map(str, generated.photographs(pathlib.Path(folder, 'images'), [args.image_size] * args.images)))
    read = lambda path: run.read_image(path, float('inf'))  # noqa: E731
    begun = time.perf_counter()
    memory = timing.extra_memory(lambda: run.run(paths, read, options, outputs.Outputs(args)))
    seconds = (time.perf_counter() - begun) / args.images
    image = read(paths[0])
  _, ceiling_after = timing.seconds_and_ceiling({}, args.repeat, args.precision)
  number = 2 * sum(len(windows.View(image, scale, False, **view).places) for scale in SCALES)
  ceiling = (ceiling + ceiling_after) / 2
  print(f'whole images of {args.image_size}, {batch_size} windows at a time, {number} windows an image:')
  print(f'{timing.described(seconds, number * gflop, ceiling)}, {memory:.0f} MB more memory at most')
  share = number * gflop / seconds / ceiling
  return {'what': f'each of {args.images} images', 's': seconds, 'of matrix product': share, 'more memory MB': memory}


if __name__ == '__main__':
  sys.exit(errors.run(main))
