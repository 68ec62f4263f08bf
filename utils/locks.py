"""One process at a time in an output folder."""

import contextlib
import os
import socket

from utils.errors import InputError

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None


@contextlib.contextmanager
def claim(folder, name: str):
  """Holds `folder` for this process while the block runs; the claim dies with the process, however it ends.

  Raises:
    InputError: another process holds it, or it cannot be written.
  """
  path = os.path.join(folder, f'.{name}')
  if fcntl is None:  # not on this system: nothing to hold it with
    yield
    return
  while True:
    try:
      handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as e:
      raise InputError(f'{folder}: cannot be written ({e.strerror}); name another folder') from None
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      holder = os.read(handle, 200).decode(errors='replace').strip() or 'another process'
      os.close(handle)
      raise InputError(f'{folder}: {holder} is writing there; wait for it, or name another folder') from None
    with contextlib.suppress(FileNotFoundError):
      if os.stat(path).st_ino == os.fstat(handle).st_ino:
        break
    os.close(handle)  # the earlier holder removed the file in between
  try:
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
    yield
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)
    os.close(handle)
