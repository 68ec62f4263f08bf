"""What the tests share. Four logical CPU devices stand for four GPUs."""

import functools
import os
import resource
import sys

import pytest

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
  """After `full_disk(n)` no file may have more than n bytes, so that a write fails in its middle."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
  resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def mirrored():
  """`mirrored(n)`: the MirroredStrategy on n logical CPU devices."""
  return strategy_on
