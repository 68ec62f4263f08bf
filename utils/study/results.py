"""The figures of a study: of each run, of each method (mean and standard error), and paired by seed.

Conventions: scores are percentages, None where there is none. A difference is taken seed by seed, over the seeds that
both methods have finished.
"""

import csv
import io
import json
import math
import re

from utils.score.boundaries import WIDTHS
from utils.study import outcome
from utils.study.plan import Run
from utils.study.statistics import paired, summary

NEAR = {f'mean_iou_within_{width}_px_of_boundaries': f'mIoU within {width} px' for width in WIDTHS}
FIGURES = {
  'mean_iou': 'mIoU',
  'thin_iou': 'mIoU, thin classes',
  'mean_boundary_f': 'boundary F',
  'mean_boundary_iou': 'boundary IoU',
  **NEAR,
  'mean_pixel_acc': 'pixel accuracy',
}
COLUMNS = {'iou': 'IoU', 'boundary_f': 'boundary F', 'boundary_iou': 'boundary IoU'}  # of the classes
SHORT = ('mean_iou', 'thin_iou', 'mean_boundary_f', 'mean_boundary_iou', 'mean_iou_within_2_px_of_boundaries')


def study(runs: list[Run], names: list[str], thin: list[str], **more) -> dict:
  """Everything that is known of the finished among `runs`, as one dictionary for json."""
  done = [run for run in runs if outcome.finished(run)]
  methods = list(dict.fromkeys(run.method for run in done))
  rows = [row(run, names, thin) for run in done]
  splits = {split: [each for each in rows if each[split]] for split in ('val', 'test')}
  return {
    **more,
    'classes': [{'name': name, 'thin': name in thin} for name in names],
    'methods': [method_summary(method, rows, runs) for method in methods],
    'seeds': list(dict.fromkeys(run.seed for run in done)),
    'unfinished': [run.name for run in runs if run not in done],
    'figures': {key: title for key, title in FIGURES.items() if thin or key != 'thin_iou'},
    **{split: compared(some, split, [m.name for m in methods]) for split, some in splits.items() if some},
    'runs': rows,
  }


def row(run: Run, names: list[str], thin: list[str]) -> dict:
  found = {split: outcome.scores(run, split) for split in ('val', 'test')}
  kept = {split: scores and shortened(scores, names, thin) for split, scores in found.items()}
  return {'method': run.method.name, 'seed': run.seed, **outcome.training_summary(run), **kept}


def shortened(scores: dict, names: list[str], thin: list[str]) -> dict:
  classes = {key: [each[key] for each in scores['classes']] for key in COLUMNS}
  thin_iou = summary([classes['iou'][names.index(name)] for name in thin])['mean']
  means = {**scores['means'], 'thin_iou': thin_iou if thin_iou is None else round(thin_iou, 6)}
  return {'images': scores['images'], 'figures': {key: means[key] for key in FIGURES}, 'classes': classes}


def method_summary(method, rows: list[dict], runs: list[Run]) -> dict:
  """What a method is and costs: the median of its runs' median seconds, the largest of their peaks of memory."""
  mine = [each for each in rows if each['method'] == method.name]
  settings = dict(next(run.settings for run in runs if run.method == method))
  del settings['random_seed']
  seconds = sorted(each['seconds_per_step'] for each in mine)
  return {
    'name': method.name,
    'kind': method.kind,
    'flags': ' '.join(method.flags),
    'settings': settings,
    'seeds': [each['seed'] for each in mine],
    'seconds_per_step': (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2,
    'peak_memory_mb': max(each['peak_memory_mb'] for each in mine),
  }


def compared(rows: list[dict], split: str, methods: list[str]) -> dict:
  by_method = {name: {each['seed']: each[split] for each in rows if each['method'] == name} for name in methods}
  by_method = {name: by_seed for name, by_seed in by_method.items() if by_seed}
  return {
    'images': rows[0][split]['images'],
    'methods': {name: described(summary, by_seed.values()) for name, by_seed in by_method.items()},
    'differences': [
      {'of': one, 'against': other, **difference(by_method[one], by_method[other])}
      for one, other in pairs_of(list(by_method))
      if by_method[one].keys() & by_method[other].keys()
    ],
  }


def pairs_of(methods: list[str]) -> list[tuple[str, str]]:
  """Every method against the first, and the adaptive loss against the affinity loss, as the paper claims."""
  against_first = [(name, methods[0]) for name in methods[1:]]
  claim = ('aaf', 'affinity')
  return against_first + [claim] * (set(claim) <= set(methods) and claim not in against_first)


def difference(one: dict, other: dict) -> dict:
  seeds = [seed for seed in one if seed in other]
  return {'seeds': seeds, **described(paired, [one[seed] for seed in seeds], [other[seed] for seed in seeds])}


def described(statistic, *groups) -> dict:
  """`statistic` of each figure and, class by class, of each column, over groups of `shortened` scores."""
  groups = [list(group) for group in groups]
  number = len(groups[0][0]['classes']['iou'])

  def of(value):
    found = statistic(*([value(scores) for scores in group] for group in groups))
    return {key: round(x, 6) if isinstance(x, float) else x for key, x in found.items()}

  return {
    'figures': {key: of(lambda scores, key=key: scores['figures'][key]) for key in FIGURES},
    'classes': {
      key: [of(lambda scores, key=key, c=c: scores['classes'][key][c]) for c in range(number)] for key in COLUMNS
    },
  }


def as_json(content: dict) -> str:
  """Indented, with lists of bare values on one line."""
  text = json.dumps(content, indent=1, allow_nan=False)
  return re.sub(r'\[[^][{}]*\]', lambda found: re.sub(r'\n\s*', ' ', found[0]), text) + '\n'


def as_csv(content: dict) -> str:
  """A row a run."""
  names = [each['name'] for each in content['classes']]
  columns = ('initial_weights', 'first_cross_entropy', 'steps', 'seconds_per_step', 'peak_memory_mb')
  rows = []
  for run in content['runs']:
    line = {key: run[key] for key in ('method', 'seed', *columns)}
    for split in ('val', 'test'):
      if run[split]:
        line |= {f'{split}_{key}': run[split]['figures'][key] for key in content['figures']}
        for column in COLUMNS:
          line |= {f'{split}_{column}_{n}': v for n, v in zip(names, run[split]['classes'][column], strict=True)}
    rows.append(line)
  text = io.StringIO()
  columns = list(dict.fromkeys(key for line in rows for key in line))
  writer = csv.DictWriter(text, columns, restval='', lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def as_markdown(content: dict) -> str:
  """Of each split the short table, a line a method, then a line a difference; the IoU of the classes; the curves."""
  parts = []
  for split in ('test', 'val'):
    if split in content:
      part = content[split]
      about = f'{split}, {part["images"]} images, seeds {", ".join(map(str, content["seeds"]))}'
      parts += [about, markdown(scores_table(content, part)), markdown(classes_table(content, part))]
  return '\n\n'.join([*parts, markdown(curves_table(curves(content))), legend(content)])


def scores_table(content: dict, part: dict) -> list[list[str]]:
  keys = [key for key in SHORT if key in content['figures']]
  costs = {
    each['name']: [f'{each["seconds_per_step"]:.2f}', f'{each["peak_memory_mb"] / 1000:.2f}']
    for each in content['methods']
  }
  return [
    ['', *(content['figures'][key] for key in keys), 's/step', 'memory, GB'],
    *([name, *(with_error(m['figures'][key]) for key in keys), *costs[name]] for name, m in part['methods'].items()),
    *([title(d), *(with_interval(d['figures'][key]) for key in keys), '', ''] for d in part['differences']),
  ]


def classes_table(content: dict, part: dict) -> list[list[str]]:
  columns = [each['classes']['iou'] for each in (*part['methods'].values(), *part['differences'])]
  shown = [with_error] * len(part['methods']) + [with_interval] * len(part['differences'])
  return [
    ['IoU', *part['methods'], *map(title, part['differences'])],
    *(
      [each['name'] + ' (thin)' * each['thin'], *(show(column[c]) for show, column in zip(shown, columns, strict=True))]
      for c, each in enumerate(content['classes'])
    ),
  ]


def curves(content: dict) -> dict[str, list]:
  """By method, the validation curve of each of its runs."""
  runs = content['runs']
  return {
    each['name']: [run['val_curve'] for run in runs if run['method'] == each['name']] for each in content['methods']
  }


def curves_table(by_name: dict[str, list], columns: int = 8) -> list[list[str]]:
  """mIoU of the images validated on while training: the mean of each group's curves, after steps that all of them have,
  `columns` of these at most, the last among them."""
  found = {name: [dict(map(tuple, curve)) for curve in group] for name, group in by_name.items()}
  steps = sorted(set.intersection(*(set(curve) for group in found.values() for curve in group)))
  steps = steps[:: -math.ceil(len(steps) / columns)][::-1] if steps else []
  return [
    ['mIoU after step', *map(str, steps)],
    *(
      [name, *(with_error(summary([curve[step] for curve in group])) for step in steps)]
      for name, group in found.items()
    ),
  ]


def title(difference: dict) -> str:
  return f'{difference["of"]} \u2212 {difference["against"]}'


def markdown(rows: list[list[str]]) -> str:
  lines = [rows[0], ['---'] * len(rows[0]), *rows[1:]]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def legend(content: dict) -> str:
  if len(content['seeds']) < 2:
    return 'In percent. One seed: no standard error and no interval, so no difference is shown to be more than chance.'
  return (
    'In percent: mean \u00b1 standard error over the seeds; differences are paired by seed, in brackets the 95 % '
    't-interval.'
  )


def with_error(figure: dict) -> str:
  if figure['mean'] is None:
    return 'n/a'
  error = '' if figure['standard_error'] is None else f' \u00b1 {figure["standard_error"]:.2f}'
  return f'{figure["mean"]:.2f}{error}'


def with_interval(figure: dict) -> str:
  if figure['mean'] is None:
    return 'n/a'
  interval = '' if figure['low'] is None else f' [{signed(figure["low"])}, {signed(figure["high"])}]'
  return f'{signed(figure["mean"])}{interval}'


def signed(value: float) -> str:
  return f'{value:+.2f}'.replace('-', '\u2212')
