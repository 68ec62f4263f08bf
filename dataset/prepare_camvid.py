"""Lists CamVid in SegNet's layout: 11 classes, 11 is void (give --ignore-label 11 wherever it is used).

DATA_DIR holds train, val, test (images) and trainannot, valannot, testannot (labels of the same names). Nothing is
converted; the lists' paths are relative to DATA_DIR.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from dataset import listing
from utils import errors, labels

OFFICIAL = {'train': 367, 'val': 101, 'test': 233}


def main(argv=None):
  args = listing.parser(__doc__, 'camvid', 'the folder that holds train, trainannot, ...').parse_args(argv)
  advice = "give CamVid's folder in SegNet's layout"
  root = listing.find_folder('--data-dir', [pathlib.Path(args.data_dir)], advice, 'train', 'trainannot')
  for split, official in OFFICIAL.items():
    images = listing.files_by_stem(root / split, ('.png', '.jpg', '.jpeg'))
    masks = listing.files_by_stem(root / f'{split}annot', ('.png',))
    listing.write_official(args.list_dir, split, official, root, sorted(images.keys() | masks), images, masks)
  labels.write_classes(args.list_dir, labels.published('camvid'))


if __name__ == '__main__':
  sys.exit(errors.run(main))
