"""The outcome of a study's runs: scores, curves, time and memory; and the check that runs of one seed started alike."""

import csv
import math
import statistics

from utils.errors import RunError
from utils.study.plan import Run
from utils.study.settings import read_json

POINTS = 200  # at most, in a curve of losses
TOLERANCE = 1e-3  # relative, of the first cross-entropy: the methods' graphs round differently


def finished(run: Run) -> bool:
  return run.scores_path('val').exists()


def scores(run: Run, split: str) -> dict | None:
  """The scores of a list; None where the run has none yet."""
  path = run.scores_path(split)
  return read_json(path) if path.exists() else None


def training_summary(run: Run) -> dict:
  """Initial weights, cost and curves of a finished training."""
  rows = table(run, 'log.csv')
  images = run.flags.batch_size * run.flags.iter_size
  memory = [float(row['memory_mb']) for row in rows]  # of all parts of a run that was stopped, but after each step only
  losses = [(int(row['step']), float(row['seg_loss'])) for row in rows]
  return {
    **start(run),
    'steps': len(rows),
    'seconds_per_step': round(statistics.median(images / float(row['images_per_second']) for row in rows), 4),
    'peak_memory_mb': round(max(read_json(run.folder / 'training.json')['peak_memory_mb'], *memory), 1),
    'loss_curve': thinned(losses),
    'val_curve': [[int(row['step']), number(row['mIoU'])] for row in table(run, 'validation.csv')],
  }


def table(run: Run, name: str) -> list[dict]:
  with open(run.folder / name, newline='', encoding='utf-8') as f:
    return list(csv.DictReader(f))


def number(text: str) -> float | None:
  value = float(text)
  return value if math.isfinite(value) else None


def thinned(points: list[tuple[int, float]]) -> list[list]:
  """At most POINTS points, each the mean of as many neighbours."""
  size = max(1, math.ceil(len(points) / POINTS))
  groups = [points[i : i + size] for i in range(0, len(points), size)]
  return [[group[-1][0], round(statistics.fmean(loss for _, loss in group), 5)] for group in groups]


def start(run: Run) -> dict:
  """A checksum of the initial weights, and the cross-entropy of the first step."""
  first = table(run, 'log.csv')[0]
  return {
    'initial_weights': read_json(run.folder / 'start')['weights'],
    'first_cross_entropy': float(first['seg_loss']),
  }


def check_equal_start(runs: list[Run]) -> None:
  """Holds the trained runs of each seed to equal initial weights and an equal cross-entropy in the first step, which
  the methods do not influence yet.

  Raises:
    RunError: two runs did not start alike.
  """
  first = {}
  for run in runs:
    if not (run.folder / 'training.json').exists():
      continue
    mine = start(run)
    other, theirs = first.setdefault(run.seed, (run, mine))
    if mine['initial_weights'] != theirs['initial_weights']:
      what = f'initial weights {mine["initial_weights"]} and {theirs["initial_weights"]}'
    elif not math.isclose(mine['first_cross_entropy'], theirs['first_cross_entropy'], rel_tol=TOLERANCE):
      what = f'a first cross-entropy of {mine["first_cross_entropy"]} and {theirs["first_cross_entropy"]}'
    else:
      continue
    raise RunError(
      f'{run.name} and {other.method.name} did not start alike: they have {what}; their difference would mean nothing: '
      f'remove {run.folder} and {other.folder}, and start again'
    )
