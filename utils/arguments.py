"""Flags shared by the scripts. Loads no TensorFlow, so that every --help answers at once."""

import argparse
import math
import sys

from seg_models.names import BACKBONES, MODELS
from utils import config_file


class HelpFormatter(argparse.HelpFormatter):
  """One line a flag where the window has 120 columns: `--flag METAVAR  help: choices [default]`.

  The usage line names only what must be given. An empty default, or one that is off, is not shown.
  """

  def __init__(self, prog: str, **kwargs):
    super().__init__(prog, max_help_position=30, **kwargs)

  def add_usage(self, usage, actions, groups, prefix=None):
    needed = [action for action in actions if action.required or not action.option_strings]
    super().add_usage(usage, [*needed, argparse.Action(['more flags'], 'more', nargs=0)], [], prefix)

  def _get_default_metavar_for_optional(self, action):
    return getattr(action.type, 'metavar', action.dest.upper())

  def _metavar_formatter(self, action, default_metavar):
    if action.choices is not None and action.metavar is None:
      default_metavar = 'NAME' if action.type is None else 'N'
    names = action.metavar or default_metavar
    return lambda size: names if isinstance(names, tuple) else (names,) * size

  def _get_help_string(self, action):
    text = action.help or ''
    if action.choices is not None and action.metavar is None:
      text += f': {", ".join(map(str, action.choices))}'
    default = action.default
    if default is None or default is False or default in ('', [], argparse.SUPPRESS):
      return text
    shown = ','.join(map(str, default)) if isinstance(default, tuple | list) else str(default)
    return f'{text} [{shown.replace("%", "%%")}]'


class Parser(argparse.ArgumentParser):
  """argparse with a short help (see HelpFormatter), which prints an error as one line (exit code 2)."""

  def __init__(self, description: str, **kwargs):
    super().__init__(description=description, formatter_class=HelpFormatter, allow_abbrev=False, **kwargs)

  def parse_args(self, args=None, namespace=None):
    """Where there is a flag --config, the flags of its file stand in front: the command line has the last word."""
    words = sys.argv[1:] if args is None else list(args)
    actions = {action.dest: action for action in self._actions if action.option_strings}
    if 'config' in actions:
      finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
      finder.add_argument('--config', nargs='?')
      path = finder.parse_known_args(words)[0].config
      words = [*(config_file.command_line(path, actions, self.prog) if path else ()), *words]
    return super().parse_args(words, namespace)

  def error(self, message: str):
    print(f'error: {" ".join(message.split())} (see {self.prog} --help)', file=sys.stderr)
    raise SystemExit(2)


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

  parse.metavar = 'N'
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

  parse.metavar = 'X'
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


height_width.metavar = 'H,W'


def add_network_flags(parser, most_used=None):
  """The network and its classes: the same flags in training, prediction and export.

  The two that most commands give go into the argument group `most_used`, if there is one.
  """
  group = parser.add_argument_group('network')
  most_used = most_used or group
  most_used.add_argument('--num-classes', type=whole(2, 255), default=21, help='classes, background included')
  most_used.add_argument(
    '--backbone',
    choices=BACKBONES,
    default='resnet_v1_101',
    metavar='NAME',
    help='resnet_v1_101, _50, _14, for laptops efficientnet_lite0, 1, 2',
  )
  group.add_argument('--model', choices=MODELS, default='pspnet', help='the head')
  group.add_argument(
    '--output-stride',
    type=int,
    choices=(8, 16),
    metavar='N',
    help="of the backbone's last features: 8, or 16 [16 for deeplabv3plus, else 8]",
  )
  group.add_argument('--ignore-label', type=whole(0, 255), default=255, help='label of void pixels and of padding')


def add_precision_flag(parser):
  parser.add_argument(
    '--precision',
    choices=('float32', 'bfloat16', 'float16'),
    default='float32',
    help='of the convolutions',
  )
