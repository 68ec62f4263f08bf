"""Measures prediction: a batch of windows by batch size, whole multi-scale images with flips, the memory on top of the
network's, all against this machine's matrix product. Random weights and a random image; decoding and writing are in the
image's time too, as far as they are not hidden behind the network."""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.predict.flags import SCALES


def main(argv=None):
  parser = arguments.Parser(__doc__)
  arguments.add_network_flags(parser)
  arguments.add_precision_flag(parser)
  size, whole = arguments.height_width, arguments.whole(1)
  parser.add_argument('--image-size', type=size, default=(360, 480), metavar='H,W', help='of the image')
  parser.add_argument('--input-size', type=size, default=(240, 240), metavar='H,W', help='window')
  parser.add_argument('--strides', type=size, default=(160, 160), metavar='H,W', help='of the windows')
  parser.add_argument('--batch-sizes', type=whole, nargs='+', default=[1, 2, 4, 8], help='windows at a time')
  parser.add_argument('--images', type=arguments.whole(0), default=1, help='whole images to predict; 0: none')
  parser.add_argument('--repeat', type=whole, default=5, help='measurements of a batch; the median is printed')
  measure(parser.parse_args(argv))


def measure(args) -> None:
  import numpy as np
  import tensorflow as tf

  from seg_models.models import build
  from utils.engine import distribute, precision
  from utils.predict import windows as inference
  from utils.profile import timing

  distribute.grow_memory()
  model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
  precision.apply(model, args.precision)
  gflop = timing.conv_gflop(lambda x: model(x), tf.TensorSpec([1, *args.input_size, 3]))
  inference.freeze(model)
  probabilities = inference.probability_function(model, args.input_size)
  product, product_gflop = timing.matmul_call(args.precision)
  rng = np.random.default_rng(0)

  print(f'{args.model} on {args.backbone}, {args.precision}, {gflop:.1f} GFLOP a window of {args.input_size}')
  achieved = {}
  for batch_size in args.batch_sizes:
    windows = tf.constant(rng.normal(0, 60, (batch_size, *args.input_size, 3)), tf.float32)
    calls = {'matmul': product, 'windows': lambda windows=windows: probabilities(windows)[0, 0, 0]}
    seconds = timing.interleaved_seconds(calls, args.repeat)
    ceiling = product_gflop / seconds['matmul']
    achieved[batch_size] = batch_size * gflop / seconds['windows'] / ceiling
    print(
      f'{batch_size} windows: {seconds["windows"]:.3f} s, {batch_size * gflop / seconds["windows"]:.0f} GFLOP/s, '
      f'{100 * achieved[batch_size]:.0f}% of the matrix product ({ceiling:.0f})',
      flush=True,
    )
  if args.images:
    best = max(achieved, key=achieved.get)
    print(f'whole images, {best} windows at a time:')
    whole_images(args, probabilities, best, gflop, (product, product_gflop))


def whole_images(args, probabilities, batch_size: int, gflop: float, matmul) -> None:
  """Prints the figures of a run over equal images, written and read as the scripts do."""
  import numpy as np
  from PIL import Image

  from utils.predict import outputs, run
  from utils.predict import windows as inference
  from utils.profile import timing

  product, product_gflop = matmul
  height, width = args.image_size
  windows = {
    'probabilities': probabilities,
    'window': args.input_size,
    'strides': args.strides,
    'scales': SCALES,
    'flip': True,
    'batch_size': batch_size,
  }
  with tempfile.TemporaryDirectory() as folder:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    paths = [f'{folder}/{i}.png' for i in range(args.images)]
    for path in paths:
      Image.fromarray(pixels).save(path)
    flags = {'image_dir': None, 'video': None, 'colormap': '', 'palette': False, 'overlay': False, 'save_probs': False}
    for name, value in {**flags, 'save_dir': folder}.items():
      setattr(args, name, value)
    before = timing.median_seconds(product)
    begun = time.perf_counter()
    memory = timing.extra_memory(
      lambda: run.run(paths, lambda path: run.read_image(path, np.inf), windows, outputs.Outputs(args))
    )
    seconds = time.perf_counter() - begun
  ceiling = product_gflop / ((before + timing.median_seconds(product)) / 2)
  number = sum(len(inference.View(pixels, scale, False, args.input_size, args.strides).places) for scale in SCALES)
  tflop = 2 * number * gflop / 1e3  # an image
  achieved = 1e3 * tflop * args.images / seconds
  print(
    f'{seconds / args.images:.1f} s an image of {height} x {width} ({2 * number} windows, {tflop:.1f} TFLOP), '
    f'{achieved:.0f} GFLOP/s, {100 * achieved / ceiling:.0f}% of the matrix product ({ceiling:.0f}), '
    f'{memory:.0f} MB more memory at most'
  )


if __name__ == '__main__':
  sys.exit(errors.run(main))
