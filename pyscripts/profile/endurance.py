"""Measures on generated data what long jobs must keep: memory that stays level over a training, a prediction and
scorings, and results that are those of an undisturbed run though training and prediction were killed again and again.
Exits with 1 where a figure is not kept. Linux alone shows the memory of another process."""

import contextlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from utils import arguments, errors, parallel
from utils.profile import generated

CLASSES = 5
GROWTH = 0.03  # what memory may grow by from the first half of the time to the second
LEAST_SECONDS = 3  # of a job: programs load their progress bar after a second
NETWORK = ('--model', 'fcn8s', '--backbone', 'resnet_v1_14', '--num-classes', str(CLASSES))
WINDOWS = ('--input-size', '64,64', '--strides', '48,48')


def main(argv=None) -> int:
  flags = arguments.Parser(__doc__)
  flags.add_argument('--steps', type=arguments.whole(0), default=100000, help='to train; 0: leave this out')
  flags.add_argument('--training-kills', type=arguments.whole(0), default=20, help='of the second training')
  flags.add_argument('--images', type=arguments.whole(0), default=2000, help='to predict; 0: leave this out')
  flags.add_argument('--kills', type=arguments.whole(0), default=5, help='of the second prediction, spread over it')
  flags.add_argument('--pairs', type=arguments.whole(0), default=20000, help='to score; 0: leave this out')
  flags.add_argument('--seed', type=arguments.whole(0), default=0, help='of the data and of the moments of the kills')
  args = flags.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    folder, kept = pathlib.Path(folder), []
    if args.steps:
      from utils.profile import soak  # here, so that --help need not load TensorFlow

      kept += soak.training(folder / 'training', args.steps, args.training_kills, args.seed)
    if args.images:
      kept += predictions(folder, args.images, args.kills, args.seed)
    if args.pairs:
      kept += scorings(folder, args.pairs, args.seed)
  return int(not all(kept))


def predictions(folder: pathlib.Path, number: int, kills: int, seed: int) -> list[bool]:
  generated.photographs(folder / 'images', random_sizes(number, seed), ('png', 'jpg'), seed)
  save_network(folder / 'model.ckpt-0')
  level = stays_level(f'inference, {number} images', prediction(folder, folder / 'whole'))
  return [level, same_after_kills(folder, kills, seed)] if kills else [level]


def scorings(folder: pathlib.Path, number: int, seed: int) -> list[bool]:
  generated.label_pairs(folder, random_sizes(number, seed), CLASSES, 50, seed)
  words = ['--pred-dir', folder / 'pred', '--gt-dir', folder / 'gt', '--num-classes', CLASSES]
  by_instance = [*words, '--inst-dir', folder / 'inst']
  return [
    stays_level(f'benchmark_by_mIoU, {number} pairs', script('benchmark/benchmark_by_mIoU', *words)),
    stays_level(f'the same --boundary, {number} pairs', script('benchmark/benchmark_by_mIoU', *words, '--boundary')),
    stays_level(f'benchmark_by_instance, {number} pairs', script('benchmark/benchmark_by_instance', *by_instance)),
  ]


def script(name: str, *words) -> list[str]:
  return [sys.executable, str(ROOT / 'pyscripts' / f'{name}.py'), *map(str, words)]


def prediction(folder: pathlib.Path, save_dir: pathlib.Path, *more) -> list[str]:
  words = ['--image-dir', folder / 'images', '--restore-from', folder / 'model.ckpt-0', '--save-dir', save_dir]
  return script('inference/inference', *NETWORK, *WINDOWS, *words, *more)


def random_sizes(number: int, seed: int) -> list[tuple[int, int]]:
  rng = random.Random(seed)
  return [(rng.randint(40, 120), rng.randint(40, 120)) for _ in range(number)]


def save_network(prefix: pathlib.Path) -> None:
  """A checkpoint of a network as it is initialised."""
  from seg_models.models import build
  from utils import checkpoint

  model = build(*NETWORK[1:4:2], CLASSES)
  checkpoint.save(str(prefix), {checkpoint.name_of(v): v for v in model.variables})


# Memory.


def stays_level(title: str, command: list[str]) -> bool:
  """Runs a script and prints the largest memory of each of its processes in both halves of the time."""
  samples, seconds = memory_over(command)
  print(f'{title}: {seconds:.0f} s')
  if seconds < LEAST_SECONDS:
    print('  too short to tell: ask for more')
    return False
  growths = []
  for number, points in enumerate(samples.values()):
    halves = [[mb for at, mb in points if (at > seconds / 2) == later] for later in (False, True)]
    if all(halves):
      first, second = map(max, halves)
      growths.append(second / first - 1)
      name = f'worker {number}' if number else 'itself'
      print(f'  {name:9} {first:7.1f} MB in the first half, at most {second:7.1f} later: {growths[-1]:+.1%}')
  return max(growths) < GROWTH


def memory_over(command: list[str]) -> tuple[dict[int, list[tuple[float, float]]], float]:
  """Runs a script -> by process, the script's own first, (seconds, resident MB); and all seconds."""
  samples, begun = {}, time.monotonic()
  environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
  with tempfile.TemporaryFile() as output:
    with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
      try:
        while process.poll() is None:
          for pid in processes(process.pid):
            with contextlib.suppress(OSError, IndexError):  # it has just ended
              samples.setdefault(pid, []).append((time.monotonic() - begun, parallel.resident(pid)))
          time.sleep(0.02)
      finally:
        process.kill()  # where this was stopped in between
    if process.returncode:
      output.seek(0)
      raise errors.RunError(f'{" ".join(command[1:3])} failed: {output.read()[-400:].decode(errors="replace")}')
  return samples, time.monotonic() - begun


def processes(pid: int) -> list[int]:
  """A process and those that it started."""
  with contextlib.suppress(OSError):
    return [pid, *map(int, pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split())]
  return [pid]


# Kills.


def same_after_kills(folder: pathlib.Path, kills: int, seed: int) -> bool:
  """Kills a prediction, each time a good deal further on, then lets it end; compares what there is with `whole`."""
  rng, expected, killed, unfinished = random.Random(seed), contents(folder / 'whole'), folder / 'killed', 0
  command = prediction(folder, killed, '--skip-existing')
  quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
  for kill in range(kills):
    enough = (kill + rng.uniform(0.2, 0.8)) / kills * len(expected) / 2
    with subprocess.Popen(command, **quiet) as process:
      while process.poll() is None and len(list(killed.glob('gray/[!.]*'))) < enough:
        time.sleep(0.01)
      until = time.monotonic() + (5 if kill % 2 else rng.uniform(0, 0.05))
      while time.monotonic() < until and not (
        kill % 2 and list(killed.glob('*/.*'))
      ):  # every other in a file's writing
        pass
      process.kill()
    unfinished += len(list(killed.glob('*/.*')))
    damaged = [name for name, data in contents(killed, '[!.]*').items() if expected.get(name) != data]
    if damaged:
      print(f'inference, killed: {len(damaged)} outputs are not whole, for example {damaged[0]}')
      return False
  subprocess.run(command, check=True, **quiet)
  same = contents(killed) == expected
  print(f'inference, killed {kills} times, with {unfinished} temporary files left behind, then run to its end:')
  print(f'  all {len(expected)} outputs {"are equal, byte for byte, and nothing else is there" if same else "DIFFER"}')
  return same


def contents(folder: pathlib.Path, names: str = '*') -> dict[str, bytes]:
  return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(names) if path.is_file()}


if __name__ == '__main__':
  sys.exit(errors.run(main))
