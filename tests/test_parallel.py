"""Forked processes accumulate what one process accumulates, fail as one process fails, and end with their parent."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SUM = """
  import operator, os, signal, sys, time
  from utils import errors, parallel

  def count(item):
    {extra}
    return [item]

  def main(argv):
    for number in {numbers}:
      for processes in {processes}:
        items = parallel.accumulate(count, operator.add, [], list(range(number)), 'adding', processes)
        print(items == list(range(number)), os.getpid())

  signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
  sys.exit(errors.run(main))
"""


def code(numbers=(20,), processes=(2,), extra='pass'):
  return textwrap.dedent(SUM).format(numbers=numbers, processes=processes, extra=extra)


def run(*args, **kwargs):
  """In a process of its own: this one may have loaded TensorFlow, beside which nothing is forked."""
  command = [sys.executable, '-c', code(*args, **kwargs)]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_every_item_is_added_once_and_in_order():
  out = run((0, 1, 2, 3000), (1, 2, 5))
  assert out.stdout.count('True') == 12, out.stdout + out.stderr


def test_processes_are_used(tmp_path):
  """Each waits with its item until the other has one, 20 seconds at most."""
  wait = f'open(f"{tmp_path}/{{os.getpid()}}", "w").close()'
  wait += f'; any(len(os.listdir("{tmp_path}")) > 1 or time.sleep(0.01) for _ in range(2000))'
  out = run((2,), extra=wait)
  pids = {path.name for path in tmp_path.iterdir()}
  assert len(pids) == 2 and out.stdout.split()[-1] not in pids


@pytest.mark.parametrize('processes', [1, 3])
def test_an_expected_error_is_one_line(processes):
  out = run((2000,), (processes,), 'if item == 7: raise errors.InputError("seven: is bad")')
  assert (out.returncode, out.stdout, out.stderr) == (2, '', 'error: seven: is bad\n')


def test_a_programming_error_keeps_its_trace():
  out = run(extra='if item == 7: 1 / 0')
  assert out.returncode == 1 and 'ZeroDivisionError' in out.stderr and out.stderr.count('\n') == 1
  trace = pathlib.Path(out.stderr.rpartition('trace: ')[2].rstrip(')\n'))
  assert 'in count' in trace.read_text()
  trace.unlink()


def test_a_killed_process_is_reported():
  out = run(extra='if item == 7: os.kill(os.getpid(), signal.SIGKILL)')
  assert out.returncode == 1 and out.stderr.startswith('error: a working process was killed'), out.stderr
  assert out.stderr.count('\n') == 1


@pytest.mark.parametrize('signum, exit_code', [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_ends_the_processes_too(signum, exit_code):
  """SIGINT goes to the whole group, as from a terminal."""
  command = [sys.executable, '-c', code((2,), extra='os.write(1, b"%d\\n" % os.getpid()); time.sleep(1e6)')]
  options = {'cwd': ROOT, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, start_new_session=True, **options) as process:
    children = [int(process.stdout.readline()) for _ in range(2)]
    (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
    out, err = process.communicate(timeout=600)  # returns when nobody is left who could write
  assert (process.returncode, out) == (exit_code, '') and err.count('\n') == (signum != signal.SIGKILL), err
  while any(pathlib.Path(f'/proc/{child}').exists() for child in children):
    time.sleep(0.1)


def test_an_interrupt_while_a_script_still_imports_is_one_line():
  command = [sys.executable, '-c', 'import utils; raise KeyboardInterrupt']
  out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
  assert out.returncode == -signal.SIGINT and out.stderr == 'error: interrupted\n'
