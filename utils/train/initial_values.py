"""The values that a run's variables start from."""

import zlib

import numpy as np

from utils.engine import checkpoint


def set_initial_values(state, history, folder, args) -> str:
  """Sets the variables from the run's own checkpoint, else from --restore-from, else leaves them as initialised. An
  auxiliary head that the checkpoint of --restore-from lacks is left as initialised.

  Returns a line for the log that says which.

  Raises:
    InputError: the checkpoint lacks a variable, or holds it in another shape.
  """
  model = state.model
  if folder.resumed:
    variables = state.saved()
    has_training_state = any(name.startswith(checkpoint.STATE) for name in checkpoint.Reader(folder.resumed).shapes)
    if not has_training_state:  # a checkpoint of the 2018 code: the variables and their momentum alone
      variables = {name: variable for name, variable in variables.items() if not name.startswith(checkpoint.STATE)}
    checkpoint.restore(folder.resumed, variables, 'it belongs to another run; name another --snapshot-dir')
    if has_training_state:
      history.restore(folder.resumed)
    source = f'all {len(variables)} variables from {folder.resumed}, going on at step {folder.start}'
  elif args.restore_from:
    head = {id(v) for v in model.head_variables}
    backbone = named(v for v in model.variables if id(v) not in head)
    checkpoint.restore(args.restore_from, backbone, f'check --backbone {args.backbone}')
    restored = len(backbone)
    if not args.not_restore_classifier:
      advice = 'check --model and --num-classes, or give --not-restore-classifier to leave the head as initialised'
      held = checkpoint.Reader(args.restore_from).shapes
      auxiliary = {id(v) for v in model.auxiliary_variables}
      head = named(v for v in model.head_variables if id(v) not in auxiliary or checkpoint.name_of(v) in held)
      checkpoint.restore(args.restore_from, head, advice)
      restored += len(head)
    rest = len(state.saved()) - restored
    source = f'{restored} variables from {args.restore_from}, the other {rest} (momentum included) as initialised'
  else:
    source = f'all {len(state.saved())} variables as initialised (seed {args.random_seed})'
  if state.averages and not folder.resumed:
    state.averages.begin()
  return f'start (own checkpoint, else --restore-from, else initial weights): {source}'


def digest(model) -> str:
  """A checksum of the model's variables, without an auxiliary head: runs with and without one have equal starts."""
  crc, auxiliary = 0, {id(v) for v in model.auxiliary_variables}
  for name, variable in sorted(named(v for v in model.variables if id(v) not in auxiliary).items()):
    crc = zlib.crc32(np.asarray(variable).tobytes(), zlib.crc32(name.encode(), crc))
  return f'CRC {crc:08x}'


def named(variables) -> dict:
  return {checkpoint.name_of(v): v for v in variables}
