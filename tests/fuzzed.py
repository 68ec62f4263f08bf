"""How many random cases the tests try: as many as each says, or FUZZ_EXAMPLES=20000 from the environment."""

import os

from hypothesis import HealthCheck, settings


def fuzz(number: int) -> settings:
  """Of `number` cases that are the same every time; with FUZZ_EXAMPLES so many, and others each time."""
  return settings(
    max_examples=int(os.environ.get('FUZZ_EXAMPLES', number)),
    deadline=None,
    derandomize='FUZZ_EXAMPLES' not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
  )
