"""Prepares Cityscapes: train ids, instance ids and lists.

DATA_DIR holds the unpacked leftImg8bit and gtFine (training's --data-dir later). Writes gtFineId/SPLIT/CITY/
X_gtFineId_labelIds.png, which hold train ids (19 classes, the rest 255), and X_gtFineId_instanceIds.png, the 16-bit
instance ids unchanged, for train and val, and the lists train, val and test, grouped by city. The originals are only
read. Run it again after an interruption: it does what is left.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from dataset import convert, listing
from utils import errors, images, labels
from utils.errors import InputError

OFFICIAL = {'train': 2975, 'val': 500, 'test': 1525}


def main(argv=None):
  args = listing.parser(__doc__, 'cityscapes', 'the folder that holds leftImg8bit and gtFine').parse_args(argv)
  advice = 'unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip there'
  root = listing.find_folder('--data-dir', [pathlib.Path(args.data_dir)], advice, 'leftImg8bit', 'gtFine')
  faults = []
  for kind, make in (('labelIds', train_ids), ('instanceIds', images.read_label)):
    faults += convert.run(jobs(root, kind, make), kind, root=root).values()
  for split in OFFICIAL:
    write_list(root, split, args.list_dir)
  labels.write_classes(args.list_dir, labels.CITYSCAPES)
  return errors.report(faults)


def jobs(root: pathlib.Path, kind: str, make) -> list[convert.Job]:
  return [
    convert.Job(path, str(root / 'gtFineId' / split / f'{name}_gtFineId_{kind}.png'), make)
    for split in ('train', 'val')
    for name, path in listing.files_by_stem(root / 'gtFine' / split, ('.png',), f'_gtFine_{kind}', deep=True).items()
  ]


def train_ids(path: str) -> np.ndarray:
  label = images.read_label(path)
  if label.dtype != np.uint8:
    raise InputError(f'{path}: is {label.dtype}, not 8-bit label ids; unpack it again')
  return labels.CITYSCAPES_TRAIN_IDS[label]


def write_list(root: pathlib.Path, split: str, list_dir: str) -> None:
  """Test images are listed alone: what gtFine holds for them is not the truth."""
  images, labels = (
    listing.files_by_stem(root / folder / split, ('.png',), ending, deep=True)
    for folder, ending in (('leftImg8bit', '_leftImg8bit'), ('gtFineId', '_gtFineId_labelIds'))
  )
  ids, truth = sorted(images.keys() | labels), None if split == 'test' else labels
  listing.write_official(list_dir, split, OFFICIAL[split], root, ids, images, truth)


if __name__ == '__main__':
  sys.exit(errors.run(main))
