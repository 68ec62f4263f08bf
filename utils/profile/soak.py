"""A long training in small, killed again and again: two replicas, validation, checkpoints, resume. What is left must be
what a run without interruption leaves, which trains at the same time."""

import csv
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np

from utils import checkpoint, errors
from utils.profile import generated

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = 5
GROWTH = 0.03  # what memory may grow by, from a tenth of the steps to the last
SECONDS_TO_START = 20  # in which a kill at the start of a run falls


def training(folder: pathlib.Path, steps: int, kills: int, seed: int) -> list[bool]:
  """Trains twice for `steps` steps and prints one table; whether memory stayed level and both runs left the same."""
  draw(folder, seed)
  whole, killed = folder / 'unbroken', folder / 'killed'
  begun = time.monotonic()
  unbroken = launch(folder, whole, steps)
  try:
    resumed_from = train_with_kills(folder, killed, steps, kills, seed)
    finish(unbroken, whole)
  finally:
    unbroken.kill()
    unbroken.wait()
  seconds = time.monotonic() - begun
  logs = [rows(run / 'log.csv') for run in (whole, killed)]
  level, slope = memory_growth(logs[0])
  left_over = sorted(names(killed) ^ names(whole))
  same = {
    'weights after the last step': same_weights(whole, killed, steps),
    'losses of every step': [losses(row) for row in logs[0]] == [losses(row) for row in logs[1]],
    'validations': rows(whole / 'validation.csv') == rows(killed / 'validation.csv'),
  }
  lines = {
    'training, two replicas': f'{steps} steps twice at the same time, {seconds:.0f} s',
    'SIGKILLs': f'{kills}; the run went on from steps {resumed_from}',
    'memory of the unbroken run': f'{level[0]:.0f} MB early, {level[1]:.0f} MB late; {slope:+.3f} MB a 1,000 steps',
    'files left over': ', '.join(left_over) or 'none',
    **{name: 'equal, bit for bit' if equal else 'DIFFER' for name, equal in same.items()},
  }
  for name, text in lines.items():
    print(f'| {name:27} | {text} |')
  return [level[1] < (1 + GROWTH) * level[0], not left_over, *same.values()]


def draw(folder: pathlib.Path, seed: int) -> None:
  """Eight images with labels, and lists of them; two are for validation."""
  folder.mkdir()
  sizes = [(40 + 4 * i, 72 - 4 * i) for i in range(8)]
  images = generated.photographs(folder / 'photos', sizes, seed=seed)
  generated.label_pairs(folder, sizes, CLASSES, seed=seed)
  lines = [f'photos/{image.name} gt/{image.stem}.png\n' for image in images]
  (folder / 'train.txt').write_text(''.join(lines))
  (folder / 'val.txt').write_text(''.join(lines[:2]))


def launch(folder: pathlib.Path, snapshot: pathlib.Path, steps: int) -> subprocess.Popen:
  """Starts a run, or lets one go on; its output is added to SNAPSHOT.txt."""
  often, seldom = max(2, steps // 200), max(3, steps // 20)
  flags = {'model': 'fcn8s', 'backbone': 'resnet_v1_14', 'num-classes': CLASSES, 'input-size': '16,16', 'num-gpu': 2}
  flags |= {'batch-size': 2, 'iter-size': 1, 'num-steps': steps, 'learning-rate': 1e-3, 'snapshot-dir': snapshot}
  flags |= {'data-dir': folder, 'data-list': folder / 'train.txt', 'val-list': folder / 'val.txt'}
  flags |= {'save-pred-every': often, 'keep': 3, 'val-every': seldom, 'update-tb-every': seldom}
  words = [str(word) for flag, value in flags.items() for word in (f'--{flag}', value)]
  switches = ['--random-scale', '--random-mirror', '--random-crop', '--deterministic', '--resume']
  command = [sys.executable, '-m', 'utils.profile.tiny_training', *words, *switches]
  with open(f'{snapshot}.txt', 'ab') as output:
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)


def train_with_kills(folder, snapshot: pathlib.Path, steps: int, kills: int, seed: int) -> list[int]:
  """Kills the run after random steps: there, or in the next checkpoint's writing, or as it starts again (in turns);
  then lets it end -> the steps of the checkpoints that it went on from."""
  rng, resumed_from = random.Random(seed), []
  process = launch(folder, snapshot, steps)
  try:
    for kill, step in enumerate(sorted(rng.sample(range(steps - 1), kills))):
      if kill % 3 == 2:
        time.sleep(rng.uniform(0, SECONDS_TO_START))
      else:
        wait_until(lambda step=step: last_step(snapshot) >= step, process)
      if kill % 3 == 1:
        wait_until(lambda: any(snapshot.glob('.writing*')), process)
      process.kill()
      process.wait()
      resumed_from.append(max(checkpoint.steps_in(str(snapshot)), default=-1))
      process = launch(folder, snapshot, steps)
    finish(process, snapshot)
  finally:
    process.kill()
    process.wait()
  return resumed_from


def wait_until(condition, process: subprocess.Popen) -> None:
  """Returns early where the process ends."""
  while process.poll() is None and not condition():
    time.sleep(0.005)


def finish(process: subprocess.Popen, snapshot: pathlib.Path) -> None:
  if process.wait():
    last_line = pathlib.Path(f'{snapshot}.txt').read_text(errors='replace').strip().splitlines()[-1]
    raise errors.RunError(f'a training ended with exit code {process.returncode} ({last_line})')


def last_step(snapshot: pathlib.Path) -> int:
  """The step of the last whole line of log.csv; -1 before the first."""
  try:
    with open(snapshot / 'log.csv', 'rb') as f:
      f.seek(max(0, os.path.getsize(f.fileno()) - 1000))
      return int(f.read().splitlines()[-2].split(b',')[0])
  except (OSError, ValueError, IndexError):
    return -1


def rows(path: pathlib.Path) -> list[dict]:
  with open(path, newline='', encoding='utf-8') as f:
    return list(csv.DictReader(f))


def losses(row: dict) -> dict:
  """A row of log.csv without what is measured."""
  return {key: value for key, value in row.items() if key not in ('images_per_second', 'waited', 'memory_mb')}


def memory_growth(log: list[dict]) -> tuple[tuple[float, float], float]:
  """Resident MB (medians) in the second and the last tenth of the steps; from there, the slope in MB a 1,000 steps."""
  memory = np.array([float(row['memory_mb']) for row in log])
  tenth = len(memory) // 10
  steps = np.arange(tenth, len(memory))
  slope = np.polyfit(steps, memory[tenth:], 1)[0]
  return (float(np.median(memory[tenth : 2 * tenth])), float(np.median(memory[-tenth:]))), 1000 * slope


def names(snapshot: pathlib.Path) -> set[str]:
  """The files of a run, but for TensorBoard's, of which each start writes its own."""
  found = {str(path.relative_to(snapshot)) for path in snapshot.rglob('*')}
  return {name for name in found if 'tfevents' not in name}


def same_weights(whole: pathlib.Path, killed: pathlib.Path, steps: int) -> bool:
  """Whether the last checkpoints hold the same names and, bit for bit, the same values."""
  readers = [checkpoint.Reader(checkpoint.path_of(str(run), steps - 1)) for run in (whole, killed)]
  contents = [{name: reader.get(name).tobytes() for name in reader.shapes} for reader in readers]
  return contents[0] == contents[1]
