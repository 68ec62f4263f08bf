"""The figures of a study as its JSON, CSV and Markdown have them: of each method, and paired by seed.

Conventions: scores are percentages; what is not known or not defined (the spread of a single value) is None, never NaN.
A difference to the baseline, the study's first method, is taken seed by seed, over the seeds that both have.
"""

import json
import math
import re
import statistics

from scipy import stats

from utils import files

SHOWN = {  # in Markdown; JSON and CSV have all scores
  'mean_iou': 'mIoU',
  'thin_iou': 'mIoU, thin classes',
  'mean_boundary_f': 'boundary F',
  'mean_boundary_iou': 'boundary IoU',
  'mean_iou_within_2_px_of_boundaries': 'mIoU within 2 px',
  'seconds_per_step': 's/step',
  'peak_memory_mb': 'memory, MB',
}
LEGEND = (
  'Mean \u00b1 standard error over the seeds, or difference paired by seed with its 95 % t-interval; scores in percent.'
)
SPLITS = ('test', 'val')
COLOURS = ('grey', 'blue', 'red', 'green', 'orange', 'purple', 'brown', 'black')  # of the curves
SAME_LOSS = 1e-3  # relative: the graphs of two methods round differently


def summary(values) -> dict:
  """-> mean, standard_error (s / sqrt(n), with n - 1 in s) and n of the values that are known."""
  known = [float(value) for value in values if value is not None]
  n = len(known)
  mean = statistics.fmean(known) if n else None
  return {'mean': mean, 'standard_error': statistics.stdev(known) / n**0.5 if n > 1 else None, 'n': n}


def paired(values, against) -> dict:
  """The mean of value - against over the pairs, with Student's interval: mean +- t(0.975, n - 1) * standard error.

  -> mean, standard_error, n, low, high.
  """
  result = summary(a - b for a, b in zip(values, against, strict=True) if a is not None and b is not None)
  low = high = None
  if result['n'] > 1:
    reach = float(stats.t.ppf(0.975, result['n'] - 1)) * result['standard_error']
    low, high = result['mean'] - reach, result['mean'] + reach
  return {**result, 'low': low, 'high': high}


def compared(rows: list[dict], split: str, baseline: str) -> dict:
  """Of a list, by method and score or cost: the `summary`, and the `paired` difference to the baseline method."""
  costs = ('seconds_per_step', 'peak_memory_mb')
  scores = {(row['method'], row['seed']): row[split]['scores'] | {key: row[key] for key in costs} for row in rows}
  methods, seeds = (list(dict.fromkeys(names)) for names in zip(*scores, strict=True))

  def of_all(statistic, *names) -> dict:
    keys = dict.fromkeys(key for each in scores.values() for key in each)
    return {key: statistic(*([scores.get((n, s), {}).get(key) for s in seeds] for n in names)) for key in keys}

  differences = {f'{name} \u2212 {baseline}': of_all(paired, name, baseline) for name in methods if name != baseline}
  means = {name: of_all(summary, name) for name in methods}
  return {'images': rows[0][split]['images'], 'methods': means, 'differences': differences}


def unequal_starts(rows: list[dict]) -> list[str]:
  """A note for each run that did not begin like the first of its seed: a method could win by its start.

  The first cross-entropy is that of equal weights on equal crops, unless flags of the method change one of them.
  """
  notes, first = [], {}
  for row in rows:
    other = first.setdefault(row['seed'], row)
    losses = row['first_cross_entropy'], other['first_cross_entropy']
    if row['initial_weights'] != other['initial_weights'] or not math.isclose(*losses, rel_tol=SAME_LOSS):
      starts = ' and '.join(
        f'{r["initial_weights"]} with cross-entropy {r["first_cross_entropy"]}' for r in (row, other)
      )
      notes.append(f'seed {row["seed"]}: {row["method"]} and {other["method"]} start unlike, from weights {starts}')
  return notes


def write(out_dir: str, rows: list[dict], other_rows: list[dict], baseline: str, thin: list[str]) -> str:
  """Writes OUT_DIR/study.{json,csv,md} of the rows; `other_rows` are kept in the JSON alone. Returns the Markdown.

  thin: classes whose mean IoU becomes the score `thin_iou`.
  """
  for scores in (row[split]['scores'] for row in rows for split in SPLITS if split in row):
    scores['thin_iou'] = summary(scores[f'iou_{name}'] for name in thin)['mean']
  scored = {split: [row for row in rows if split in row] for split in SPLITS}
  study = {split: compared(of_split, split, baseline) for split, of_split in scored.items() if of_split}
  study |= {'thin_classes': thin, 'notes': unequal_starts(rows), 'runs': rows, 'other_runs': other_rows}
  text = json.dumps(study, indent=1, allow_nan=False)
  text = re.sub(r'[\[{][^\[\]{}]*[\]}]', lambda found: re.sub(r'\n\s*', ' ', found[0]), text)  # bare values: one line
  files.write_text(f'{out_dir}/study.json', text + '\n')
  table = [flat(row) for row in rows]
  columns = list(dict.fromkeys(key for row in table for key in row))
  lines = ([row.get(column) for column in columns] for row in table)
  files.write_csv(f'{out_dir}/study.csv', [columns, *lines], plain=True)
  files.write_text(f'{out_dir}/study.md', as_markdown(study))
  return as_markdown(study)


def flat(run: dict) -> dict:
  """A run's row of the CSV."""
  row = {key: value for key, value in run.items() if not isinstance(value, dict | list)}
  for split in SPLITS:
    row |= {f'{split}_{key}': value for key, value in run.get(split, {}).get('scores', {}).items()}
  return row


def as_markdown(study: dict) -> str:
  """Of each list one line per method, then one line per difference."""
  parts = []
  for split in filter(study.get, SPLITS):
    rows = [['', 'seeds', *SHOWN.values()], ['---'] * (len(SHOWN) + 2)]
    for name, line in {**study[split]['methods'], **study[split]['differences']}.items():
      rows.append([name, str(line['mean_iou']['n']), *(as_text(line[key]) for key in SHOWN)])
    table = '\n'.join(f'| {" | ".join(cells)} |' for cells in rows)
    parts.append(f'{split} list, {study[split]["images"]} images:\n\n{table}')
  return '\n\n'.join([*parts, LEGEND, *curves(study['runs']), *(f'Note: {note}.' for note in study['notes'])]) + '\n'


def curves(runs: list[dict]) -> list[str]:
  """The mIoU of --val-list while training as a chart, in Mermaid: the mean of each method's runs. [] without
  curves, and for more methods than COLOURS."""
  steps = max(([step for step, _ in run['val_curve']] for run in runs), key=len, default=[])
  scores = {}
  for run in runs:
    curve = dict(run['val_curve'])
    if len(steps) > 1 and list(curve) == steps and None not in curve.values():
      scores.setdefault(run['method'], []).append(curve.values())
  if not 0 < len(scores) <= len(COLOURS):
    return []
  lines = ['%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "' + ', '.join(COLOURS) + '"}}}}%%']
  lines += ['xychart-beta', f'title "{", ".join(map(" ".join, zip(scores, COLOURS, strict=False)))}"']
  lines += [f'x-axis "step" [{", ".join(f"{step:g}" for step in steps)}]', 'y-axis "mIoU, %"']
  for of_method in scores.values():
    means = (statistics.fmean(column) for column in zip(*of_method, strict=True))
    lines.append(f'line [{", ".join(f"{mean:.1f}" for mean in means)}]')
  left_out = len(runs) - sum(map(len, scores.values()))
  note = [f'{left_out} runs without a score at each of these steps are not drawn.'] if left_out else []
  return ['\n'.join(['```mermaid', *lines, '```']), *note]


def as_text(figure: dict) -> str:
  """A `summary` as mean and standard error; a `paired` difference with signs and its interval."""
  if figure['mean'] is None:
    return 'n/a'
  if 'low' not in figure:
    error = '' if figure['standard_error'] is None else f' \u00b1 {figure["standard_error"]:.2f}'
    return f'{figure["mean"]:.2f}{error}'
  interval = '' if figure['low'] is None else f' [{figure["low"]:+.2f}, {figure["high"]:+.2f}]'
  return f'{figure["mean"]:+.2f}{interval}'.replace('-', '\u2212')
