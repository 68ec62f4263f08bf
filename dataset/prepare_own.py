"""Lists images and masks of your own, matched by name, and splits them by a seeded fraction.

DATA_DIR/IMAGES and DATA_DIR/MASKS hold files of the same names but for the suffix, in any depth of sub-folders.
Images are JPEG or PNG, masks grey or palette PNGs of class ids (255 is void). Writes the lists train, val and, with
--test-fraction, test; their paths are relative to DATA_DIR. The same seed gives the same split, and files added later
leave those that are there where they were, but for a few.
"""

import hashlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from utils import arguments, errors, parallel
from utils.data import check, convert, lists
from utils.errors import InputError


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', required=True, help="the folder that the lists' paths are relative to")
  parser.add_argument('--images', default='images', help='folder of images below DATA_DIR')
  parser.add_argument('--masks', default='masks', help='folder of masks below DATA_DIR')
  parser.add_argument('--mask-ending', default='', help='what the names of masks end with besides, `_mask` say')
  parser.add_argument('--val-fraction', type=arguments.real(0, 1, below=True), default=0.1, help='share of val')
  parser.add_argument('--test-fraction', type=arguments.real(0, 1, below=True), default=0.0, help='share of test')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed splits otherwise')
  lists.add_list_dir(parser, 'own')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if args.val_fraction + args.test_fraction >= 1:
    raise InputError(f'--val-fraction {args.val_fraction} and --test-fraction {args.test_fraction} leave no train')
  images = named_files(args.data_dir, args.images, '--images', ('.jpg', '.jpeg', '.png'), '')
  masks = named_files(args.data_dir, args.masks, '--masks', ('.png',), args.mask_ending)
  both = sorted(images.keys() & masks)
  if not both:
    raise InputError(
      f'no file of {args.images} has the name of one in {args.masks} ({next(iter(images))}, {next(iter(masks))}, say); '
      'check the folders and --mask-ending'
    )
  faults, sound = look(args.data_dir, [(i, images[i], masks[i]) for i in both])
  for split, ids in split_ids(list(sound), args.val_fraction, args.test_fraction, args.seed).items():
    lists.write(args.list_dir, split, [sound[i] for i in ids])
  for reason, ids in (('mask', images.keys() - masks), ('image', masks.keys() - images)):
    if ids:
      lists.warn(f'{len(ids)} files have no {reason} and are left out: {", ".join(sorted(ids)[: lists.SHOWN])}')
  return convert.close(faults)


def named_files(data_dir: str, folder: str, flag: str, suffixes: tuple[str, ...], ending: str) -> dict[str, str]:
  """Name below the folder, less suffix and ending -> path below `data_dir`, for every file in whatever depth."""
  root = pathlib.Path(data_dir, folder)
  if not root.is_dir():
    raise InputError(f'{flag} {folder}: is no folder below --data-dir {data_dir}')
  files = {}
  for parent, folders, _ in os.walk(root):
    folders[:] = sorted(name for name in folders if not name.startswith('.'))
    for stem, path in convert.stems(parent, suffixes, ending).items():
      name = (pathlib.Path(parent).relative_to(root) / stem).as_posix()
      files[name] = pathlib.Path(path).relative_to(data_dir).as_posix()
  if not files:
    raise InputError(f'{flag} {folder}: holds no file of {", ".join(suffixes)}; check the folder and --mask-ending')
  return files


def look(data_dir: str, pairs: list[tuple[str, str, str]]) -> tuple[list[str], dict[str, str]]:
  """What is wrong with pairs that cannot be listed, and the lines of the others by name."""
  faults, sound = [], {}

  def judge(pair):
    name, image, mask = pair
    try:
      sizes = [check.image_size(os.path.join(data_dir, path)) for path in (image, mask)]
      if sizes[0] != sizes[1]:
        raise InputError(f'{mask}: is {sizes[1][0]} x {sizes[1][1]} while {image} is {sizes[0][0]} x {sizes[0][1]}')
      return name, lists.line(image, mask), None
    except InputError as e:
      return name, None, errors.one_line(e)

  for name, line, fault in parallel.each(judge, pairs, 'looking', 'pair'):
    if fault:
      faults.append(fault)
    else:
      sound[name] = line
  return faults, sound


def split_ids(ids: list[str], val: float, test: float, seed: int) -> dict[str, list[str]]:
  """Sorted ids by split. Each id is ranked by a hash of seed and name, so its rank does not depend on the others."""
  ranked = sorted(ids, key=lambda i: hashlib.sha256(f'{seed}/{i}'.encode()).digest())
  ends = [round(len(ids) * test), round(len(ids) * test) + round(len(ids) * val)]
  splits = {'train': sorted(ranked[ends[1] :])}
  splits |= {'val': sorted(ranked[ends[0] : ends[1]])} if val else {}
  return splits | ({'test': sorted(ranked[: ends[0]])} if test else {})


if __name__ == '__main__':
  sys.exit(errors.run(main))
