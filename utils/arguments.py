"""Flags: those that scripts share, what each is, and --config. Loads no TensorFlow, so that --help answers at once."""

import argparse
import contextlib
import difflib
import enum
import json
import math
import sys
from collections.abc import Callable

from seg_models.names import BACKBONES, MODELS
from utils import files
from utils.errors import InputError


class Role(enum.Flag):
  """What a flag is; said where the flag is defined (see `add`), and read wherever flags are sorted."""

  NETWORK = enum.auto()  # the network's: a checkpoint fits no other, so prediction refuses another
  SHARED = enum.auto()  # decides the result, and prediction takes it from the run as it does the network
  RESULT = enum.auto()  # decides the result: a run goes on only with the same
  WORKERS = enum.auto()  # may change when a run goes on; workers that differ in it would wait for each other for ever
  START = enum.auto()  # how a run was started: the `config` of a run does not repeat it
  ORIGIN = enum.auto()  # what a run starts from: --restore-from leaves those of a --config behind
  FREE = enum.auto()  # none of these: places, intervals, devices
  DECISIVE = NETWORK | SHARED | RESULT


SWITCH = {'action': argparse.BooleanOptionalAction, 'default': False}  # --flag, and --no-flag to overrule a --config
# In a run's `config` beside its flags.
FACTS = ('objective', 'class_weight_values', 'data_list_contents', 'val_list_contents')
GONE = ('kld_weight_rate',)  # in the `config` of earlier runs of scripts where it had no effect
LARGEST_CONFIG = 1 << 20  # bytes


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
  """argparse's own help with defaults as the command line takes them, but none that is empty or off, and with
  `type.metavar` for a value."""

  def _get_default_metavar_for_optional(self, action):
    return getattr(action.type, 'metavar', None) or super()._get_default_metavar_for_optional(action)

  def _get_help_string(self, action):
    if action.default and isinstance(action.default, tuple):
      return f'{action.help} (default: {",".join(map(str, action.default))})'
    return super()._get_help_string(action) if action.default else action.help


class Parser(argparse.ArgumentParser):
  """argparse without abbreviations, which prints an error as one line (exit code 2)."""

  def __init__(self, description: str, **kwargs):
    super().__init__(description=description, formatter_class=HelpFormatter, allow_abbrev=False, **kwargs)

  def error(self, message: str):
    if message.endswith('expected one argument'):
      message += f'; one that begins with - is given with {message.split()[1][:-1]}='
    print(f'error: {" ".join(message.split())} (see {self.prog} --help)', file=sys.stderr)
    raise SystemExit(2)


def add(group, role: Role, flag: str, **kwargs) -> None:
  """`group.add_argument` for a flag of this role. One without `type` and `default` is a switch, with a --no- form.

  group: a parser or one of its groups.
  """
  if not {'type', 'default', 'choices'} & kwargs.keys():
    kwargs |= SWITCH
  action = group.add_argument(flag, **kwargs)
  action.role, action.help = role, kwargs['help']  # Python 3.10 adds "(default: False)" to that of a switch


def names_of(parser: argparse.ArgumentParser, role: Role) -> list[str]:
  """The names, `_` for `-`, of a parser's flags of this role, or of one of several."""
  return [action.dest for action in parser._actions if getattr(action, 'role', Role.FREE) & role]


def words_for(argv, *flags: str) -> argparse.Namespace:
  """What a command line says for these flags, before all of it is parsed; None for one that it does not give."""
  finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  for flag in flags:
    finder.add_argument(flag, nargs='?')
  return finder.parse_known_args(argv)[0]


def parse_with_config(parser: argparse.ArgumentParser, argv=None) -> argparse.Namespace:
  """`parser.parse_args`, with the values in the file of --config for defaults: the command line has the last word.

  A key is a flag, `_` or `-`; its value is what the command line would have: a number, a word, true or false for a
  switch, and for `H,W` and the like also a list. null leaves a flag at its default. SNAPSHOT_DIR/config, which every
  training writes, is such a file.

  Raises:
    InputError: the file cannot be read, a key is not a flag, or a value is not one that the flag takes.
  """
  given = words_for(argv, '--config', '--restore-from', '--run', '--input-size', '--val-strides')
  if given.config:
    values = read_config(given.config)
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    if given.run:
      values.pop('restore_from', None)
    if not values.keys().isdisjoint(FACTS):
      left_out = {*FACTS, *names_of(parser, Role.START), *(set(GONE) - actions.keys())}
      values = {name: value for name, value in values.items() if name not in left_out}
      if given.input_size and not given.val_strides:
        values.pop('val_strides', None)  # those of the run's own windows
      for name in sorted(values.keys() - actions):
        raise InputError(
          f'--config {given.config}: is of a run of another script, and {parser.prog} has no {name}; '
          + ('give --run DIR, its folder' if 'run' in actions else 'take that script, or remove the line')
        )
    if given.restore_from not in (None, values.get('restore_from')) and values.get('restore_from'):
      values = {name: value for name, value in values.items() if name not in names_of(parser, Role.ORIGIN)}
    set_defaults(parser, actions, values, given.config)
  return parser.parse_args(argv)


def set_defaults(parser, actions: dict[str, argparse.Action], values: dict, path: str) -> None:
  """Makes `values`, of the file `path`, the defaults of the flags `actions`, by name."""
  for name, value in values.items():
    if name not in actions:
      [nearest] = difflib.get_close_matches(name, actions, 1, 0)
      raise InputError(f'--config {path}: {name} is not a flag of {parser.prog}; did you mean {nearest}?')
    if value is not None:
      try:
        parser.set_defaults(**{name: converted(parser, actions[name], value)})
      except argparse.ArgumentError as e:
        raise InputError(f'--config {path}: {name}: {e.message}') from None
      actions[name].required = False


def converted(parser, action: argparse.Action, value):
  """The value of a flag from a file, as the command line's would be; ArgumentError where it is none."""
  switch = action.nargs == 0
  if switch != isinstance(value, bool):
    says = 'give true or false' if switch else f'{str(value).lower()} is not a value; give one'
    raise argparse.ArgumentError(action, says)
  if switch:
    return value
  texts = list(map(str, value)) if isinstance(value, list) else [str(value)]
  return parser._get_values(action, texts if action.nargs == '+' else [','.join(texts)])  # `H,W` and the like


def read_config(path: str) -> dict:
  """The keys, `_` for `-`, and values of a file, YAML if its name ends so, else JSON.

  Raises:
    InputError: it cannot be read, or holds anything but `flag: value` pairs whose values are plain or plain lists.
  """
  text, kind = files.read_text(path, 'a file of `name: value` pairs', LARGEST_CONFIG), 'JSON (YAML files end in .yaml)'
  load, faults = json.loads, (ValueError, RecursionError)
  if path.lower().endswith(('.yaml', '.yml')):
    import yaml  # here, as it is needed for these files alone

    load, faults, kind = yaml.safe_load, (yaml.YAMLError, *faults), 'YAML'
  try:
    values = load(text)
  except faults as e:
    raise InputError(f'{path}: is not {kind}: {" ".join(str(e).split())}; mend or remove it') from None
  if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
    raise InputError(f'{path}: does not hold `name: value` pairs, such as {{"num_steps": 1000}}; mend or remove it')
  return {name.replace('-', '_'): value for name, value in values.items()}


def checked(metavar: str, kind: Callable, right: Callable, rule: str):
  """An argparse type: `kind(text)`, of which `right` holds; for any other text the error says to give `rule`."""

  def parse(text: str):
    with contextlib.suppress(ValueError, TypeError):
      value = kind(text)
      if right(value):
        return value
    raise argparse.ArgumentTypeError(f'{text!r}: give {rule}')

  parse.metavar = metavar
  return parse


LARGEST = 2**31 - 1  # of whole numbers: the product of two fits into 64 bits


def whole(low: int, high: int = LARGEST):
  """An argparse type: a whole number from `low` to `high`."""
  return checked('N', int, lambda value: low <= value <= high, f'a whole number from {low} to {high}')


def real(low: float = -math.inf, high: float = math.inf, above: bool = False, below: bool = False):
  """An argparse type: a finite number from `low` (or above it) to `high` (or below it)."""
  bounds = [f'{"above" if above else "at least"} {low:g}'] if low > -math.inf else []
  bounds += [f'{"below" if below else "at most"} {high:g}'] if high < math.inf else []

  def right(value: float) -> bool:
    return math.isfinite(value) and low <= value <= high and not (above and value == low or below and value == high)

  return checked('X', float, right, f'a finite number {" and ".join(bounds)}')


def separated(metavar: str, kind: type, right: Callable[..., bool], rule: str, by: str = ','):
  """An argparse type: values of `kind` with commas (or `by`) between them, of which `right(*values)` holds."""
  return checked(metavar, lambda text: tuple(map(kind, text.split(by))), lambda values: right(*values), rule)


height_width = separated(
  'H,W',
  int,
  lambda height, width: 1 <= min(height, width) <= max(height, width) <= 65536,
  'height,width in pixels, two positive numbers up to 65536, for example 336,336',
)


def add_network_flags(parser, most_used=None):
  """The network and its classes: the same flags in training, prediction and export.

  The two that most commands give go into the argument group `most_used`, if there is one.
  """
  group = parser.add_argument_group('network')
  most_used = most_used or group
  add(most_used, Role.NETWORK, '--num-classes', type=whole(2, 255), default=21, help='classes, background included')
  backbones = f'one of {", ".join(BACKBONES)}'
  add(most_used, Role.NETWORK, '--backbone', choices=BACKBONES, default='resnet_v1_101', metavar='NAME', help=backbones)
  add(group, Role.NETWORK, '--model', choices=MODELS, default='pspnet', help='the head')
  others = ', '.join(f'{m.output_stride} for {name}' for name, m in MODELS.items() if m.output_stride != 8)
  stride = f"of the backbone's last features: 8, or 16 [{others}, else 8]"
  add(group, Role.NETWORK, '--output-stride', type=int, choices=(8, 16), metavar='N', help=stride)
  add(group, Role.SHARED, '--ignore-label', type=whole(0, 255), default=255, help='of void pixels and of padding')


def add_precision_flag(parser):
  kinds = ('float32', 'bfloat16', 'float16')
  add(parser, Role.SHARED, '--precision', choices=kinds, default='float32', help='of the convolutions')
