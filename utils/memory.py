"""Memory of processes, as Linux tells it."""

import os


def resident(process: int | str = 'self') -> float:
  """Resident memory of a process (its number; default: this one) in MB.

  Raises:
    OSError: the process has ended, or this system does not tell.
  """
  with open(f'/proc/{process}/statm', encoding='ascii') as f:
    return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
