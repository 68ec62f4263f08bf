"""Failures of the scripts: one line on standard error and an exit code; traces of unforeseen ones go to files."""

import contextlib
import os
import signal
import sys
import tempfile
import traceback


class InputError(Exception):
  """Wrong input (a flag, a path, the content of a file). One line: what, its value, how to correct it. Exit 2."""

  exit_code = 2


class RunError(Exception):
  """A failure at run time that checks of the input cannot find (disk full, a worker that died). One line. Exit 1."""

  exit_code = 1


@contextlib.contextmanager
def quiet_start():
  """Drops what native code writes to standard error in the block, which imports TensorFlow: notices about oneDNN and
  instruction sets, which no setting turns off."""
  if 'tensorflow' in sys.modules:
    yield
    return
  kept = os.dup(2)
  with open(os.devnull, 'wb') as nowhere:
    os.dup2(nowhere.fileno(), 2)
  try:
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)


class Stopped(BaseException):
  """The run was asked to stop by a signal, and has saved its state. Exit 128 + the signal's number.

  Like KeyboardInterrupt it is no Exception, so that `except Exception` around a library's call does not swallow it.
  """

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_code = 128 + signum


def run(main, argv=None) -> int:
  """Runs a script's `main(argv)` and returns its exit code; a failure becomes one line on standard error.

  `main` returns None or an exit code, or argparse ends it. Ctrl-C exits with 130. SIGTERM exits with 143, by an
  exception, so that temporary files are removed. Of what nobody foresaw the line names the exception and the file that
  has its trace; exit code 1.
  """

  def terminate(signum, frame):
    raise Stopped('stopped by SIGTERM', signum)

  signal.signal(signal.SIGTERM, terminate)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # TensorFlow's own errors only
  if hasattr(sys.stdout, 'reconfigure'):
    sys.stdout.reconfigure(errors='backslashreplace')  # file names that the console cannot print
  try:
    code = main(argv) or 0
    sys.stdout.flush()
    return code
  except SystemExit as e:  # argparse has answered --help or refused a flag
    return e.code or 0
  except BrokenPipeError:  # the reader of the output has gone, as `head` does
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return RunError.exit_code
  except (InputError, RunError, Stopped) as e:
    line, code = one_line(e), e.exit_code
  except KeyboardInterrupt:
    line, code = 'interrupted', 130
  except OSError as e:
    line, code = os_error_line(e), RunError.exit_code
  except MemoryError as e:
    line = f'out of memory ({one_line(e) or "none left"}); use smaller images or batches'
    code = RunError.exit_code
  except Exception as e:
    line, code = unforeseen(e), RunError.exit_code
  print(f'error: {line}', file=sys.stderr)
  return code


def unforeseen(error: Exception) -> str:
  """One line: the exception, what was being worked on (`working_on`), and the file that its trace was written to."""
  handle, path = tempfile.mkstemp(prefix='trace-', suffix='.txt')
  with open(handle, 'w', errors='backslashreplace') as file:
    traceback.print_exception(error, file=file)
  item, message = getattr(error, 'working_on', ''), one_line(f'{type(error).__name__}: {error}')[:300]
  return f'{one_line(item)}: {message} (trace: {path})' if item else f'{message} (trace: {path})'


def working_on(error: Exception, item) -> Exception:
  """The same exception, which says that `item` (a path, or what begins with one) was worked on when it came."""
  if not hasattr(error, 'working_on'):
    parts = item if isinstance(item, tuple) else (item,)
    error.working_on = next((part for part in parts if isinstance(part, str)), '')
  return error


def report(faults, number: int | None = None) -> int:
  """Prints what failed, a line for each of the strings `faults`, and returns the exit code. `number`: of what failed,
  where a line stands for several."""
  for fault in faults:
    print(f'error: {one_line(fault)}', file=sys.stderr)
  if faults:
    print(f'error: {number or len(faults)} failed, see above; fix them and run this again', file=sys.stderr)
  return RunError.exit_code if faults else 0


def one_line(error: BaseException | str) -> str:
  """The message in one line; control characters, which could steer a terminal, as `\\x1b` and the like."""
  text = ' '.join(str(error).split())
  return ''.join(c if c.isprintable() or c == ' ' else c.encode('unicode_escape').decode() for c in text)


def os_error_line(error: OSError) -> str:
  """`PATH: the system's message`, for errors of the file system."""
  where = f'{error.filename}: ' if error.filename else ''
  return one_line(f'{where}{error.strerror or error}')
