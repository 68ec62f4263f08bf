"""Processes that are killed, that run out of disk, that are asked to stop: with a real network and real signals.

LONG=1 kills more often and looks for leaks of memory (minutes; the default is for every day).
"""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import tiny
from tests.tiny import ROOT, assert_same, contents, last_checkpoint, start
from utils import checkpoint

data = tiny.data
LONG = 'LONG' in os.environ
KILLS = 20 if LONG else 2
REAL = {'backbone': 'resnet_v1_14'}
RUN = {**REAL, 'num_steps': 12, 'save_pred_every': 1, 'val_every': 4, 'keep': 3, 'deterministic': True}
RUN |= {'optimizer': 'adamw', 'schedule': 'cosine', 'warmup_steps': 3, 'ema_decay': 0.9, 'clip_norm': 1}
RUN |= {'aux_weight': 0.4, 'class_weights': 'balanced', 'label_smoothing': 0.1, 'ohem_threshold': 0.7}
RUN |= {'ohem_min_kept': 9, 'extra_loss': 'dice', 'scale_range': '0.7,1.5', 'random_rotate': 20}
RUN |= {'color_jitter': True, 'crop_max_share': 0.6}


@pytest.fixture(scope='module')
def launch():
  """`tiny.start`, and the end of what a failing test leaves running."""
  processes = []

  def launch(*args, **kwargs):
    processes.append(start(*args, **kwargs))
    return processes[-1]

  yield launch
  for process in processes:
    process.kill()
    process.communicate()


def finish(process, timeout=600) -> tuple[int, str]:
  out = process.communicate(timeout=timeout)[0]
  return process.returncode, out


@pytest.fixture(scope='module')
def unbroken(data, tmp_path_factory, launch):
  """The last checkpoint of a run that nothing interrupts, and how long it took from its first checkpoint on."""
  folder = tmp_path_factory.mktemp('unbroken')
  code, out = finish(launch(data, folder, val_list=data / 'list.txt', **RUN))
  assert code == 0, out
  return last_checkpoint(folder)


def wait_for(condition, process, seconds=600):
  end = time.time() + seconds
  while not condition():
    assert time.time() < end
    if process.poll() is not None:
      return
    time.sleep(0.005)


def assert_readable(folder, tensors):
  """Every checkpoint that a reader of the folder would find can be read, whole: so many tensors."""
  for step in checkpoint.steps_in(folder):
    assert len(contents(checkpoint.path_of(folder, step))) == tensors


def test_killed_at_random_moments_a_run_ends_as_unbroken(data, tmp_path, unbroken, launch):
  """Some kills fall in a checkpoint's writing: every other one waits for its temporary folder to appear."""
  folder, rng = str(tmp_path / 'run'), random.Random(KILLS)
  killed, in_writing, process = 0, 0, None
  while killed < KILLS:
    before = checkpoint.steps_in(folder)
    process = launch(data, folder, resume=True, val_list=data / 'list.txt', **RUN)
    wait_for(lambda before=before: checkpoint.steps_in(folder) != before, process)
    if rng.random() < 0.5:
      wait_for(lambda: any(name.startswith('.writing') for name in os.listdir(folder)), process, 60)
      time.sleep(rng.uniform(0, 0.1))
    else:
      time.sleep(rng.uniform(0, 0.5))
    process.kill()
    finish(process)
    killed += 1
    in_writing += any(name.startswith('.writing') for name in os.listdir(folder))
    assert_readable(folder, len(unbroken))
    if checkpoint.steps_in(folder)[-1] > RUN['num_steps'] - 4:  # leave something to kill
      for step in checkpoint.steps_in(folder)[1:]:
        for part in checkpoint.PARTS:
          os.remove(checkpoint.path_of(folder, step) + part)
  code, out = finish(launch(data, folder, resume=True, val_list=data / 'list.txt', **RUN))
  assert code == 0, out
  print(f'{killed} kills, {in_writing} of them while a checkpoint was written')
  assert_same(unbroken, last_checkpoint(folder))
  assert not [name for name in os.listdir(folder) if name.startswith('.writing')]


def test_sigterm_saves_and_exits_with_143(data, tmp_path, launch):
  """On two replicas (of the CPU, where there are no GPUs), in the middle of joint batches."""
  run = {'script': 'train_mgpu', 'num_gpu': 2, 'num_steps': 300, 'iter_size': 2, 'save_pred_every': 20}
  run |= {'deterministic': True}
  unbroken, folder = str(tmp_path / 'unbroken'), str(tmp_path / 'run')
  processes = [launch(data, unbroken, **run), launch(data, folder, **run)]
  wait_for(lambda: checkpoint.steps_in(folder), processes[1])
  processes[1].terminate()
  code, out = finish(processes[1])
  assert code == 143, out
  step = checkpoint.steps_in(folder)[-1]
  assert 20 <= step < 299
  assert f'stopped by SIGTERM after step {step}; saved {folder}/model.ckpt-{step}; go on with --resume' in out
  assert 'Traceback' not in out
  for process in (processes[0], launch(data, folder, resume=True, **run)):
    code, out = finish(process)
    assert code == 0, out
  assert_same(last_checkpoint(unbroken), last_checkpoint(folder))


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
    assert process.wait(timeout=20) == 130
  finally:
    process.kill()
    process.stdout.close()


@pytest.mark.parametrize('small', ['file size', 'disk'])
def test_a_full_disk_leaves_the_old_checkpoints_and_one_line(data, tmp_path, small, launch):
  """A checkpoint here is 64 MB: a limit on file sizes from step 2 on; a disk for two and a half of them."""
  folder, before = str(tmp_path / 'run'), None
  if small == 'disk':
    mounted = (
      os.path.ismount(folder)
      or not subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', str(tmp_path)], capture_output=True
      ).returncode
    )
    if not mounted:
      pytest.skip('only root can mount a small disk')
  else:
    before = (
      'import resource\n'
      'from utils.train import run_folder\n'
      'save = run_folder.RunFolder.save\n'
      'def limited(self, step, *args):\n'
      '  if step > 2: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000_000, 40_000_000))\n'
      '  return save(self, step, *args)\n'
      'run_folder.RunFolder.save = limited\n'
    )
  try:
    code, out = finish(launch(data, folder, before=before, num_steps=8, save_pred_every=1, **REAL))
    assert code == 1, out
    assert 'Traceback' not in out
    line = out.strip().splitlines()[-1]
    assert line.startswith('error: ') and 'model.ckpt-3: the checkpoint could not be written (' in line, out
    assert 'the earlier ones are whole' in line
    assert checkpoint.steps_in(folder) == [1, 2]
    assert_readable(folder, 145)
    assert not [name for name in os.listdir(folder) if name.startswith('.writing') or 'ckpt-3' in name]
  finally:
    if small == 'disk':
      shutil.rmtree(folder, ignore_errors=True)
      subprocess.run(['umount', str(tmp_path)], check=True)


@pytest.mark.skipif(not LONG, reason='takes minutes; set LONG=1')
def test_memory_does_not_grow(data, tmp_path, launch):
  """2,000 steps with validation, a real network: what is resident after the first validation and at the end."""
  run = {'num_steps': 2001, 'save_pred_every': 500, 'keep': 2, 'val_every': 100, 'val_list': data / 'list.txt'}
  code, out = finish(launch(data, tmp_path, **run, **REAL), timeout=3600)
  assert code == 0, out
  with open(tmp_path / 'log.csv', newline='') as f:
    memory = [float(row['memory_mb']) for row in csv.DictReader(f)]
  print(f'{memory[101]:.0f} MB at step 101, at most {max(memory):.0f} MB')
  assert max(memory) < 1.05 * memory[101]
