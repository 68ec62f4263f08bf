"""Means, standard errors and paired intervals are those of the books, and of SciPy."""

import numpy as np
import pytest
from scipy import stats

from utils.study.statistics import paired, summary


def test_by_hand():
  assert summary([1, 2, 3, 6]) == {'mean': 3.0, 'standard_error': pytest.approx((14 / 3 / 4) ** 0.5), 'n': 4}
  # Differences 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653 (any table of Student's t).
  found = paired([2, 4, 6], [1, 2, 3])
  reach = 4.302653 / 3**0.5
  assert (found['mean'], found['n']) == (2.0, 3)
  assert (found['low'], found['high']) == (pytest.approx(2 - reach, rel=1e-6), pytest.approx(2 + reach, rel=1e-6))


@pytest.mark.parametrize('n', [2, 5, 30])
def test_as_scipy(n):
  one, other = np.random.default_rng(n).normal(50, 3, [2, n])
  assert summary(one)['standard_error'] == pytest.approx(stats.sem(one))
  found, interval = paired(one, other), stats.ttest_rel(one, other).confidence_interval(0.95)
  assert found['mean'] == pytest.approx(np.mean(one - other))
  assert (found['low'], found['high']) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_the_interval_is_of_the_pairs_and_not_of_the_groups():
  """A common shift by seed widens the groups and leaves the differences alone."""
  rng = np.random.default_rng(0)
  one, other, shift = rng.normal(0, 1, 6), rng.normal(0, 1, 6), rng.normal(0, 50, 6)
  plain, shifted = paired(one, other), paired(one + shift, other + shift)
  assert shifted['low'] == pytest.approx(plain['low'], abs=1e-9)
  assert summary(one + shift)['standard_error'] > 5 * summary(one)['standard_error']


def test_covers_the_truth_as_often_as_it_says():
  rng = np.random.default_rng(1)
  hits = 0
  for _ in range(1000):
    found = paired(rng.normal(51, 2, 4), rng.normal(50, 2, 4))
    hits += found['low'] <= 1 <= found['high']
  assert 0.93 < hits / 1000 < 0.97


def test_what_is_not_known_counts_for_nothing():
  assert summary([None, 4.0]) == {'mean': 4.0, 'standard_error': None, 'n': 1}
  assert summary([]) == {'mean': None, 'standard_error': None, 'n': 0}
  assert paired([1.0, None, 5.0], [2.0, 3.0, None]) == {
    'mean': -1.0, 'standard_error': None, 'n': 1, 'low': None, 'high': None
  }  # fmt: skip
  assert paired([None], [1.0])['mean'] is None
  assert paired([3.0, 3.0], [2.0, 2.0])['low'] == paired([3.0, 3.0], [2.0, 2.0])['high'] == 1.0
