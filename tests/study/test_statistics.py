"""Means, standard errors and paired intervals are those of SciPy."""

import numpy as np
import pytest
from scipy import stats

from utils.study.statistics import paired, summary


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
