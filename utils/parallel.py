"""One result a file: every core at work on threads, results in order, a progress bar."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator

from tqdm import tqdm

from utils.forked import cores


def each(function: Callable, items: Iterable, title: str, unit: str = 'file') -> Iterator:
  """Yields `function(item)` in the order of `items`, computed on a thread a core; the bar shows after a second.

  For work that leaves the interpreter's lock alone (decoding and encoding large pictures); it runs beside TensorFlow,
  which does not survive the fork that `utils.forked` needs. Whoever stops iterating cancels what has not begun.
  """
  items = list(items)
  pool = concurrent.futures.ThreadPoolExecutor(cores())
  try:
    yield from tqdm(pool.map(function, items), desc=title, unit=unit, total=len(items), delay=1)
  finally:
    pool.shutdown(cancel_futures=True)
