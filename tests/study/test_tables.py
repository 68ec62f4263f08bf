"""Means, standard errors and paired intervals are those of SciPy; runs that start unlike are noted."""

import csv

import numpy as np
import pytest
from scipy import stats

from pyscripts.study import tables
from pyscripts.study.tables import paired, summary


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
  found = list(csv.DictReader((tmp_path / 'study.csv').read_text().splitlines()))
  assert [(r['method'], r['seed'], r['val_mean_iou'], r['val_iou_pole']) for r in found] == [
    ('baseline', '1', '18.0', '5.0'), ('aaf', '1', '13.0', '5.0'), ('baseline', '2', '28.0', '10.0'),
    ('aaf', '2', '23.0', '10.0'), ('aaf', '3', '33.0', '15.0'),
  ]  # fmt: skip


def test_without_the_baseline_there_is_no_difference(tmp_path):
  text = tables.write(tmp_path, [row('affinity', 1), row('aaf', 1)], [], 'baseline', [])
  assert '| affinity − baseline | 0 | n/a |' in text and '| aaf − baseline | 0 | n/a |' in text


@pytest.mark.parametrize(
  ('changes', 'noted'),
  [({}, 0), ({'initial_weights': 'CRC 0'}, 1), ({'first_cross_entropy': 2.001}, 0), ({'first_cross_entropy': 2.01}, 1)],
)
def test_runs_of_a_seed_that_start_unlike_are_noted(tmp_path, changes, noted):
  rows = [row('baseline', 1), row('aaf', 1, **changes), row('baseline', 2, initial_weights='another seed')]
  text = tables.write(tmp_path, rows, [], 'baseline', [])
  assert text.count('Note: seed 1: aaf and baseline start unlike') == text.count('Note') == noted
