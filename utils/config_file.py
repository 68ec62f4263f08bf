"""--config FILE: flags from a JSON or YAML file. SNAPSHOT_DIR/config, which every training writes, is such a file."""

import argparse
import difflib
import json

from utils.errors import InputError

RECORDED = {'objective', 'class_weight_values', 'data_list_contents'}  # in a run's config: facts, no flags
OF_THE_START = {
  'config',
  'resume',
  'overwrite',
  'not_restore_classifier',
}  # in a run's config: how it was started, which is not repeated


def command_line(path: str, actions: dict[str, argparse.Action], program: str) -> list[str]:
  """The flags in file `path` as words of a command line. `actions` are the program's flags by name, `_` for `-`.

  Values are what the command line would have: a number, a word, true or false for a switch, and for `H,W` and the like
  also a list. null leaves a flag at its default.

  Raises:
    InputError: it cannot be read, or a key is not a flag, or a value is not one that the flag takes.
  """
  values = {name.replace('-', '_'): value for name, value in read(path).items()}
  if RECORDED & values.keys():
    values = {name: value for name, value in values.items() if name not in RECORDED | OF_THE_START}
  words = []
  for name, value in values.items():
    if name not in actions:
      [nearest] = difflib.get_close_matches(name, actions, 1, 0)
      raise InputError(f'--config {path}: {name} is not a flag of {program}; did you mean {nearest}?')
    if value is not None:
      try:
        words += as_words(actions[name], value)
      except (argparse.ArgumentTypeError, ValueError, TypeError) as e:
        raise InputError(f'--config {path}: {name}: {e}') from None
  return words


def read(path: str) -> dict:
  """The keys and values of a file, YAML if its name ends so, else JSON."""
  is_yaml = path.lower().endswith(('.yaml', '.yml'))
  try:
    with open(path, encoding='utf-8') as file:
      if is_yaml:
        import yaml  # here, as it is needed for these files alone

        values = yaml.safe_load(file)
      else:
        values = json.load(file)
  except OSError as e:
    raise InputError(f'--config {path}: cannot be read ({e.strerror}); check the path') from None
  except ImportError:
    raise InputError(f'--config {path}: reading YAML needs PyYAML; run `pip install pyyaml`, or write JSON') from None
  except Exception as e:  # PyYAML's errors cannot be named without it
    kind = 'YAML' if is_yaml else 'JSON (YAML files end in .yaml)'
    raise InputError(f'--config {path}: is not {kind}: {" ".join(str(e).split())}') from None
  if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
    raise InputError(f'--config {path}: does not hold `flag: value` pairs; write for example {{"num_steps": 1000}}')
  return values


def as_words(action: argparse.Action, value) -> list[str]:
  """One flag and its value, checked, as words of a command line."""
  flag, switch = action.option_strings[-1], action.nargs == 0
  if switch != isinstance(value, bool):
    raise ValueError('give true or false' if switch else f'{str(value).lower()} is not a value; give one')
  if switch:
    return [flag] if value else []
  texts = list(map(str, value)) if isinstance(value, list) else [str(value)]
  if action.nargs != '+':  # `H,W` and the like
    texts = [','.join(texts)]
  for text in texts:
    converted = action.type(text) if action.type else text
    if action.choices is not None and converted not in action.choices:
      raise ValueError(f'{text!r} is none of {", ".join(map(str, action.choices))}')
  return [flag, *texts] if action.nargs == '+' else [f'{flag}={texts[0]}']
