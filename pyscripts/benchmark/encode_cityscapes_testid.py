"""Convert predictions from Cityscapes' train ids (0 to 18) to its label ids (7 to 33), which the test server reads. The
sub-folders are kept. Void (255) becomes 0, unlabeled."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import numpy as np

from utils import arguments, errors, files, images, labels, parallel
from utils.errors import InputError
from utils.labels import VOID
from utils.score import pairs


def main(argv=None) -> int:
  flags = arguments.Parser(__doc__)
  flags.add_argument('--pred-dir', required=True, help='folder of predictions in train ids')
  flags.add_argument('--save-dir', required=True, help='another folder, for the converted files')
  args = flags.parse_args(argv)
  names = pairs.predictions(args.pred_dir)
  if not args.save_dir or os.path.realpath(args.save_dir) == os.path.realpath(args.pred_dir):
    what = 'is the folder of the predictions' if args.save_dir else 'is empty'
    raise InputError(f'--save-dir {args.save_dir}: {what}; give another folder, for the encoded files')
  files.check_output_file('--save-dir', os.path.join(args.save_dir, 'a'))

  def encode(name: str) -> None:
    label_ids = encoded(os.path.join(args.pred_dir, name))
    files.write_png(os.path.join(args.save_dir, os.path.splitext(name)[0] + '.png'), label_ids)

  faults = []
  written = list(parallel.sound_results(encode, names, 'label ids', faults))
  print(f'{args.save_dir}: {len(written)} files written')
  return errors.report(faults)


def encoded(path: str) -> np.ndarray:
  """The label ids, uint8 [H, W], of a prediction in train ids."""
  known = labels.CITYSCAPES_LABEL_IDS
  pred = images.read_label(path)
  wrong = ((pred >= len(known)) & (pred != VOID)) | (pred < 0)
  if wrong.any():
    raise InputError(
      f'{path}: holds {pred[wrong][0]}, which is not a train id (0 to {len(known) - 1}, or 255); is it encoded already?'
    )
  table = np.zeros(256, np.uint8)
  table[: len(known)] = known
  return table[pred]


if __name__ == '__main__':
  sys.exit(errors.run(main))
