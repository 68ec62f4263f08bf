"""Prepares GTA5 ("Playing for Data") in Cityscapes' 19 classes: to score there what was trained on Cityscapes.

DATA_DIR holds the unpacked images and labels. Writes trainids/ID.png (19 train ids, the rest 255) from label images
of Cityscapes' label ids (grey or palette) or colours (RGB, or a palette that was reordered), the list all, and train,
val and test where the authors' split.mat is in DATA_DIR. Pairs whose sizes differ (the data set has a few) are left
out with a warning. The originals are only read. Run it again after an interruption: it does what is left.
"""

import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from dataset import convert, listing
from dataset.formats import masks
from utils import checks, errors, images, parallel
from utils.errors import InputError
from utils.labels import CITYSCAPES, CITYSCAPES_LABELS, CITYSCAPES_TRAIN_IDS, CITYSCAPES_TRAINED, VOID, write_classes

OFFICIAL = {'all': 24966, 'train': 12403, 'val': 6382, 'test': 6181}
STATIC = (20, 20, 20)  # what GTA5 paints static things, which are black in Cityscapes
# Of two labels of one colour the one that counts is meant.
COLOURS = {label.colour: label.train_id for label in (*CITYSCAPES_LABELS, *CITYSCAPES_TRAINED)}


def main(argv=None):
  parser = listing.parser(__doc__, 'gta5', 'the folder that holds images and labels')
  parser.add_argument('--split-file', default='', help="the authors' split.mat; DATA_DIR/split.mat if that is there")
  args = parser.parse_args(argv)
  root = pathlib.Path(args.data_dir)
  images, labels = (listing.files_by_stem(root / folder, ('.png',)) for folder in ('images', 'labels'))
  if images.keys().isdisjoint(labels):
    raise InputError(f'--data-dir {root}: holds no images/*.png and labels/*.png of one name; unpack them there')
  splits = {'all': sorted(images.keys() | labels), **read_splits(args.split_file, root / 'split.mat')}
  jobs = [convert.Job(path, str(root / 'trainids' / f'{i}.png'), train_ids) for i, path in labels.items()]
  faults = list(convert.run(jobs, 'trainids', root=root).values())
  converted = listing.files_by_stem(root / 'trainids', ('.png',))
  both = sorted(images.keys() & converted)
  same_size = lambda i: checks.image_size(images[i]) == checks.image_size(converted[i])  # noqa: E731
  sizes = dict(parallel.sound_results(same_size, both, 'sizes', faults))
  left_out = {'with a label of another size': [i for i, same in sizes.items() if not same]}
  left_out['that cannot be read'] = [i for i in both if i not in sizes]
  for name, ids in splits.items():
    listing.write_official(args.list_dir, name, OFFICIAL[name], root, ids, images, converted, left_out=left_out)
  write_classes(args.list_dir, CITYSCAPES)
  return errors.report(faults)


def read_splits(split_file: str, default: pathlib.Path) -> dict[str, list[str]]:
  """The ids of trainIds, valIds and testIds, numbers that count from 1 and name files 00001.png and so on."""
  if not split_file and not default.exists():
    listing.warn(f'{default}: is missing, so only the list all is written; it is in the archive read_mapping.zip')
    return {}

  def ids(found):
    return {name: [f'{int(i):05d}' for i in found[f'{name}Ids'].ravel()] for name in ('train', 'val', 'test')}

  names, kind = ['trainIds', 'valIds', 'testIds'], 'a MATLAB file with trainIds, valIds and testIds'
  return listing.read_mat(split_file or str(default), names, kind, ids)


def train_ids(path: str) -> np.ndarray:
  """Train ids of a label image, from its label ids if these are what its values are, else from its colours."""
  with images.open_picture(path) as image:
    if image.format != 'PNG':
      raise InputError(f'{path}: is {image.format}, not a PNG of label ids or colours; unpack it again')
    if image.mode not in ('L', 'P', 'RGB', 'RGBA'):
      raise InputError(f'{path}: is a {image.mode} picture, not one of label ids or colours; unpack it again')
    if image.mode == 'L' or image.mode == 'P' and _is_id_palette(image):
      return CITYSCAPES_TRAIN_IDS[np.asarray(image)]
  ids, done = masks.read_colours(path, colour_table(), 'unpack it again (was it resized?)')
  if done:
    raise InputError(f'{path}: has transparent pixels; unpack it again')
  return ids


@functools.cache
def colour_table() -> np.ndarray:
  return masks.lookup_table(COLOURS | {STATIC: VOID})


def _is_id_palette(image) -> bool:
  """Whether the palette indices in use are label ids: each has its label's colour, or for a label that does not count
  any colour but those of labels that do."""
  palette = dict(enumerate(map(tuple, np.asarray(image.getpalette('RGB')).reshape(-1, 3).tolist())))
  official = {label.id if label.id >= 0 else 34: label.colour for label in CITYSCAPES_LABELS}  # 34: the license plate
  counting = {label.colour for label in CITYSCAPES_TRAINED}
  used = np.flatnonzero(image.histogram()).tolist()
  return all(
    palette.get(i) == official.get(i, ()) or CITYSCAPES_TRAIN_IDS[i] == VOID and palette.get(i) not in counting
    for i in used
  )


if __name__ == '__main__':
  sys.exit(errors.run(main))
