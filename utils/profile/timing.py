"""What the programs under pyscripts/profile share: timing, this machine's ceiling, memory, and counting of operations.

Machines are shared and noisy, so a time says little by itself: every figure is a median, set against the matrix product
that the same process measured at the same time.
"""

import concurrent.futures
import multiprocessing
import re
import statistics
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from utils import memory


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


def wait_for(result) -> None:
  """Returns when every tensor of a result has been computed."""
  for tensor in tf.nest.flatten(result):
    if hasattr(tensor, 'numpy'):
      tensor.numpy()


def matmul_call(dtype='float32', side: int = 2048) -> tuple[Callable, float]:
  """A product of two square matrices, and its GFLOP: the ceiling that everything here is measured against."""
  a, b = (tf.cast(tf.random.stateless_normal((side, side), [0, i]), dtype) for i in (0, 1))
  product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, b)[0]))
  return product, 2 * side**3 / 1e9


def conv_gflop(function: Callable, *specs) -> float:
  """GFLOP (two per multiply-add) of the convolutions and matrix products in one call of `function` on `specs`."""
  total = 0
  for op in tf.function(function).get_concrete_function(*specs).graph.get_operations():
    if op.type == 'Conv2D':
      filters, outputs = op.inputs[1].shape, op.outputs[0].shape
      total += 2 * filters.num_elements() // filters[-1] * outputs.num_elements()
  return total / 1e9


def memory_now() -> float:
  """Resident memory of this process in MB (Linux; elsewhere 0)."""
  try:
    return memory.resident()
  except OSError:
    return 0.0


def in_fresh_process(function: Callable, *args):
  """`function(*args)` of a new process, where no memory of earlier calls is reused. Both must be picklable."""
  spawn = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
    return process.submit(function, *args).result()


def peak_memory() -> float:
  """The largest resident memory that this process ever had, in MB (Linux; elsewhere 0)."""
  try:
    with open('/proc/self/status', encoding='ascii') as f:  # getrusage would count the process it was forked from
      return int(re.search(r'VmHWM:\s*(\d+) kB', f.read())[1]) * 1024 / 1e6
  except OSError:
    return 0.0


def extra_memory(call: Callable) -> float:
  """By how many MB resident memory rose at most while `call()` ran (sampled every millisecond, Linux)."""
  before, peak, done = memory_now(), 0.0, threading.Event()

  def watch():
    nonlocal peak
    while not done.wait(0.001):
      peak = max(peak, memory_now())

  thread = threading.Thread(target=watch)
  thread.start()
  try:
    wait_for(call())
  finally:
    done.set()
    thread.join()
  return max(0.0, peak - before)
