"""Flags shared by the scripts. Loads no TensorFlow, so that every --help answers at once."""

import argparse
import math
import sys


class Parser(argparse.ArgumentParser):
  """argparse that shows defaults in the help and prints an error as one line (exit code 2)."""

  def __init__(self, description: str, **kwargs):
    super().__init__(
      description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False, **kwargs
    )

  def error(self, message: str):
    print(f'error: {" ".join(message.split())} (see {self.prog} --help)', file=sys.stderr)
    raise SystemExit(2)


MODELS = ('pspnet', 'deeplab', 'fcn8s', 'deeplabv3plus')
BACKBONES = ('resnet_v1_101', 'resnet_v1_50', 'resnet_v1_14')
BACKBONES += ('efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2')
LARGEST = 2**31 - 1  # of whole numbers: the product of two fits into 64 bits


def whole(low: int, high: int = LARGEST):
  """An argparse type: a whole number from `low` to `high`."""

  def parse(text: str) -> int:
    try:
      value = int(text)
    except ValueError:
      raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None
    if not low <= value <= high:
      span = f'at least {low}' if high == LARGEST and value < low else f'from {low} to {high}'
      raise argparse.ArgumentTypeError(f'{value} is out of range; give a whole number {span}')
    return value

  return parse


def real(low: float = -math.inf, high: float = math.inf, above: bool = False, below: bool = False):
  """An argparse type: a finite number from `low` (or above it) to `high` (or below it)."""

  def parse(text: str) -> float:
    try:
      value = float(text)
    except ValueError:
      raise argparse.ArgumentTypeError(f'{text!r} is not a number') from None
    too_low = value <= low if above else value < low
    too_high = value >= high if below else value > high
    if not math.isfinite(value) or too_low or too_high:
      span = [f'{"above" if above else "at least"} {low:g}'] if low > -math.inf else []
      span += [f'{"below" if below else "at most"} {high:g}'] if high < math.inf else []
      raise argparse.ArgumentTypeError(f'{text} is out of range; give a finite number {" and ".join(span)}'.rstrip())
    return value

  return parse


def height_width(text: str) -> tuple[int, int]:
  """An argparse type: `H,W` in pixels."""
  try:
    height, width = map(int, text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not height,width; write 336,336 for example') from None
  if not 1 <= min(height, width) <= max(height, width) <= 65536:
    raise argparse.ArgumentTypeError(f'{text!r}: give two positive numbers up to 65536, height,width in pixels')
  return height, width


def add_network_flags(parser):
  """The network and its classes: the same flags in training, prediction and export."""
  group = parser.add_argument_group('network')
  group.add_argument('--model', choices=MODELS, default='pspnet', help='the head')
  group.add_argument(
    '--backbone',
    choices=BACKBONES,
    default='resnet_v1_101',
    help='the efficientnet_lites are for laptops; resnet_v1_14 has one unit a block, for tests',
  )
  group.add_argument(
    '--output-stride',
    type=int,
    choices=(8, 16),
    help="of the backbone's last features, by dilation; default: 16 for deeplabv3plus, else 8",
  )
  group.add_argument('--num-classes', type=whole(2, 255), default=21, help='classes, background included')
  group.add_argument('--ignore-label', type=whole(0, 255), default=255, help='label of void pixels and of padding')


def add_precision_flag(parser):
  parser.add_argument(
    '--precision',
    choices=('float32', 'bfloat16', 'float16'),
    default='float32',
    help='of the convolutions; weights and softmax are float32 always',
  )
