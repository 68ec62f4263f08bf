"""Measure on generated data what long jobs must keep: memory that stays level over a prediction and over scorings, and
outputs that are those of an undisturbed run though the prediction was killed again and again. Exits with 1 where a
figure is not kept. Linux alone shows the memory of another process."""

import contextlib
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from utils import arguments, errors, memory

CLASSES = 5
GROWTH = 0.05  # what memory may grow by after the first tenth of work and time, but
FIRST, SECONDS = 0.1, 1.5  # not before these seconds: the benchmarks load their progress bar when one is over
NETWORK = ('--model', 'fcn8s', '--backbone', 'resnet_v1_14', '--num-classes', str(CLASSES))
WINDOWS = ('--input-size', '64,64', '--strides', '48,48')


def main(argv=None) -> int:
  flags = arguments.Parser(__doc__)
  flags.add_argument('--images', type=arguments.whole(0), default=2000, help='to predict; 0: leave this out')
  flags.add_argument('--kills', type=arguments.whole(0), default=5, help='of the second prediction, spread over it')
  flags.add_argument('--pairs', type=arguments.whole(0), default=20000, help='to score; 0: leave this out')
  flags.add_argument('--seed', type=arguments.whole(0), default=0, help='of the data and of the moments of the kills')
  args = flags.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    folder, kept = pathlib.Path(folder), []
    if args.images:
      kept += predictions(folder, args.images, args.kills, args.seed)
    if args.pairs:
      kept += scorings(folder, args.pairs, args.seed)
  return int(not all(kept))


def predictions(folder: pathlib.Path, number: int, kills: int, seed: int) -> list[bool]:
  draw_images(folder / 'images', number, seed)
  save_network(folder / 'model.ckpt-0')
  whole, killed = folder / 'whole', folder / 'killed'
  level = watched(f'inference, {number} images', prediction(folder, whole))
  return [level, *([same_after_kills(folder, whole, killed, kills, seed)] if kills else [])]


def scorings(folder: pathlib.Path, number: int, seed: int) -> list[bool]:
  draw_pairs(folder, number, seed)
  words = ['--pred-dir', folder / 'pred', '--gt-dir', folder / 'gt', '--num-classes', CLASSES]
  by_instance = [*words, '--inst-dir', folder / 'inst']
  return [
    watched(f'benchmark_by_mIoU, {number} pairs', script('benchmark/benchmark_by_mIoU', *words)),
    watched(f'the same --boundary, {number} pairs', script('benchmark/benchmark_by_mIoU', *words, '--boundary')),
    watched(f'benchmark_by_instance, {number} pairs', script('benchmark/benchmark_by_instance', *by_instance)),
  ]


def script(name: str, *words) -> list[str]:
  return [sys.executable, str(ROOT / 'pyscripts' / f'{name}.py'), *map(str, words)]


def prediction(folder: pathlib.Path, save_dir: pathlib.Path, *more) -> list[str]:
  words = ['--image-dir', folder / 'images', '--restore-from', folder / 'model.ckpt-0', '--save-dir', save_dir]
  return script('inference/inference', *NETWORK, *WINDOWS, *words, *more)


# Generated data.


def draw_images(folder: pathlib.Path, number: int, seed: int) -> None:
  """JPEG and PNG images of many sizes, 40 to 120 pixels a side."""
  import numpy as np
  from PIL import Image

  folder.mkdir()
  rng = np.random.default_rng(seed)
  for i in range(number):
    blocks = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    size = tuple(int(side) for side in rng.integers(40, 121, 2))
    Image.fromarray(blocks).resize(size).save(folder / f'{i:05}.{"jpg" if i % 2 else "png"}')


def save_network(prefix: pathlib.Path) -> None:
  """A checkpoint of a network as it is initialised."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  from seg_models.models import build
  from utils.engine import checkpoint

  model = build(*NETWORK[1:4:2], CLASSES)
  checkpoint.save(str(prefix), {checkpoint.name_of(v): v for v in model.variables})


def draw_pairs(folder: pathlib.Path, number: int, seed: int, distinct: int = 50) -> None:
  """Predictions, truths and instances of many sizes; those beyond the first `distinct` are links to these."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(seed)
  for part in ('pred', 'gt', 'inst'):
    (folder / part).mkdir()
  for i in range(number):
    paths = [folder / part / f'{i:05}.png' for part in ('pred', 'gt', 'inst')]
    if i >= distinct:
      for path in paths:
        os.link(path.parent / f'{i % distinct:05}.png', path)
      continue
    size = tuple(int(side) for side in rng.integers(40, 121, 2))
    truth = rng.integers(0, CLASSES + 1, (6, 6), dtype=np.uint8)
    truth[truth == CLASSES] = 255
    pred = np.where(rng.random(truth.shape) < 0.2, 0, np.minimum(truth, CLASSES - 1)).astype(np.uint8)
    for path, picture in zip(paths, (pred, truth, np.arange(36, dtype=np.uint8).reshape(6, 6)), strict=True):
      Image.fromarray(picture).resize(size, Image.Resampling.NEAREST).save(path)


# Memory.


def watched(title: str, command: list[str]) -> bool:
  """Runs a script, prints the memory of each of its processes, says whether all of them stay level."""
  samples, tenth, whole = memory_over(command)
  first, kept = max(tenth, FIRST * whole, SECONDS), False
  print(f'{title}: {whole:.0f} s')
  if whole < 2 * SECONDS:
    print('  too short to tell: ask for more')
    return False
  for number, points in enumerate(samples.values()):
    begin, later = ([mb for at, mb in points if (at <= first) == early] for early in (True, False))
    if begin and later:
      growth = max(later) / max(begin) - 1
      kept = growth < GROWTH and (kept or not number)
      name = f'worker {number}' if number else 'itself'
      print(
        f'  {name:9} {max(begin):7.1f} MB in the first {first:.1f} s, at most {max(later):7.1f} later: {growth:+.1%}'
      )
  return kept


def memory_over(command: list[str]) -> tuple[dict[int, list[tuple[float, float]]], float, float]:
  """Runs a script -> by process, the script's own first, (seconds, resident MB) since its work began, which is when it
  shows a bar or starts other processes; the seconds until its bar had passed the first tenth; all seconds."""
  samples, begun, output, tenth = {}, None, b'', 0.0
  environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
  with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
    try:
      os.set_blocking(process.stderr.fileno(), False)
      while process.poll() is None:
        output = (output + (process.stderr.read() or b''))[-400:]
        running = processes(process.pid)
        if begun is None and (len(running) > 1 or b'%|' in output):
          begun = time.monotonic()
        shares = re.findall(rb'\| (\d+)/(\d+) \[', output)
        if shares and int(shares[-1][0]) <= FIRST * int(shares[-1][1]):
          tenth = time.monotonic() - begun
        for pid in running if begun else ():
          with contextlib.suppress(OSError, IndexError):
            samples.setdefault(pid, []).append((time.monotonic() - begun, memory.resident(pid)))
        time.sleep(0.02)
    finally:
      process.kill()  # where this was stopped in between
    output += process.stderr.read() or b''
  if process.returncode or begun is None:
    raise errors.RunError(f'{" ".join(command[1:3])} failed: {output.decode(errors="replace").strip()}')
  return samples, tenth, time.monotonic() - begun


def processes(pid: int) -> list[int]:
  """A process and those that it started."""
  with contextlib.suppress(OSError):
    return [pid, *map(int, pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split())]
  return [pid]


# Kills.


def same_after_kills(folder, whole: pathlib.Path, killed: pathlib.Path, kills: int, seed: int) -> bool:
  """Kills a prediction, each time a good deal further on, then lets it end; compares what there is."""
  rng, want, unfinished = random.Random(seed), contents(whole), 0
  command = prediction(folder, killed, '--skip-existing')
  quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
  for kill in range(kills):
    enough = (kill + rng.uniform(0.2, 0.8)) / kills * len(want) / 2
    with subprocess.Popen(command, **quiet) as process:
      while process.poll() is None and len(list(killed.glob('gray/[!.]*'))) < enough:
        time.sleep(0.01)
      until = time.monotonic() + (5 if kill % 2 else rng.uniform(0, 0.05))
      while time.monotonic() < until and not (kill % 2 and temporaries(killed)):  # every other one in a file's writing
        pass
      process.kill()
    unfinished += len(temporaries(killed))
    damaged = [name for name, data in contents(killed).items() if want.get(name) != data]
    if damaged:
      print(f'inference, killed: {len(damaged)} outputs are not whole, for example {damaged[0]}')
      return False
  subprocess.run(command, check=True, **quiet)
  same = everything(killed) == everything(whole)
  print(f'inference, killed {kills} times, with {unfinished} temporary files left behind, then run to its end:')
  print(f'  all {len(want)} outputs {"are equal, byte for byte, and nothing else is there" if same else "DIFFER"}')
  return same


def temporaries(folder: pathlib.Path) -> list[str]:
  return [name for kind in ('gray', 'color') if (folder / kind).is_dir() for name in os.listdir(folder / kind)
          if name.startswith('.')]  # fmt: skip


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  """Name -> bytes of the outputs, temporary files left out."""
  return {name: data for name, data in everything(folder).items() if not pathlib.PurePath(name).name.startswith('.')}


def everything(folder: pathlib.Path) -> dict[str, bytes]:
  return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


if __name__ == '__main__':
  sys.exit(errors.run(main))
