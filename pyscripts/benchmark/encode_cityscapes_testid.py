"""Turn predictions in Cityscapes' train ids (0 to 18) into label ids (7 to 33), which its test server reads. The folder
tree is kept. Void (255) becomes 0, unlabeled."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import numpy as np

from utils import arguments, datasets, errors, forked, general, pairs
from utils.errors import InputError


class Encoder:
  """Writes the encoded copy of each file it is given."""

  def __init__(self, pred_dir: str, save_dir: str):
    self.pred_dir, self.save_dir = pred_dir, save_dir
    known = datasets.cityscapes_label_ids()
    self.table = np.zeros(256, np.uint8)
    self.table[: len(known)] = known
    self.top = len(known)

  def add(self, name: str) -> None:
    path = os.path.join(self.pred_dir, name)
    pred = general.read_label(path)
    wrong = (pred >= self.top) & (pred != datasets.VOID) | (pred < 0)
    if wrong.any():
      raise InputError(
        f'{path}: holds {pred[wrong][0]}, which is no train id (0 to {self.top - 1}, 255); is it encoded already?'
      )
    general.write_png(encoded_path(self.save_dir, name), self.table[pred])

  def join(self, other) -> None:
    """Nothing to join: the files are the result."""


def encoded_path(save_dir: str, name: str) -> str:
  return os.path.join(save_dir, os.path.splitext(name)[0] + '.png')


def main(argv=None) -> None:
  flags = arguments.Parser(__doc__)
  flags.add_argument('--pred-dir', required=True, help='folder of predictions in train ids')
  flags.add_argument('--save-dir', required=True, help='where the encoded files go; another folder')
  args = flags.parse_args(argv)
  names = pairs.predictions(args.pred_dir)
  if not args.save_dir:
    raise InputError('--save-dir is empty; give a folder for the encoded files')
  if os.path.realpath(args.save_dir) == os.path.realpath(args.pred_dir):
    raise InputError(f'--save-dir {args.save_dir}: is --pred-dir itself; give another folder')
  owners = {}
  for name in names:
    path = encoded_path(args.save_dir, name)
    if path in owners:
      raise InputError(f'--pred-dir {args.pred_dir}: {owners[path]} and {name} would get one name, {path}; rename one')
    owners[path] = name
    general.check_output_file('--save-dir', path)
  forked.total(lambda: Encoder(args.pred_dir, args.save_dir), names, 'encoding')
  print(f'{len(names)} files encoded below {args.save_dir}')


if __name__ == '__main__':
  sys.exit(errors.run(main))
