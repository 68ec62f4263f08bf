"""Stops a run whose loss or variables are not finite, and keeps the state for inspection."""

import os

import numpy as np
from tqdm import tqdm

from seg_models.image_reader import file_index
from utils.engine import checkpoint
from utils.errors import RunError


def check_losses(s: int, metrics: dict, run) -> None:
  """Raises RunError (see `stop`) if a loss of step s is not finite; its update has not been made then."""
  bad = [f'{name} {value}' for name, value in metrics.items() if not np.isfinite(value) and name != 'loss']
  if bad or not np.isfinite(metrics['loss']):
    tensors = arrays(run.state.saved())
    stop(s, f'the loss is not finite ({", ".join(bad or ["the sum"])}); update not made', tensors, run)


def check_variables(s: int, tensors: dict, run) -> None:
  """Raises RunError (see `stop`) if a variable is not finite after step s: a gradient overflowed."""
  bad = [name for name, array in tensors.items() if not np.all(np.isfinite(array))]
  if bad:
    more = f' and {len(bad) - 1} more' if len(bad) > 1 else ''
    stop(s, f'{bad[0]}{more} is not finite after the update', tensors, run)


def stop(s: int, what: str, tensors: dict, run) -> None:
  """Saves the state in a folder of its own, names the files of the step, and raises RunError."""
  args, pairs, folder = run.args, run.pairs, run.folder
  first = s * args.iter_size * args.batch_size
  positions = range(first, first + args.iter_size * args.batch_size)
  files = [pairs[int(file_index(p, len(pairs), args.random_seed))].image for p in positions]
  where = os.path.join(folder.folder, 'nonfinite', f'{checkpoint.PREFIX}-{s}')
  if folder.writes:
    checkpoint.save(where, tensors)
  tqdm.write(f'files of step {s}: ' + ' '.join(files))
  raise RunError(
    f'step {s}: {what}; state kept in {where}; files: {", ".join(files[:8])}{" ..." if len(files) > 8 else ""}; '
    'start again with a lower --learning-rate or with --clip-norm'
  )


def arrays(variables: dict) -> dict:
  """{name: variable} -> {name: NumPy array}."""
  return {name: np.asarray(v) for name, v in variables.items()}
