"""Processes that run out of disk and that are asked to stop twice. `tests/profile/test_soak.py` kills at random moments
of a long run; every moment of the writing of a checkpoint is in `tests/test_checkpoint.py`."""

import resource
import signal
import subprocess
import sys
import time

import pytest

from tests import tiny
from tests.tiny import ROOT, train
from utils import checkpoint, errors
from utils.train import run_folder

data = tiny.data


def test_a_second_signal_ends_even_a_step_that_hangs():
  """Python itself would look at signals only after the call, 2^31 rounds of a hash here."""
  code = (
    f'import sys, os, hashlib; sys.path.insert(0, {str(ROOT)!r})\n'
    'from utils.train.loop import StopRequest\n'
    'with StopRequest():\n'
    '  print("in", flush=True)\n'
    '  hashlib.pbkdf2_hmac("sha512", b"", b"", 2**31 - 1)\n'
  )
  process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
  try:
    assert process.stdout.readline() == 'in\n'
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=600) == 130
  finally:
    process.kill()
    process.stdout.close()


def test_a_full_disk_leaves_the_old_checkpoints_and_one_line(data, tmp_path, monkeypatch):
  """From step 3 on no file may have more than 1,000 bytes."""
  save, (soft, hard) = run_folder.RunFolder.save, resource.getrlimit(resource.RLIMIT_FSIZE)

  def limited(self, step, *args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if step > 2 else soft, hard))
    try:
      return save(self, step, *args)
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

  monkeypatch.setattr(run_folder.RunFolder, 'save', limited)
  with pytest.raises(errors.RunError, match=r'model.ckpt-3: the checkpoint could not be written .* ones are whole$'):
    train(data, tmp_path, save_pred_every=1)
  assert checkpoint.steps_in(str(tmp_path)) == [1, 2]
  assert all(checkpoint.readable(checkpoint.path_of(str(tmp_path), step)) for step in (1, 2))
  assert not list(tmp_path.glob('.writing*')) + list(tmp_path.glob('*ckpt-3*'))
