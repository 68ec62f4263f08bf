"""Ctrl-C and SIGTERM in the middle of a step."""

import os
import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
  """A context in which the first SIGINT or SIGTERM only sets `signum`, so that the step can be finished and saved; a
  second one ends the process at once.

  Python runs signal handlers between two of its own instructions, and a training step is one long call into
  TensorFlow. So the signals are read from the pipe that the system's handler writes to, by a thread.
  """

  def __init__(self):
    self.signum = 0

  def __enter__(self):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    self._writer = writer
    self._thread = threading.Thread(target=self._listen, args=(reader,), daemon=True)
    self._thread.start()
    self._wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    self._before = {s: signal.signal(s, lambda signum, frame: None) for s in SIGNALS}
    return self

  def __exit__(self, *exception):
    for signum, handler in self._before.items():
      signal.signal(signum, handler)
    signal.set_wakeup_fd(self._wakeup)
    os.close(self._writer)
    self._thread.join()

  def _listen(self, reader):
    with open(reader, 'rb', buffering=0) as pipe:
      while byte := pipe.read(1):  # empty once the writer is closed
        if byte[0] in SIGNALS:
          if self.signum:
            os._exit(128 + byte[0])
          self.signum = byte[0]
