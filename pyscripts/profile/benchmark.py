"""Measure benchmark_by_mIoU against two marks, as whole processes: one process that decodes the same files with Pillow
and does nothing else, and one that counts each pair by NumPy histograms. On generated pairs, or on given folders."""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from utils import arguments, errors, parallel

SETS = ((233, 360, 480, 11), (100, 1024, 2048, 19))  # pairs, height, width, classes: CamVid's test set, large scenes

DECODE = """
import os, sys
from PIL import Image
for folder in sys.argv[1:3]:
  for here, _, names in os.walk(folder):
    for name in names:
      with Image.open(os.path.join(here, name)) as image:
        image.load()
"""
HISTOGRAMS = """
import os, sys
import numpy as np
from PIL import Image
pred_dir, gt_dir, classes = sys.argv[1], sys.argv[2], int(sys.argv[3])
counts, bins = np.zeros([3, classes]), np.arange(classes + 1)
for name in os.listdir(pred_dir):
  with Image.open(os.path.join(pred_dir, name)) as p, Image.open(os.path.join(gt_dir, name)) as t:
    pred, truth = np.array(p), np.array(t)
  valid = truth < classes
  for i, values in enumerate((truth[valid], pred[valid], truth[valid & (truth == pred)])):
    counts[i] += np.histogram(values, bins)[0]
print(np.nanmean(counts[2] / (counts[0] + counts[1] - counts[2])))
"""


def main(argv=None) -> None:
  flags = arguments.Parser(__doc__)
  flags.add_argument('--pred-dir', default='', help='predictions to measure on instead of generated ones, flat')
  flags.add_argument('--gt-dir', default='', help='their truth, under the same names')
  flags.add_argument('--num-classes', type=arguments.whole(1, 255), default=21, help='of these folders')
  flags.add_argument('--repeats', type=arguments.whole(1), default=5, help='runs of each program; medians are printed')
  args = flags.parse_args(argv)
  if bool(args.pred_dir) != bool(args.gt_dir):
    raise errors.InputError('--pred-dir and --gt-dir belong together; give both or neither')
  print(f'{parallel.cores()} cores')
  if args.pred_dir:
    measure(f'{args.pred_dir}', args.pred_dir, args.gt_dir, args.num_classes, args.repeats)
    return
  for number, height, width, classes in SETS:
    with tempfile.TemporaryDirectory() as folder:
      generate(pathlib.Path(folder), number, height, width, classes)
      title = f'{number} pairs of {width} x {height}, {classes} classes'
      measure(title, f'{folder}/pred', f'{folder}/gt', classes, args.repeats)


def measure(title: str, pred_dir: str, gt_dir: str, classes: int, repeats: int) -> None:
  """Runs the programs by turns, so that a slower minute of the machine slows all of them."""
  script = ROOT / 'pyscripts' / 'benchmark' / 'benchmark_by_mIoU.py'
  own = [script, '--pred-dir', pred_dir, '--gt-dir', gt_dir, '--num-classes', classes]
  programs = {
    'decode': ['-c', DECODE, pred_dir, gt_dir],
    'histograms': ['-c', HISTOGRAMS, pred_dir, gt_dir, classes],
    'own': own,
  }
  times = {name: [] for name in programs}
  for _ in range(repeats):
    for name, command in programs.items():
      times[name].append(seconds(command))
  decode, histograms, own = (statistics.median(times[name]) for name in programs)
  print(f'{title} (medians of {repeats})')
  print(f'  decoding alone, one process, Pillow  {decode:7.3f} s')
  print(f'  NumPy histograms, one process        {histograms:7.3f} s')
  print(f'  benchmark_by_mIoU                    {own:7.3f} s')
  print(f'  benchmark / decoding alone           {own / decode:7.2f}')
  print(f'  histograms / benchmark               {histograms / own:7.2f}')
  print(
    f'  largest process                      {largest_process(script, pred_dir, gt_dir, classes):7.0f} MB', flush=True
  )


def seconds(command: list) -> float:
  begun = time.perf_counter()
  run = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
  if run.returncode:
    raise errors.RunError(f'a program to measure failed: {run.stderr.strip().splitlines()[-1]}')
  return time.perf_counter() - begun


def largest_process(*command) -> float:
  """The peak memory, in MB, of the largest process of one run of the benchmark."""
  script, pred_dir, gt_dir, classes = command
  code = f"""
import resource, subprocess, sys
subprocess.run([sys.executable, {str(script)!r}, '--pred-dir', {pred_dir!r}, '--gt-dir', {gt_dir!r},
                '--num-classes', '{classes}'], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
  run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  return int(run.stdout) / 1024


def generate(folder: pathlib.Path, number: int, height: int, width: int, classes: int, distinct: int = 10) -> None:
  """Writes pairs like those of street scenes: smooth regions, a tenth of them predicted otherwise, some void."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  for part in ('pred', 'gt'):
    (folder / part).mkdir()
  for i in range(number):
    names = [folder / part / f'{i:05d}.png' for part in ('gt', 'pred')]
    if i >= distinct:
      for name in names:
        name.write_bytes((name.parent / f'{i % distinct:05d}.png').read_bytes())
      continue
    scores = rng.random((classes + 1, 8, 12), np.float32)
    for name, wobble in zip(names, (0, 0.1), strict=True):
      best, label = np.full((height, width), -1, np.float32), np.zeros((height, width), np.uint8)
      for c, score in enumerate(scores + wobble * rng.random(scores.shape, np.float32)):
        smooth = np.asarray(Image.fromarray(score).resize((width, height), Image.Resampling.BICUBIC))
        label[smooth > best] = c if c < classes else 255
        best = np.maximum(best, smooth)
      Image.fromarray(np.minimum(label, classes - 1) if wobble else label).save(name)


if __name__ == '__main__':
  sys.exit(errors.run(main))
