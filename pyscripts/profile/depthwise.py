"""Measures depthwise convolutions at the sizes of DeepLabv3+ on EfficientNet-Lite0: forward, and forward with both
gradients, as the network computes them here and by TensorFlow alone. Times are medians, taken in turns."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors

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
  arguments.add_precision_flag(flags)
  flags.add_argument('--batch-size', type=arguments.whole(1), default=4, help='crops at a time')
  flags.add_argument('--side', type=arguments.whole(32), default=320, help='of the crops, in pixels')
  flags.add_argument('--repeat', type=arguments.whole(1), default=9, help='measurements of each; the median is printed')
  args = flags.parse_args(argv)
  from utils.profile import timing

  row = '{:.2f} ({:.2f}) and {:.2f} ({:.2f})'.format
  print('input; kernel, stride, rate: forward and step in ms, here (TensorFlow alone)')
  totals = [0.0] * 4
  for stride_in, channels, *layer in LAYERS:
    side = args.side // stride_in
    shape = [args.batch_size, side, side, channels]
    seconds = timing.interleaved_seconds(calls(shape, *layer, args.precision), args.repeat)
    milliseconds = [1e3 * value for value in seconds.values()]
    totals = [total + value for total, value in zip(totals, milliseconds, strict=True)]
    print(f'{"x".join(map(str, shape))}; {layer}: {row(*milliseconds)}', flush=True)
  print(f'all: {row(*totals)}')


def calls(shape: list[int], kernel: int, stride: int, rate: int, precision: str) -> dict:
  """By name: forward here, forward by TensorFlow, forward and gradients here, the same by TensorFlow."""
  import tensorflow as tf

  from network.common.cpu_gradients import depthwise_by_tensorflow, depthwise_conv2d

  x = tf.cast(tf.random.stateless_normal(shape, [0, 1]), precision)
  weights = tf.cast(tf.random.stateless_normal([kernel, kernel, shape[-1], 1], [0, 2]), precision)

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

  convolutions = (depthwise_conv2d, depthwise_by_tensorflow)
  return {f'{kind.__name__} {f.__name__}': kind(f) for kind in (forward, step) for f in convolutions}


if __name__ == '__main__':
  sys.exit(errors.run(main))
