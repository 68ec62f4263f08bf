"""Measures depthwise convolutions at the sizes of DeepLabv3+ on EfficientNet-Lite0: forward, and forward with both
gradients, as the network computes them here and by TensorFlow alone. Times are medians, taken in turns."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.arguments import add_precision_flag, whole

LAYERS = (  # stride of the input, channels, kernel, stride, rate: backbone at output stride 16, pyramid, decoder
  (2, 32, 3, 1, 1),
  (2, 96, 3, 2, 1),
  (4, 144, 3, 1, 1),
  (4, 144, 5, 2, 1),
  (8, 240, 5, 1, 1),
  (8, 240, 3, 2, 1),
  (16, 480, 3, 1, 1),
  (16, 480, 5, 1, 1),
  (16, 672, 5, 1, 1),
  (16, 1152, 5, 1, 2),
  (16, 320, 3, 1, 6),
  (16, 320, 3, 1, 18),
  (4, 176, 3, 1, 1),
)


def main(argv=None) -> None:
  flags = arguments.Parser(__doc__)
  add_precision_flag(flags)
  flags.add_argument('--batch-size', type=whole(1), default=4, help='crops at a time')
  flags.add_argument('--side', type=whole(32), default=320, help='of the crops, in pixels')
  flags.add_argument('--repeat', type=whole(1), default=9, help='measurements of each; the median is printed')
  args = flags.parse_args(argv)
  print('input; kernel, stride, rate: forward and step in ms, here (TensorFlow alone)')
  sums = [0.0] * 4
  for layer in LAYERS:
    milliseconds = [1e3 * seconds for seconds in measure(*layer, args)]
    sums = [a + b for a, b in zip(sums, milliseconds, strict=True)]
    stride_in, channels, *layer = layer
    side = args.side // stride_in
    print(f'{args.batch_size}x{side}x{side}x{channels}; {layer}: {row(milliseconds)}', flush=True)
  print(f'all: {row(sums)}')


def row(milliseconds) -> str:
  forward, plain_forward, step, plain_step = milliseconds
  return f'{forward:.2f} ({plain_forward:.2f}) and {step:.2f} ({plain_step:.2f})'


def measure(stride_in: int, channels: int, kernel: int, stride: int, rate: int, args) -> list[float]:
  """Seconds of: forward here, forward by TensorFlow, forward and gradients here, the same by TensorFlow."""
  import tensorflow as tf

  from network.common.depthwise import by_tensorflow, depthwise_conv2d
  from utils.profile import timing

  side = args.side // stride_in
  dtype = tf.as_dtype(args.precision)
  x = tf.cast(tf.random.stateless_normal([args.batch_size, side, side, channels], [0, 1]), dtype)
  weights = tf.cast(tf.random.stateless_normal([kernel, kernel, channels, 1], [0, 2]), dtype)

  def forward(convolve):
    function = tf.function(lambda: convolve(x, weights, stride, rate))
    return lambda: function()[0, 0, 0, 0]

  def step(convolve):
    @tf.function
    def function():
      with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = convolve(x, weights, stride, rate)
      return [gradient[0, 0, 0, 0] for gradient in tape.gradient(y, [x, weights], output_gradients=y)]

    return lambda: function()[1]

  convolutions = {'here': depthwise_conv2d, 'TensorFlow': by_tensorflow}
  calls = {f'{kind.__name__} {name}': kind(f) for kind in (forward, step) for name, f in convolutions.items()}
  return list(timing.interleaved_seconds(calls, args.repeat).values())


if __name__ == '__main__':
  sys.exit(errors.run(main))
