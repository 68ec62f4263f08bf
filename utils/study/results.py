"""The figures of a study: of each run, of each method (mean and standard error), and paired by seed.

Conventions: scores are percentages, None where there is none. A difference is taken seed by seed, over the seeds that
both methods have finished.
"""

import csv
import io
import json
import re
import statistics

from utils.score.boundaries import WIDTHS
from utils.study import outcome
from utils.study.plan import Run, class_rows
from utils.study.statistics import paired, summary

FIGURES = {
  'mean_iou': 'mIoU',
  'thin_iou': 'mIoU, thin classes',
  'mean_boundary_f': 'boundary F',
  'mean_boundary_iou': 'boundary IoU',
  **{f'mean_iou_within_{width}_px_of_boundaries': f'mIoU within {width} px' for width in WIDTHS},
  'mean_pixel_acc': 'pixel accuracy',
}
CLASS_SCORES = ('iou', 'boundary_f', 'boundary_iou')
SPLITS = ('val', 'test')


def study(runs: list[Run], names: list[str], thin: list[str], title: str) -> dict:
  """Everything that is known of the finished among `runs`, as one dictionary for JSON."""
  finished = [run for run in runs if run.is_scored('val')]
  methods = list(dict.fromkeys(run.method for run in finished))
  rows = [row(run, names, thin) for run in finished]
  return {
    'title': title,
    'classes': class_rows(names, thin),
    'methods': [method_summary(method, rows, runs) for method in methods],
    'seeds': list(dict.fromkeys(run.seed for run in finished)),
    'unfinished': [run.name for run in runs if run not in finished],
    'figures': {key: title for key, title in FIGURES.items() if thin or key != 'thin_iou'},
    **{split: compared(rows, split) for split in SPLITS if any(row[split] for row in rows)},
    'runs': rows,
  }


def row(run: Run, names: list[str], thin: list[str]) -> dict:
  if run.row:
    return run.row
  scores = {split: shortened(run.scores(split), names, thin) for split in SPLITS}
  return {'method': run.method.name, 'seed': run.seed, **outcome.training_summary(run), **scores}


def shortened(scores: dict | None, names: list[str], thin: list[str]) -> dict | None:
  """Of the scores of a list, those that are compared."""
  if scores is None:
    return None
  classes = {key: [row[key] for row in scores['classes']] for key in CLASS_SCORES}
  thin_iou = rounded(summary([classes['iou'][names.index(name)] for name in thin])['mean'])
  means = {**scores['means'], 'thin_iou': thin_iou}
  return {'images': scores['images'], 'figures': {key: means[key] for key in FIGURES}, 'classes': classes}


def rounded(value):
  return round(value, 6) if isinstance(value, float) else value


def method_summary(method, rows: list[dict], runs: list[Run]) -> dict:
  """What a method is and costs: the median of its runs' median seconds, the largest of their peaks of memory."""
  rows = [row for row in rows if row['method'] == method.name]
  settings = next(run.settings for run in runs if run.method == method)
  return {
    'name': method.name,
    'kind': method.kind,
    'flags': ' '.join(method.flags),
    'settings': {key: value for key, value in settings.items() if key != 'random_seed'},
    'seeds': [row['seed'] for row in rows],
    'seconds_per_step': statistics.median(row['seconds_per_step'] for row in rows),
    'peak_memory_mb': max(row['peak_memory_mb'] for row in rows),
  }


def compared(rows: list[dict], split: str) -> dict:
  """Of a list: mean and standard error of each method, and the differences between methods."""
  rows = [row for row in rows if row[split]]
  by_method = {}
  for row in rows:
    by_method.setdefault(row['method'], {})[row['seed']] = row[split]
  differences = []
  for method, against in pairs_of(list(by_method)):
    seeds = [seed for seed in by_method[method] if seed in by_method[against]]
    if seeds:
      groups = ([by_method[name][seed] for seed in seeds] for name in (method, against))
      differences.append({'of': method, 'against': against, 'seeds': seeds, **described(paired, *groups)})
  return {
    'images': rows[0][split]['images'],
    'methods': {name: described(summary, list(by_seed.values())) for name, by_seed in by_method.items()},
    'differences': differences,
  }


def pairs_of(methods: list[str]) -> list[tuple[str, str]]:
  """Every method against the first, and the adaptive loss against the affinity loss, as the paper claims."""
  against_first = [(name, methods[0]) for name in methods[1:]]
  claim = ('aaf', 'affinity')
  return against_first + [claim] * (set(claim) <= set(methods) and claim not in against_first)


def described(statistic, *groups: list[dict]) -> dict:
  """`statistic` of each figure and of each score of each class, over groups of `shortened` scores."""

  def of(get):
    return {key: rounded(x) for key, x in statistic(*([get(scores) for scores in group] for group in groups)).items()}

  classes = range(len(groups[0][0]['classes']['iou']))
  return {
    'figures': {key: of(lambda scores, key=key: scores['figures'][key]) for key in FIGURES},
    'classes': {
      key: [of(lambda scores, key=key, c=c: scores['classes'][key][c]) for c in classes] for key in CLASS_SCORES
    },
  }


def as_json(content: dict) -> str:
  """Indented, with lists of bare values on one line."""
  text = json.dumps(content, indent=1, allow_nan=False)
  return re.sub(r'\[[^][{}]*\]', lambda found: re.sub(r'\n\s*', ' ', found[0]), text) + '\n'


def as_csv(content: dict) -> str:
  """A row a run."""
  names = [row['name'] for row in content['classes']]
  columns = ('method', 'seed', 'initial_weights', 'first_cross_entropy', 'steps', 'seconds_per_step', 'peak_memory_mb')
  rows = [{key: run[key] for key in columns} for run in content['runs']]
  for row, run in zip(rows, content['runs'], strict=True):
    for split in SPLITS:
      if run[split]:
        row |= {f'{split}_{key}': run[split]['figures'][key] for key in content['figures']}
        for score, values in run[split]['classes'].items():
          row |= {f'{split}_{score}_{name}': value for name, value in zip(names, values, strict=True)}
  text = io.StringIO()
  writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()
