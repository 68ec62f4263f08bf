"""What a run's variables start from."""

import zlib

import numpy as np

from utils.engine import checkpoint

OWN = 'training/'  # begins the names of what a checkpoint holds besides variables and momentum


def initial_state(trainee, validations, folder, args) -> str:
  """Sets the variables: from the run's own checkpoint, else from --restore-from, else as initialised.

  Returns one line that says which.

  Raises:
    InputError: the checkpoint lacks a variable, or holds it in another shape.
  """
  model = trainee.model
  if folder.resumed:
    everything = trainee.saved()
    ours = any(name.startswith(OWN) for name in checkpoint.Reader(folder.resumed).shapes)
    if not ours:  # the 2018 code kept no more than the variables and their momentum
      everything = {name: variable for name, variable in everything.items() if not name.startswith(OWN)}
    checkpoint.restore(folder.resumed, everything, 'it is of another run; name another --snapshot-dir')
    if ours:
      validations.restore(folder.resumed)
    said = f'all {len(everything)} variables from {folder.resumed}, going on at step {folder.start}'
  elif args.restore_from:
    head = {id(v) for v in model.head_variables}
    backbone = named(v for v in model.variables if id(v) not in head)
    checkpoint.restore(args.restore_from, backbone, f'check --backbone {args.backbone}')
    restored = len(backbone)
    if not args.not_restore_classifier:
      mend = 'check --model and --num-classes, or give --not-restore-classifier to leave the head as initialised'
      checkpoint.restore(args.restore_from, named(model.head_variables), mend)
      restored += len(head)
    rest = len(trainee.saved()) - restored
    said = f'{restored} variables from {args.restore_from}, the other {rest} (momentum included) as initialised'
  else:
    said = f'all {len(trainee.saved())} variables as initialised (seed {args.random_seed})'
  return f'start (own checkpoint, else --restore-from, else initial weights): {said}'


def digest(model) -> str:
  """Tells models with other weights apart."""
  crc = 0
  for name, variable in sorted(named(model.variables).items()):
    crc = zlib.crc32(np.asarray(variable).tobytes(), zlib.crc32(name.encode(), crc))
  return f'CRC {crc:08x}'


def named(variables) -> dict:
  return {checkpoint.name_of(v): v for v in variables}


class Validations:
  """What the validations so far have shown; a part of every checkpoint.

  `last` is the step last validated, `best_step` and `best_miou` the best one; step -1: none yet.
  """

  def __init__(self):
    self.last, self.best_step, self.best_miou = -1, -1, float('nan')

  def add(self, step: int, miou: float) -> bool:
    """Takes in one more; True if it is the best so far (a mIoU of NaN never is)."""
    self.last = step
    better = miou > self.best_miou or (self.best_step < 0 and np.isfinite(miou))
    if better:
      self.best_step, self.best_miou = step, miou
    return better

  def saved(self) -> dict:
    return {
      f'{OWN}validated_step': np.int64(self.last),
      f'{OWN}best_step': np.int64(self.best_step),
      f'{OWN}best_miou': np.float64(self.best_miou),
    }

  def restore(self, prefix: str) -> None:
    reader = checkpoint.Reader(prefix)
    last, step, miou = (reader.get(name) for name in self.saved())
    self.last, self.best_step, self.best_miou = int(last), int(step), float(miou)

  def summary(self, folder) -> dict:
    if self.best_step < 0:
      return {'best_checkpoint': None, 'best_miou': None}
    return {
      'best_checkpoint': checkpoint.path_of(folder.folder, self.best_step),
      'best_miou': round(self.best_miou, 6),
    }
