"""Measures benchmark_by_mIoU, as a whole process on generated pairs, against one process that only decodes the same
files with Pillow, and against one that counts each pair by NumPy histograms."""

import functools
import pathlib
import resource
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from utils import arguments, errors, parallel
from utils.profile import generated

SETS = ((233, 360, 480, 11), (100, 1024, 2048, 19))  # pairs, height, width, classes: CamVid's test set, large scenes

DECODE = """
import os, sys
from PIL import Image
for folder in sys.argv[1:3]:
  for name in os.listdir(folder):
    with Image.open(os.path.join(folder, name)) as image:
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
  flags.add_argument('--repeats', type=arguments.whole(1), default=5, help='runs of each program; medians are printed')
  args = flags.parse_args(argv)
  print(f'{parallel.cores()} cores, medians of {args.repeats}')
  for number, height, width, classes in SETS:
    print(f'{number} pairs of {width} x {height}, {classes} classes')
    with tempfile.TemporaryDirectory() as folder:
      generated.label_pairs(pathlib.Path(folder), [(height, width)] * number, classes)
      measure(f'{folder}/pred', f'{folder}/gt', str(classes), args.repeats)


def measure(pred_dir: str, gt_dir: str, classes: str, repeats: int) -> None:
  from utils.profile import timing

  script = str(ROOT / 'pyscripts' / 'benchmark' / 'benchmark_by_mIoU.py')
  benchmark = [script, '--pred-dir', pred_dir, '--gt-dir', gt_dir, '--num-classes', classes]
  programs = {
    'decoding alone, one process, Pillow': ['-c', DECODE, pred_dir, gt_dir],
    'NumPy histograms, one process': ['-c', HISTOGRAMS, pred_dir, gt_dir, classes],
    'benchmark_by_mIoU': benchmark,
  }
  calls = {name: functools.partial(run, command) for name, command in programs.items()}
  seconds = timing.interleaved_seconds(calls, repeats)
  for name, value in seconds.items():
    print(f'  {name:36} {value:7.3f} s')
  decode, histograms, own = seconds.values()
  print(f'  benchmark / decoding alone           {own / decode:7.2f}')
  print(f'  histograms / benchmark               {histograms / own:7.2f}')
  print(f'  largest process of the benchmark     {timing.in_fresh_process(largest_process, benchmark):7.0f} MB')


def run(command: list[str]) -> None:
  subprocess.run([sys.executable, *command], capture_output=True, check=True)


def largest_process(command: list[str]) -> float:
  """The peak memory, in MB, of the largest process of a command; to be called where no other command has run."""
  run(command)
  return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == '__main__':
  sys.exit(errors.run(main))
