"""What the user reads when TensorFlow fails in the middle of a run."""

import errno
import os
import re

import tensorflow as tf

from utils.engine import distribute
from utils.errors import RunError

DISK_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
LOST_WORKER = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.DeadlineExceededError,
  tf.errors.InternalError,
)


def run_error(error, strategy, folder: str) -> RunError:
  """The error for a user whose run has `folder` for its snapshots: one line with the cause and the advice."""
  reason = short_message(error)
  if distribute.is_multi_worker(strategy) and isinstance(error, LOST_WORKER):
    return RunError(
      f'another worker has died or cannot be reached; the checkpoints in {folder} are whole: start all workers '
      f'again with --resume ({reason})'
    )
  if any(words in reason for words in DISK_FULL):
    return RunError(f'{folder}: no room there; its checkpoints are whole, go on with --resume ({reason})')
  if isinstance(error, tf.errors.ResourceExhaustedError):
    return RunError(f'out of memory; give a smaller --batch-size (and a larger --iter-size) or --input-size ({reason})')
  return RunError(f'TensorFlow failed; go on with --resume once the cause is gone ({reason})')


def short_message(error: tf.errors.OpError) -> str:
  """TensorFlow's message in one line, without names of operations and places in the code."""
  text = str(error).split('Traceback (most recent call last)')[0]  # of Python that read a file
  lines = [line for line in text.splitlines() if not re.match(r'Graph execution|Detected at node|  File "', line)]
  return ' '.join(re.sub(r'\[\[.*?]]|\[Op:.*?]|{{.*?}}', '', ' '.join(lines)).split())[:300]
