"""Expected failures of the scripts: one line on standard error and an exit code, never a traceback."""

import os
import signal
import sys


class InputError(Exception):
  """Wrong input (a flag, a path, the content of a file). One line: what, its value, how to correct it. Exit 2."""

  exit_code = 2


class RunError(Exception):
  """A failure at run time that checks of the input cannot find (disk full, a worker that died). One line. Exit 1."""

  exit_code = 1


class Stopped(BaseException):
  """The run was asked to stop by a signal, and has saved its state. Exit 128 + the signal's number.

  Like KeyboardInterrupt it is no Exception, so that `except Exception` around a library's call does not swallow it.
  """

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_code = 128 + signum


def run(main, argv=None) -> int:
  """Runs a script's `main(argv)` and returns its exit code; an expected failure becomes one line on standard error.

  `main` returns None or an exit code. Ctrl-C exits with 130. SIGTERM exits with 143, by an exception, so that temporary
  files are removed.
  """

  def terminate(signum, frame):
    raise Stopped('stopped by SIGTERM', signum)

  signal.signal(signal.SIGTERM, terminate)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # TensorFlow's own errors only
  if hasattr(sys.stdout, 'reconfigure'):
    sys.stdout.reconfigure(errors='backslashreplace')  # file names that the console cannot print
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
    print(f'error: out of memory ({one_line(e) or "none left"}); use smaller images or batches', file=sys.stderr)
    return RunError.exit_code


def one_line(error: BaseException | str) -> str:
  return ' '.join(str(error).split())


def os_error_line(error: OSError) -> str:
  """`PATH: the system's message`, for errors of the file system."""
  where = f'{error.filename}: ' if error.filename else ''
  return one_line(f'{where}{error.strerror or error}')
