"""What the programs under pyscripts/profile share: timing, this machine's ceiling, memory, and counting of operations.

Machines are shared and noisy, so a time says little by itself: every figure is a median, set against the matrix product
that the same process measured at the same time.
"""

import concurrent.futures
import contextlib
import multiprocessing
import pathlib
import re
import statistics
import time
from collections.abc import Callable

import tensorflow as tf

MATRIX_SIDE = 2048


def median_seconds(call: Callable, repeat: int = 5) -> float:
  """The median time of `call()`, whose result is waited for, after one call that does not count."""
  return interleaved_seconds({'': call}, repeat)['']


def interleaved_seconds(calls: dict[str, Callable], repeat: int = 5) -> dict[str, float]:
  """Median times of several calls made in turns, so that a busy moment falls on all of them."""
  for call in calls.values():
    wait_for(call())
  times = {name: [] for name in calls}
  for _ in range(repeat):
    for name, call in calls.items():
      begun = time.perf_counter()
      wait_for(call())
      times[name].append(time.perf_counter() - begun)
  return {name: statistics.median(values) for name, values in times.items()}


def seconds_and_ceiling(calls: dict[str, Callable], repeat: int, precision='float32') -> tuple[dict, float]:
  """Median times of `calls`, and the GFLOP/s of a matrix product measured in turns with them."""
  a, b = (tf.cast(tf.random.stateless_normal([MATRIX_SIDE] * 2, [0, i]), precision) for i in (0, 1))
  product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, b)[0]))
  seconds = interleaved_seconds({**calls, 'matrix product': product}, repeat)
  return seconds, 2e-9 * MATRIX_SIDE**3 / seconds['matrix product']


def described(seconds: float, gflop: float, ceiling: float) -> str:
  """The time of `gflop` operations, and their rate against the `ceiling` of GFLOP/s."""
  rate = gflop / seconds
  return f'{seconds:.3f} s, {rate:.0f} GFLOP/s, {rate / ceiling:.0%} of the matrix product ({ceiling:.0f})'


def wait_for(result) -> None:
  """Returns when every tensor of a result has been computed."""
  for tensor in tf.nest.flatten(result):
    if hasattr(tensor, 'numpy'):
      tensor.numpy()


def conv_gflop(function: Callable, *specs) -> float:
  """GFLOP (two per multiply-add) of the convolutions and matrix products in one call of `function` on `specs`."""
  total = 0
  for op in tf.function(function).get_concrete_function(*specs).graph.get_operations():
    if op.type == 'Conv2D':
      filters, outputs = op.inputs[1].shape, op.outputs[0].shape
      total += 2 * filters.num_elements() // filters[-1] * outputs.num_elements()
  return total / 1e9


def in_fresh_process(function: Callable, *args):
  """`function(*args)` of a new process, where no memory of earlier calls is reused. Both must be picklable."""
  spawn = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
    return process.submit(function, *args).result()


def peak_memory() -> float:
  """The largest resident memory of this process, in MB (Linux; elsewhere 0)."""
  with contextlib.suppress(OSError):  # getrusage would count the process it was forked from
    return int(re.search(r'VmHWM:\s*(\d+) kB', pathlib.Path('/proc/self/status').read_text())[1]) * 1024 / 1e6
  return 0.0


def extra_memory(call: Callable) -> float:
  """By how many MB resident memory rose at most while `call()` ran (Linux; elsewhere 0)."""
  with contextlib.suppress(OSError):
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # sets the largest memory back to that of now
  before = peak_memory()
  wait_for(call())
  return peak_memory() - before
