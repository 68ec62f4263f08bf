"""What the scripts say when something is wrong: one line on standard error and an exit code, never a traceback."""

import os
import signal
import sys


class InputError(Exception):
  """What the user gave is wrong (a flag, a path, a file's contents). One line: thing, value, mend. Exit 2."""

  exit_code = 2


class RunError(Exception):
  """A fault at run time that no flag could have foreseen (disk full, a worker that died). One line. Exit 1."""

  exit_code = 1


class Stopped(Exception):
  """The run was asked to stop and has saved what it had. Carries the signal's number; exit 128 + signum."""

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_code = 128 + signum


def run(main, argv=None) -> int:
  """Runs a script's `main(argv)` and returns its exit code; an expected failure becomes one line on standard error.

  `main` returns None or an exit code. `KeyboardInterrupt` exits with 130, SIGTERM (turned into an exception here, so
  that temporary files are removed on the way out) with 143.
  """

  def terminate(signum, frame):
    raise Stopped('stopped by SIGTERM', signum)

  signal.signal(signal.SIGTERM, terminate)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # TensorFlow's own errors only
  if hasattr(sys.stdout, 'reconfigure'):
    sys.stdout.reconfigure(errors='backslashreplace')  # names that the console has no letters for
  try:
    return main(argv) or 0
  except (InputError, RunError, Stopped) as e:
    print(f'error: {one_line(e)}', file=sys.stderr)
    return e.exit_code
  except KeyboardInterrupt:
    print('error: interrupted', file=sys.stderr)
    return 130
  except OSError as e:
    print(f'error: {os_error_line(e)}', file=sys.stderr)
    return RunError.exit_code
  except MemoryError as e:
    print(f'error: out of memory ({one_line(e) or "no more is to be had"}); ask for less at a time', file=sys.stderr)
    return RunError.exit_code


def one_line(error: BaseException) -> str:
  return ' '.join(str(error).split())


def os_error_line(error: OSError) -> str:
  """`PATH: what the system says`, for errors of the file system."""
  where = f'{error.filename}: ' if error.filename else ''
  return one_line(Exception(f'{where}{error.strerror or error}'))
