"""What the tests share. Four logical CPU devices stand for four GPUs."""

import contextlib
import functools
import os
import resource
import sys

import pytest

from utils import errors

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


def pytest_collection_finish(session):
  """Before TensorFlow runs anything its CPU is split; where no collected test imports it, neither does this."""
  tf = sys.modules.get('tensorflow')
  if tf is not None:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    tf.config.list_logical_devices()


@functools.cache
def strategy_on(number: int):
  """One strategy a process for each number of logical CPU devices, at most 4.

  TensorFlow's collective operations take groups of one size only within a process, and a second strategy would count
  them from the start again. So two devices have them, as GPUs do; other numbers add up on one device.
  """
  import tensorflow as tf

  operations = None if number == 2 else tf.distribute.ReductionToOneDevice()
  return tf.distribute.MirroredStrategy([f'/cpu:{i}' for i in range(number)], operations)


@pytest.fixture
def full_disk():
  """`with full_disk(n)`: no file may have more than n bytes, so that a write fails in its middle. Not to the end of the
  test, for pytest's own output may go to a longer file."""

  @contextlib.contextmanager
  def limited(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
      yield
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, limits)

  return limited


@pytest.fixture
def refused(capfd, tmp_path):
  """`refused(main, argv, *words)`: a user's mistake is one line that holds the words and exit code 2, and nothing is
  written, but for files and folders that are called as one of `but`. Returns the standard output."""

  def there(but) -> list:
    paths = (path for path in tmp_path.rglob('*') if path.name not in but)
    return sorted((path, path.is_file() and path.read_bytes()) for path in paths)

  def check(main, argv, *words, but=()) -> str:
    before = there(but)
    capfd.readouterr()
    code = errors.run(main, [str(word) for word in argv])
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if '%|' not in line and not line.startswith('note: ')]
    assert code == 2 and len(lines) == 1 and lines[0].startswith('error: '), err
    assert not [word for word in words if word not in lines[0]], err
    assert there(but) == before
    return out

  return check


@pytest.fixture
def mirrored():
  """`mirrored(n)`: the MirroredStrategy on n logical CPU devices."""
  return strategy_on
