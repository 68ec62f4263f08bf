"""One result from many files: every core adds up its share in a process of its own.

For work that holds the interpreter's lock (many small images), where threads gain nothing. The processes are forked, so
they start in a millisecond with everything loaded; they only decode and count. Where forking is not safe (TensorFlow is
loaded, or this is not Linux) the work is done here, with the same result.
"""

import array
import contextlib
import itertools
import os
import pickle
import selectors
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence

from PIL import Image

from utils.errors import RunError

_PART, _SUM, _ERROR = b'.', b'=', b'!'  # what a process says: a part is done; its sum follows; its error follows
_PARTS = 2048  # the most parts to hand out: their numbers fit into a pipe at once


def cores() -> int:
  """The number of cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def total(make: Callable, items: Sequence, title: str, processes: int | None = None):
  """`make()` after `.add(item)` for every item; sums that several processes made are joined by `.join(other)`.

  The order in which items are added is not fixed. An exception that `add` raises ends the work and is raised here.
  """
  processes = min(processes or cores(), len(items))
  parts = [items[i :: min(len(items), _PARTS)] for i in range(min(len(items), _PARTS))]
  if processes < 2 or not sys.platform.startswith('linux') or 'tensorflow' in sys.modules:
    return _alone(make(), parts, _Bar(title, len(items)))
  return _together(make, parts, processes, _Bar(title, len(items)))


def _alone(result, parts, bar):
  for part in parts:
    for item in part:
      result.add(item)
    bar.advance(len(part))
  bar.close()
  return result


def _together(make, parts, processes, bar):
  Image.preinit()  # loads Pillow's decoders once, here, instead of in every process
  parts = _Packed(parts)
  queue, fill = os.pipe()
  os.write(fill, b''.join(struct.pack('i', i) for i in range(len(parts))))
  os.close(fill)
  workers = {}  # the reading end of a process' pipe -> its number
  try:
    with _one_thread_each():
      for _ in range(processes):
        reader, pid = _start(make, parts, queue)
        workers[reader] = pid
    return _gather(workers, len(parts), bar)
  finally:
    os.close(queue)
    for reader, pid in workers.items():
      os.close(reader)
      os.kill(pid, signal.SIGKILL)  # it has nothing more to say; an unreaped process can be signalled safely
      os.waitpid(pid, 0)
    bar.close()


class _Packed:
  """Parts as one block of bytes: to look at a Python object writes to it, and a forked process pays for each page that
  it writes to with memory of its own."""

  def __init__(self, parts: Sequence):
    packed = list(map(pickle.dumps, parts))
    self.block, self.ends = b''.join(packed), array.array('Q', itertools.accumulate(map(len, packed), initial=0))

  def __len__(self) -> int:
    return len(self.ends) - 1

  def __getitem__(self, i: int):
    return pickle.loads(self.block[self.ends[i] : self.ends[i + 1]])


@contextlib.contextmanager
def _one_thread_each():
  """OpenCV's threads do not survive a fork, and as many processes as cores need none."""
  cv2 = sys.modules.get('cv2')
  threads = cv2.getNumThreads() if cv2 else 0
  if cv2:
    cv2.setNumThreads(1)
  yield
  if cv2:
    cv2.setNumThreads(threads)


def _start(make, parts, queue) -> tuple[int, int]:
  reader, writer = os.pipe()
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)  # NumPy's BLAS keeps threads; the child never calls it
    pid = os.fork()
  if pid:
    os.close(writer)
    return reader, pid
  try:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.close(reader)
    _keep_memory()
    with open(writer, 'wb') as out:
      _work(make, parts, queue, out)
  finally:
    os._exit(0)


def _keep_memory() -> None:
  """Tells glibc to keep what an image frees for the next one: fresh pages from the kernel cost as much as decoding."""
  import ctypes

  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  if mallopt:
    mmap_threshold, trim_threshold, size = -3, -1, 1 << 29
    mallopt(mmap_threshold, size)
    mallopt(trim_threshold, size)


def _work(make, parts, queue, out) -> None:
  try:
    result = make()
    while token := os.read(queue, 4):  # as many as there are, each to one process
      for item in parts[struct.unpack('i', token)[0]]:
        result.add(item)
      out.write(_PART)
      out.flush()
    message = _SUM + pickle.dumps(result)
  except Exception as e:
    message = _ERROR + pickle.dumps((e, traceback.format_exc()))
  out.write(message)


def _gather(workers, number, bar):
  result, said, done = None, dict.fromkeys(workers, b''), 0
  with selectors.DefaultSelector() as selector:
    for reader in workers:
      selector.register(reader, selectors.EVENT_READ)
    while selector.get_map():
      for key, _ in selector.select():
        data = os.read(key.fd, 1 << 20)
        said[key.fd] += data
        if data:
          part, said[key.fd] = _leading_parts(said[key.fd])
          done += part
          bar.advance_to(done / number)
          continue
        selector.unregister(key.fd)
        other = _sum_of(said.pop(key.fd))
        if result is None:
          result = other
        else:
          result.join(other)
  return result


def _leading_parts(said: bytes) -> tuple[int, bytes]:
  rest = said if said[:1] != _PART else said.lstrip(_PART)
  return len(said) - len(rest), rest


def _sum_of(said: bytes):
  kind, data = said[:1], said[1:]
  if kind == _SUM:
    return pickle.loads(data)
  if kind == _ERROR:
    error, trace = pickle.loads(data)
    raise error from RuntimeError(trace)
  raise RunError('a working process was ended from outside (out of memory?); free some memory and run again')


class _Bar:
  """A progress bar on standard error that appears when the work has lasted a second."""

  def __init__(self, title: str, number: int):
    self.title, self.number, self.done, self.bar, self.begun = title, number, 0, None, time.monotonic()

  def advance(self, more: int) -> None:
    self.done += more
    if self.bar is None and time.monotonic() - self.begun > 1:
      from tqdm import tqdm  # takes longer to load than a short run takes

      self.bar = tqdm(total=self.number, desc=self.title, unit='image')
    if self.bar is not None:
      self.bar.update(self.done - self.bar.n)

  def advance_to(self, share: float) -> None:
    self.advance(round(share * self.number) - self.done)

  def close(self) -> None:
    if self.bar is not None:
      self.bar.close()
