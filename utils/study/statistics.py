"""Statistics of a handful of runs: means with standard errors, paired differences with confidence intervals.

Conventions: a value that is not known is None; it counts for nothing, and a pair without one of its two is no pair.
What is undefined (the spread of a single value) is None too, never NaN.
"""

import statistics
from collections.abc import Sequence

from scipy import stats

CONFIDENCE = 0.95


def summary(values: Sequence[float | None]) -> dict:
  """-> mean, standard_error (s / sqrt(n), with n - 1 in s) and n."""
  known = [float(value) for value in values if value is not None]
  n = len(known)
  mean = statistics.fmean(known) if n else None
  return {'mean': mean, 'standard_error': statistics.stdev(known) / n**0.5 if n > 1 else None, 'n': n}


def paired(values: Sequence[float | None], against: Sequence[float | None]) -> dict:
  """The mean of value - against over the pairs, with Student's 95 % interval: mean +- t(0.975, n - 1) * standard error.

  -> mean, standard_error, n, low, high.
  """
  differences = [a - b for a, b in zip(values, against, strict=True) if a is not None and b is not None]
  result = {**summary(differences), 'low': None, 'high': None}
  if result['n'] > 1:
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, result['n'] - 1)) * result['standard_error']
    result |= {'low': result['mean'] - reach, 'high': result['mean'] + reach}
  return result
