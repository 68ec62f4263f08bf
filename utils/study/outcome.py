"""The outcome of a study's trainings: curves, time and memory; and the check that runs of one seed started alike."""

import csv
import math
import statistics

from utils.errors import InputError, RunError
from utils.study.plan import Run
from utils.study.settings import read_json

POINTS = 200  # at most, in a curve of losses
TOLERANCE = 1e-3  # relative, of the first cross-entropy: the methods' graphs round differently
TOLERANCE_ELSEWHERE = 2**-8  # the same in bfloat16, against a run of another machine: a step between its numbers


def training_summary(run: Run) -> dict:
  """Initial weights, cost and curves of a finished training."""
  steps, losses, speeds, memory = table(run, 'log.csv', 'step', 'seg_loss', 'images_per_second', 'memory_mb')
  images = run.flags.batch_size * run.flags.iter_size
  validations = dict(zip(*table(run, 'validation.csv', 'step', 'mIoU'), strict=True))
  return {
    **start(run),
    'steps': len(steps),
    'seconds_per_step': round(statistics.median(images / speed for speed in speeds), 4),
    # The log has that of all parts of a run that was stopped, but after each step only.
    'peak_memory_mb': round(max(read_json(run.training_path)['peak_memory_mb'], *memory), 1),
    'loss_curve': thinned([(int(step), loss) for step, loss in zip(steps, losses, strict=True)]),
    'val_curve': [[int(step), miou if math.isfinite(miou) else None] for step, miou in validations.items()],
  }


def table(run: Run, name: str, *columns: str) -> list[tuple[float, ...]]:
  """Columns of one of a run's logs, each from the first row to the last; raises an InputError where it is damaged."""
  path = run.folder / name
  try:
    with open(path, newline='', encoding='utf-8') as f:
      rows = [[float(row[column]) for column in columns] for row in csv.DictReader(f)]
    if not rows:
      raise ValueError('no rows')
    return list(zip(*rows, strict=True))
  except (OSError, ValueError, KeyError, TypeError, csv.Error):
    raise InputError(f'{path}: cannot be read as a log; remove {run.folder} to do this run again') from None


def thinned(points: list[tuple[int, float]]) -> list[list]:
  """At most POINTS points, each the mean of as many neighbours."""
  size = max(1, math.ceil(len(points) / POINTS))
  groups = [points[i : i + size] for i in range(0, len(points), size)]
  return [[group[-1][0], round(statistics.fmean(loss for _, loss in group), 5)] for group in groups]


def start(run: Run) -> dict:
  """A checksum of the initial weights, and the cross-entropy of the first step."""
  if run.row:
    return {key: run.row[key] for key in ('initial_weights', 'first_cross_entropy')}
  return {
    'initial_weights': read_json(run.folder / 'start')['weights'],
    'first_cross_entropy': table(run, 'log.csv', 'seg_loss')[0][0],
  }


def check_equal_start(runs: list[Run]) -> None:
  """Holds the trained runs of each seed to equal initial weights. Those with equal data and an equal cross-entropy are
  held to an equal first value of it, which nothing else influences yet. Without this, a method could win by its start.

  Raises:
    RunError: two runs did not start alike.
  """
  weights_of_seed, loss_of_seed = {}, {}
  for run in runs:
    if not (run.row or run.training_path.exists()):
      continue
    weights, loss = start(run).values()
    other, other_weights = weights_of_seed.setdefault(run.seed, (run, weights))
    if weights != other_weights:
      raise RunError(_unequal(run, other, f'initial weights {weights} and {other_weights}'))
    other, other_loss = loss_of_seed.setdefault((run.seed, run.cross_entropy_flags), (run, loss))
    elsewhere = run.settings['precision'] == 'bfloat16' and (run.row or other.row)
    if not math.isclose(loss, other_loss, rel_tol=TOLERANCE_ELSEWHERE if elsewhere else TOLERANCE):
      raise RunError(_unequal(run, other, f'a first cross-entropy of {loss} and {other_loss}'))


def _unequal(run: Run, other: Run, what: str) -> str:
  return (
    f'{run.name} and {other.method.name} did not start alike: they have {what}; their difference would mean nothing: '
    f'remove {run.folder} and {other.folder}, and start again'
  )
