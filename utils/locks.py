"""One process at a time in an output folder."""

import contextlib
import os
import socket

from utils.errors import InputError

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None


class Held(InputError):
  """Another process holds the folder."""


@contextlib.contextmanager
def claim(folder, name: str):
  """Holds `folder`, made if need be, for this process while the block runs; the system ends the claim with the process.

  Two runs that write into one folder by mistake would destroy each other's files. The claim is a file in the folder,
  locked and removed at the end.

  Raises:
    Held: another process holds the folder.
    InputError: it cannot be made or written.
  """
  path = os.path.join(folder, f'.{name}')
  if fcntl is None:  # nothing to lock with on this system
    yield
    return
  while True:
    try:
      os.makedirs(folder, exist_ok=True)
      handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as e:
      raise InputError(f'{folder}: cannot be written ({e.strerror}); name another folder') from None
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      holder = os.read(handle, 200).decode(errors='replace').strip() or 'another process'
      os.close(handle)
      raise Held(f'{folder}: {holder} is writing there; wait for it, or name another folder') from None
    with contextlib.suppress(FileNotFoundError):
      if os.stat(path).st_ino == os.fstat(handle).st_ino:
        break
    os.close(handle)  # the holder before removed the file after it was opened here
  try:
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
    yield
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)
    os.close(handle)
