"""The tables of a study as text: rows of cells, and their Markdown. `content` is what `results.study` returns."""

import math

from utils.study.statistics import summary

SHORT = ('mean_iou', 'thin_iou', 'mean_boundary_f', 'mean_boundary_iou', 'mean_iou_within_2_px_of_boundaries')


def as_markdown(content: dict) -> str:
  """Of each list the scores and the IoU of the classes; the curves of the validations."""
  tables = []
  for split in ('test', 'val'):
    if split in content:
      scores = content[split]
      tables += [
        f'{split}, {scores["images"]} images, seeds {", ".join(map(str, content["seeds"]))}{fewer_seeds(content)}',
        markdown(scores_table(content, scores)),
        markdown(classes_table(content, scores)),
      ]
  return '\n\n'.join([*tables, markdown(curves_table(curves(content))), legend(content)])


def fewer_seeds(content: dict) -> str:
  """The seeds of the methods that have not all of them."""
  fewer = [m for m in content['methods'] if len(m['seeds']) < len(content['seeds'])]
  return ''.join(f'; {m["name"]}: {", ".join(map(str, m["seeds"]))}' for m in fewer)


def scores_table(content: dict, scores: dict) -> list[list[str]]:
  """A line a method, then a line a difference."""
  titles = {key: content['figures'][key] for key in SHORT if key in content['figures']}
  costs = {m['name']: [f'{m["seconds_per_step"]:.2f}', f'{m["peak_memory_mb"] / 1000:.2f}'] for m in content['methods']}
  return [
    ['', *titles.values(), 's/step', 'memory, GB'],
    *(
      [name, *(as_text(statistics['figures'][key]) for key in titles), *costs.get(name, ['', ''])]
      for name, statistics in by_title(scores).items()
    ),
  ]


def classes_table(content: dict, scores: dict, methods=None) -> list[list[str]]:
  """A line a class, a column a method or difference; of all methods, or of `methods` and their differences."""
  columns = by_title(scores, methods)
  return [
    ['IoU', *columns],
    *(
      [row['name'] + ' (thin)' * row['thin'], *(as_text(column['classes']['iou'][c]) for column in columns.values())]
      for c, row in enumerate(content['classes'])
    ),
  ]


def by_title(scores: dict, methods=None) -> dict[str, dict]:
  """The methods, then the differences; of all methods, or of `methods`."""
  kept = scores['methods'].keys() & set(methods or scores['methods'])
  differences = [d for d in scores['differences'] if {d['of'], d['against']} <= kept]
  means = {name: figures for name, figures in scores['methods'].items() if name in kept}
  return {**means, **{f'{d["of"]} \u2212 {d["against"]}': d for d in differences}}


def curves(content: dict) -> dict[str, list]:
  """By method, the validation curve of each of its runs."""
  curves = {method['name']: [] for method in content['methods']}
  for run in content['runs']:
    curves[run['method']].append(run['val_curve'])
  return curves


def curves_table(by_method: dict[str, list], columns: int = 12) -> list[list[str]]:
  """mIoU of the images validated on while training: the mean of each method's curves, after steps that all of them
  have, `columns` of these at most, the last among them."""
  by_step = {name: [dict(map(tuple, curve)) for curve in curves] for name, curves in by_method.items()}
  steps = sorted(set.intersection(*(set(curve) for curves in by_step.values() for curve in curves)))
  steps = steps[:: -math.ceil(len(steps) / columns)][::-1] if steps else []
  rows = [
    [name, *(as_text(summary([curve[s] for curve in curves])) for s in steps)] for name, curves in by_step.items()
  ]
  return [['mIoU after step', *map(str, steps)], *rows]


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


def as_text(figure: dict) -> str:
  """A `summary` as mean and standard error; a `paired` difference with signs and its interval."""
  if figure['mean'] is None:
    return 'n/a'
  if 'low' not in figure:
    error = figure['standard_error']
    return f'{figure["mean"]:.2f}' + ('' if error is None else f' \u00b1 {error:.2f}')
  interval = '' if figure['low'] is None else f' [{figure["low"]:+.2f}, {figure["high"]:+.2f}]'
  return f'{figure["mean"]:+.2f}{interval}'.replace('-', '\u2212')
