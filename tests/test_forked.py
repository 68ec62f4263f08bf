"""Work shared out to forked processes gives what one process gives, and fails as one process fails."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SUM = """
  import os, signal, sys, time
  from utils import errors, forked

  class Sum:
    def __init__(self):
      self.total, self.seen = 0, []
    def add(self, item):
      self.total += item
      self.seen.append(item)
      {extra}
    def join(self, other):
      self.total += other.total
      self.seen += other.seen

  def main(argv):
    result = forked.total(Sum, list(range({number})), 'adding', {processes})
    print(result.total, sorted(result.seen) == list(range({number})), os.getpid())

  sys.exit(errors.run(main))
"""


def run(number=10, processes=3, extra='pass', **kwargs):
  """In a process of its own: this one may have loaded TensorFlow, beside which nothing is forked."""
  code = textwrap.dedent(SUM).format(number=number, processes=processes, extra=extra)
  return subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60, **kwargs)


@pytest.mark.parametrize('number', [0, 1, 2, 3000])
@pytest.mark.parametrize('processes', [1, 2, 5])
def test_every_item_is_added_once(number, processes):
  out = run(number, processes)
  assert out.stdout.split()[:2] == [str(number * (number - 1) // 2), 'True'], out.stderr


def test_processes_are_used():
  extra = 'os.write(2, b"%d\\n" % os.getpid()); time.sleep(0.01)'
  out = run(40, 2, extra)
  assert len(set(out.stderr.split())) == 2 and out.stdout.split()[-1] not in out.stderr.split()


@pytest.mark.parametrize('processes', [1, 3])
def test_an_expected_error_is_one_line(processes):
  out = run(2000, processes, extra='if item == 7: raise errors.InputError("seven: is bad")')
  assert (out.returncode, out.stdout, out.stderr) == (2, '', 'error: seven: is bad\n')


def test_a_mistake_of_the_program_keeps_its_trace():
  out = run(20, 2, extra='if item == 7: 1 / 0')
  assert out.returncode == 1 and 'ZeroDivisionError' in out.stderr and 'in add' in out.stderr


def test_a_killed_process_is_said():
  out = run(20, 2, extra='if item == 7: os.kill(os.getpid(), signal.SIGKILL)')
  assert out.returncode == 1 and out.stderr.startswith('error: a working process was ended from outside')


def test_sigterm_ends_the_processes_too():
  extra = 'os.write(1, b"begun %d\\n" % os.getpid()); time.sleep(60)'
  code = textwrap.dedent(SUM).format(number=2, processes=2, extra=extra)
  with subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
    children = [int(process.stdout.readline().split()[1]) for _ in range(2)]
    process.terminate()
    assert process.wait(20) == 143
    assert process.stdout.read() == ''  # nobody is left who could write
  for child in children:
    assert not pathlib.Path(f'/proc/{child}').exists()
