"""Conversions: interrupted and continued, refused, and their files' permissions."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dataset import convert
from tests.data.trees import ROOT, flat_mask, png, save
from utils import images, labels
from utils.errors import InputError


def test_killed_in_the_middle_and_continued(tmp_path, rng):
  root = tmp_path / 'cs'
  for i in range(120):
    name = f'ulm_{i:06d}_000019'
    label = rng.integers(0, 34, (300, 300)).astype(np.uint8)
    save(root / 'gtFine' / 'train' / 'ulm' / f'{name}_gtFine_labelIds.png', label)
    os.makedirs(root / 'leftImg8bit' / 'train' / 'ulm', exist_ok=True)
  out = root / 'gtFineId' / 'train' / 'ulm'
  command = [sys.executable, str(ROOT / 'dataset' / 'prepare_cityscapes.py'), '--data-dir', str(root)]
  command += ['--list-dir', str(tmp_path / 'lists')]
  with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
    deadline = time.monotonic() + 60
    while len(list(out.glob('ulm*.png'))) < 5 and time.monotonic() < deadline and process.poll() is None:
      time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
  done = sorted(out.glob('ulm*.png'))
  assert 5 <= len(done) < 120
  times = {path: path.stat().st_mtime_ns for path in done}
  for path in done:
    png(path)
  assert subprocess.run(command, capture_output=True, check=False).returncode == 0
  assert len(list(out.glob('ulm*.png'))) == 120
  assert all(path.stat().st_mtime_ns == changed for path, changed in times.items())
  for path in sorted(out.glob('ulm*.png'))[::20]:
    source = root / 'gtFine' / 'train' / 'ulm' / path.name.replace('gtFineId', 'gtFine')
    np.testing.assert_array_equal(png(path)[0], labels.cityscapes_train_ids()[png(source)[0]])


def test_a_folder_that_cannot_be_made_ends_the_run_and_one_in_a_files_place_does_not(tmp_path):
  source = flat_mask(tmp_path / 'a.png')
  (tmp_path / 'file').write_text('')
  (tmp_path / 'taken' / 'a.png').mkdir(parents=True)
  jobs = [convert.Job(source, str(tmp_path / name), images.read_label) for name in ('taken/a.png', 'taken/b.png')]
  with pytest.raises(InputError, match='cannot be written'):
    convert.run([jobs[0]._replace(output=str(tmp_path / 'file/a.png'))], 'test')
  failed = convert.run(jobs, 'test')
  assert list(failed) == [jobs[0].output] and 'is a folder, not a file' in failed[jobs[0].output]
  assert (tmp_path / 'taken' / 'b.png').is_file()


def test_permissions_are_those_of_any_new_file(tmp_path):
  source, output = flat_mask(tmp_path / 'a.png'), tmp_path / 'out' / 'a.png'
  convert.run([convert.Job(source, str(output), images.read_label)], 'test')
  assert output.stat().st_mode == os.stat(source).st_mode
