"""Measures how long training waits for its data: a real run of train_aaf.py from image files, by its own log. What a
step does besides the network (counters, log, copies) is in its time too: compare it with the step of step.py."""

import csv
import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pyscripts.profile import reader
from utils import arguments, errors
from utils.profile import figures

FIRST = 3  # steps that trace and compile


def main(argv=None) -> None:
  parser = arguments.Parser(__doc__)
  arguments.add_network_flags(parser)
  arguments.add_precision_flag(parser)
  parser.add_argument('--batch-size', type=arguments.whole(1), default=8, help='crops a step')
  parser.add_argument('--input-size', type=arguments.height_width, default=(336, 336), metavar='H,W', help='crop')
  parser.add_argument(
    '--steps', type=arguments.whole(FIRST + 1), default=40, help='updates; the first three do not count'
  )
  parser.set_defaults(num_classes=11)
  figures.add_flag(parser)
  args = parser.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    row = of_a_run(args, pathlib.Path(folder))
  print(*(f'{name}: {figures.shown(value)}' for name, value in row.items()), sep='\n')
  figures.write(args.json, [row])


def of_a_run(args, folder: pathlib.Path) -> dict:
  """Trains on images made for it, as large as CamVid's -> the medians of its log."""
  from pyscripts.train import train_aaf

  pairs = reader.draw(folder, 64)
  (folder / 'list.txt').write_text(
    ''.join(f'{os.path.relpath(image, folder)} {os.path.relpath(label, folder)}\n' for image, label in pairs)
  )
  words = ['--model', args.model, '--backbone', args.backbone, '--num-classes', args.num_classes]
  words += ['--precision', args.precision, '--batch-size', args.batch_size, '--iter-size', 1]
  words += ['--input-size', ','.join(map(str, args.input_size)), '--num-steps', args.steps]
  words += ['--data-dir', folder, '--data-list', folder / 'list.txt', '--snapshot-dir', folder / 'run']
  train_aaf.main([*map(str, words), '--random-scale', '--random-mirror', '--random-crop'])
  with open(folder / 'run/log.csv', encoding='utf-8') as f:
    steps = list(csv.DictReader(f))[FIRST:]
  seconds = statistics.median(args.batch_size / float(step['images_per_second']) for step in steps)
  waited = statistics.median(float(step['waited']) for step in steps)
  return {
    'step s': seconds,
    'images/s': args.batch_size / seconds,
    'waited s': waited,
    'waited of step': waited / seconds,
  }


if __name__ == '__main__':
  sys.exit(errors.run(main))
