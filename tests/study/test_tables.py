"""Means, standard errors and paired intervals are those of SciPy; runs that start unlike are noted; and the tables in
misc/results/README.md follow from the CSV files beside it."""

import csv
import json
import re

import numpy as np
import pytest
from scipy import stats

from pyscripts.study import tables
from pyscripts.study.tables import paired, summary
from tests.data.trees import ROOT


def row(method: str, seed: int, **changes) -> dict:
  scores = {key: 10.0 * seed + len(method) for key in ('mean_iou', 'mean_boundary_f', 'mean_boundary_iou')}
  scores |= {'mean_iou_within_2_px_of_boundaries': None, 'iou_road': 90.0, 'iou_pole': 5.0 * seed}
  start = {'initial_weights': f'CRC {seed}', 'first_cross_entropy': 2.0}
  costs = {'steps': 4, 'seconds_per_step': 0.5, 'peak_memory_mb': 700.0}
  made = {'method': method, 'seed': seed, 'flags': '', **start, **costs, 'settings': {'random_seed': seed}}
  return {**made, 'val_curve': [], 'val': {'list': 'a', 'images': 3, 'scores': scores}, **changes}


@pytest.mark.parametrize('n', [2, 5, 30])
def test_as_scipy(n):
  """A common shift by seed widens the groups and leaves the interval of the differences alone."""
  rng = np.random.default_rng(n)
  values, against = rng.normal(50, 3, [2, n]) + rng.normal(0, 50, n)
  assert summary(values) == {'mean': pytest.approx(np.mean(values)), 'standard_error': pytest.approx(stats.sem(values)),
                             'n': n}  # fmt: skip
  found, interval = paired(values, against), stats.ttest_rel(values, against).confidence_interval(0.95)
  assert (found['mean'], found['n']) == (pytest.approx(np.mean(values - against)), n)
  assert (found['low'], found['high']) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_what_is_not_known_counts_for_nothing():
  assert summary([None, 4.0]) == {'mean': 4.0, 'standard_error': None, 'n': 1}
  assert summary([]) == {'mean': None, 'standard_error': None, 'n': 0}
  assert paired([1.0, None, 5.0], [2.0, 3.0, None]) == {
    'mean': -1.0, 'standard_error': None, 'n': 1, 'low': None, 'high': None
  }  # fmt: skip
  assert paired([None], [1.0])['mean'] is None
  assert paired([3.0, 3.0], [2.0, 2.0])['low'] == paired([3.0, 3.0], [2.0, 2.0])['high'] == 1.0


def test_tables(tmp_path):
  rows = [row(method, seed) for seed in (1, 2) for method in ('baseline', 'aaf')] + [row('aaf', 3)]
  text = tables.write(tmp_path, rows, [], 'baseline', ['pole'])
  assert '| baseline | 2 | 23.00 ± 5.00 | 7.50 ± 2.50 |' in text and 'Note' not in text
  assert '| aaf | 3 | 23.00 ± 5.77 | 10.00 ± 2.89 |' in text
  assert '| aaf − baseline | 2 | −5.00 [−5.00, −5.00] | +0.00 [+0.00, +0.00] |' in text and '| n/a |' in text
  assert '| aaf − affinity | 0 | n/a |' in tables.write(tmp_path / 'alone', rows, [], 'affinity', [])
  found = list(csv.DictReader((tmp_path / 'study.csv').read_text().splitlines()))
  assert [(r['method'], r['seed'], r['val_mean_iou'], r['val_iou_pole']) for r in found] == [
    ('baseline', '1', '18.0', '5.0'), ('aaf', '1', '13.0', '5.0'), ('baseline', '2', '28.0', '10.0'),
    ('aaf', '2', '23.0', '10.0'), ('aaf', '3', '33.0', '15.0'),
  ]  # fmt: skip


@pytest.mark.parametrize(
  ('changes', 'noted'),
  [({}, 0), ({'initial_weights': 'CRC 0'}, 1), ({'first_cross_entropy': 2.001}, 0), ({'first_cross_entropy': 2.01}, 1)],
)
def test_runs_of_a_seed_that_start_unlike_are_noted(tmp_path, changes, noted):
  rows = [row('baseline', 1), row('aaf', 1, **changes), row('baseline', 2, initial_weights='another seed')]
  text = tables.write(tmp_path, rows, [], 'baseline', [])
  assert text.count('Note: seed 1: aaf and baseline start unlike') == text.count('Note') == noted


# The published tables.

FOLDER = ROOT / 'misc' / 'results'
README = (FOLDER / 'README.md').read_text(encoding='utf-8')
TABLES = [
  [[cell.strip() for cell in line.strip('|\n').split('|')] for line in table.splitlines()]
  for table in re.findall(r'(?:^\|.*\n)+', README, re.MULTILINE)
  if '.csv' in table
]
COLUMNS = {
  'mIoU': 'mean_iou',
  'thin classes': 'thin_iou',
  'boundary F': 'mean_boundary_f',
  'mIoU within 2 px': 'mean_iou_within_2_px_of_boundaries',
  'pixel accuracy': 'mean_pixel_acc',
}


def read(name: str) -> list[dict]:
  return list(csv.DictReader((FOLDER / name).read_text(encoding='utf-8').splitlines()))


def by_method(rows: list[dict]) -> dict[str, dict[str, dict]]:
  """The rows by method and seed."""
  methods = {}
  for row in rows:
    methods.setdefault(row['method'], {})[row['seed']] = row
  return methods


def level(runs: dict, key: str) -> str:
  found = summary(row[key] for row in runs.values())
  return ('{mean:.1f}' if found['n'] == 1 else '{mean:.1f} ± {standard_error:.1f}').format(**found)


def gain(runs: dict, baseline: dict, key: str) -> str:
  """Paired by seed: the gain of each of at most two seeds, or the mean with its 95 % t-interval."""
  values, against = ([float(rows[seed][key]) for seed in runs] for rows in (runs, baseline))
  if len(runs) < 3:
    text = ', '.join(f'{a - b:+.1f}' for a, b in zip(values, against, strict=True))
  else:
    text = '{mean:+.1f} [{low:+.1f}, {high:+.1f}]'.format(**paired(values, against))
  return text.replace('-', '−')


@pytest.mark.parametrize('table', TABLES, ids=lambda table: table[0][0].split(']')[0].strip('['))
def test_table(table):
  (source, seeds, *titles), _, *rows = table
  name, part = re.fullmatch(r'\[(.*\.csv)\]\(\1\), (test|validation)', source).groups()
  split, runs = {'test': 'test', 'validation': 'val'}[part], by_method(read(name))
  assert seeds == 'seeds' and rows[0][0] == 'baseline' and len(rows) <= 8
  for method, count, *cells in rows:
    assert int(count) == len(runs[method])
    for title, cell in zip(titles, cells, strict=True):
      key = f'{split}_{COLUMNS[title.removeprefix("gain, ")]}'
      if not title.startswith('gain, '):
        assert cell == level(runs[method], key)
      else:
        assert cell == ('' if method == 'baseline' else gain(runs[method], runs['baseline'], key))


def test_chart():
  assert tables.curves(json.loads((FOLDER / 'camvid_losses.json').read_text())['runs'])[0] in README


def test_every_result_file_is_named():
  """And every file that the page names is there."""
  named = set(re.findall(r'\w+\.csv', README))
  assert named == {path.name for path in FOLDER.glob('*.csv')} and len(TABLES) > 4


def test_recipes():
  """Each row of the table of recipes has the scores of the file, in the order of the steps."""
  scores = {}
  for row in read('camvid_finetune.csv'):
    if row['steps'] in ('1101', '1835'):
      scores.setdefault(row['recipe'], []).append(f'{float(row["val_mean_iou"]):.1f}')
  for recipe, row in scores.items():
    assert re.search(rf'^\| {recipe}, \S+ {re.escape("| " + " | ".join(row))} \|', README, re.IGNORECASE | re.MULTILINE)


def test_scores_in_the_text_on_recipes():
  text = ' '.join(README[README.index('## How soon') : README.index('## The demo')].split())
  scores = [row['val_mean_iou'] for row in read('camvid_rates.csv')]
  scores += [row['val_mean_iou'] for row in read('camvid_recipe.csv') + read('camvid_finetune.csv')]
  scores += [row['test_mean_iou'] for row in read('camvid_recipe.csv') + read('camvid_finetune.csv')]
  assert [score for score in scores if score and f' {float(score):.1f}' not in text] == []
