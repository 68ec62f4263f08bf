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

CPU_SIDE, GPU_SIDE, GPU_PRODUCTS = 2048, 8192, 4  # of the matrices; a GPU is waited for once in so many products


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
  side, products = (GPU_SIDE, GPU_PRODUCTS) if gpu() else (CPU_SIDE, 1)
  deviations = 1, side**-0.5  # so that the products stay in float16's range
  a, b = (tf.cast(tf.random.stateless_normal([side] * 2, [0, 0], 0, x), precision) for x in deviations)

  @tf.function
  def product():
    x = a
    for _ in range(products):
      x = tf.matmul(x, b)
    return tf.reduce_sum(x[0])

  seconds = interleaved_seconds({**calls, 'matrix product': product}, repeat)
  return seconds, 2e-9 * products * side**3 / seconds['matrix product']


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


def gpu() -> str:
  """The first GPU's name, or an empty string."""
  return 'GPU:0' if tf.config.list_physical_devices('GPU') else ''


def peak_memory() -> float:
  """The largest memory of this process, in MB: on the GPU, or without one resident (Linux; elsewhere 0)."""
  if gpu():
    return tf.config.experimental.get_memory_info(gpu())['peak'] / 1e6
  with contextlib.suppress(OSError):  # getrusage would count the process it was forked from
    return int(re.search(r'VmHWM:\s*(\d+) kB', pathlib.Path('/proc/self/status').read_text())[1]) * 1024 / 1e6
  return 0.0


def extra_memory(call: Callable) -> float:
  """By how many MB the memory of `peak_memory` rose at most while `call()` ran."""
  if gpu():
    tf.config.experimental.reset_memory_stats(gpu())  # the largest memory is that of now
  with contextlib.suppress(OSError):
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # sets the largest memory back to that of now
  before = peak_memory()
  wait_for(call())
  return peak_memory() - before
