"""Work on many files, on all cores, with a progress bar: by threads, or by processes that add up to one result."""

import collections
import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from PIL import Image

from utils.errors import InputError, RunError, one_line, working_on

AHEAD = 1000  # items that are handed to a pool before the first result is taken


def cores() -> int:
  """The number of cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def memory() -> float:
  """The machine's memory in bytes; 8 GB where the system does not tell."""
  try:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, ValueError, OSError):
    return 8e9


def in_threads(function: Callable, items: Iterable, title: str, unit: str = 'file') -> Iterator:
  """Yields `function(item)` in the order of `items`, computed by one thread per core.

  For work that releases the interpreter's lock (decoding and encoding large pictures). Closing the iterator cancels
  the items that have not begun.
  """
  items = list(items)
  pool = concurrent.futures.ThreadPoolExecutor(cores())
  try:
    yield from _with_bar(_map(pool, functools.partial(_call, function), items), title, unit, len(items))
  finally:
    pool.shutdown(cancel_futures=True)


def sound_results(function: Callable, items: Iterable, title: str, faults: list[str], unit: str = 'file') -> Iterator:
  """Yields (item, `function(item)`) as `in_threads` does, without the items that raised an InputError: its line is
  appended to `faults`."""

  def attempt(item):
    try:
      return item, function(item), None
    except InputError as e:
      return item, None, one_line(e)

  for item, result, fault in in_threads(attempt, items, title, unit):
    if fault is None:
      yield item, result
    else:
      faults.append(fault)


def _call(function: Callable, item):
  """`function(item)`; an exception says which item it was."""
  try:
    return function(item)
  except Exception as e:
    raise working_on(e, item) from e.__cause__


def in_background(function: Callable, items: Iterable) -> Iterator[concurrent.futures.Future]:
  """Yields the future of `function(item)` for every item, in order. One thread computes an item while the caller uses
  the result of the item before."""
  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    futures = collections.deque()
    for item in items:
      futures.append(thread.submit(function, item))
      if len(futures) > 1:
        yield futures.popleft()
    yield from futures


def accumulate(count: Callable, add: Callable, nothing, items: Sequence, title: str, processes: int | None = None):
  """The sum of `count(item)` over all items, computed by one process per core; `add(sum, more)` begins with `nothing`.

  For work that holds the interpreter's lock (many small images), where threads gain nothing. The processes are forked:
  they start with everything loaded. Where a fork is unsafe (TensorFlow is loaded, or this is not Linux) the items are
  counted here, with the same result: chunks are added in their order.

  Raises:
    RunError: a process was killed. What `count` raises is raised here. Either ends the other processes at once.
  """
  processes = max(1, min(processes or cores(), len(items)))
  size = max(1, min(64, len(items) // (8 * processes)))
  chunks = [items[i : i + size] for i in range(0, len(items), size)]
  count_chunk = functools.partial(_sum, count, add, nothing)
  if processes == 1 or not sys.platform.startswith('linux') or 'tensorflow' in sys.modules:
    return functools.reduce(add, _with_bar(map(count_chunk, chunks), title, 'image', len(items), size), nothing)
  Image.preinit()  # loads Pillow's decoders once, here, instead of in every process
  Image.core.set_blocks_max(8)  # Pillow keeps an image's memory for the next: new pages take as long as decoding
  if 'cv2' in sys.modules:
    sys.modules['cv2'].setNumThreads(1)  # OpenCV's threads do not survive a fork: the process would hang
  context = multiprocessing.get_context('fork')
  pool = concurrent.futures.ProcessPoolExecutor(processes, context, initializer=_leave_signals_to_parent)
  try:
    return functools.reduce(add, _with_bar(_map(pool, count_chunk, chunks), title, 'image', len(items), size), nothing)
  except BaseException as e:
    for process in multiprocessing.active_children():
      process.kill()  # the pool would finish the chunks that it has begun
    if isinstance(e, concurrent.futures.BrokenExecutor):
      raise RunError('a working process was killed (out of memory?); free some memory and run again') from None
    raise
  finally:
    pool.shutdown()


def _sum(count: Callable, add: Callable, nothing, chunk: Sequence):
  return functools.reduce(add, map(count, chunk), nothing)


def _map(pool: concurrent.futures.Executor, function: Callable, items: Iterable) -> Iterator:
  """`pool.map` with at most AHEAD items under way: a million at once take gigabytes.

  It cancels nothing after an error: Python 3.10 prints a trace where a cancelled item was at work.
  """
  futures = collections.deque()
  for item in items:
    futures.append(pool.submit(function, item))
    if len(futures) == AHEAD:
      yield futures.popleft().result()
  while futures:
    yield futures.popleft().result()


def _leave_signals_to_parent() -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  # After a parent that was killed by SIGKILL the pool's processes would wait for work for ever.
  threading.Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()


def _with_bar(results: Iterable, title: str, unit: str, total: int, step: int = 1) -> Iterator:
  """Yields `results`, each of which stands for `step` of `total` items; shows a progress bar after a second."""
  begun, bar = time.monotonic(), None
  with contextlib.ExitStack() as stack:
    for i, result in enumerate(results, 1):
      yield result
      if bar is None and time.monotonic() - begun > 1:
        from tqdm import tqdm  # not above: it loads as long as a hundred small images take

        bar = stack.enter_context(tqdm(desc=title, unit=unit, total=total, initial=(i - 1) * step))
      if bar is not None:
        bar.update(min(i * step, total) - bar.n)
