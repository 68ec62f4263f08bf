"""The flags of the programs that profile networks. Loads no TensorFlow."""

from utils.arguments import Parser, add_network_flags, add_precision_flag, height_width, whole


def parser(description: str) -> Parser:
  """A parser with the network, the size of the input and the number of repetitions."""
  result = Parser(description)
  add_network_flags(result)
  add_precision_flag(result)
  result.add_argument('--batch-size', type=whole(1), default=2, help='images at a time')
  result.add_argument('--input-size', type=height_width, default=(336, 336), metavar='H,W', help='of the images')
  result.add_argument('--repeat', type=whole(1), default=5, help='measurements of each figure; the median is printed')
  return result


def parse_step(description: str, argv, add_more=None):
  """The flags of a training step, those that are not asked for at their defaults. `add_more(parser)` adds others."""
  result = parser(description)
  if add_more:
    add_more(result)
  result.add_argument('--use-global-status', action='store_true', help='freeze batch norm')
  result.add_argument('--xla', action='store_true', help='compile the whole step (one GPU)')
  result.set_defaults(iter_size=1, clip_norm=None, num_steps=100, learning_rate=1e-4, power=0.9, momentum=0.9)
  result.set_defaults(schedule='poly', warmup_steps=0)
  return result.parse_args(argv)
