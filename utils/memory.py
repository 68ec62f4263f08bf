"""The memory of processes, from Linux' /proc."""

import os


def resident(process: int | str = 'self') -> float:
  """Resident memory of a process (by its id; default: this one) in MB.

  Raises:
    OSError: the process has ended, or the system is not Linux.
  """
  with open(f'/proc/{process}/statm', encoding='ascii') as f:
    return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
