"""Lists images and masks of your own, matched by name, and writes the names of their classes.

DATA_DIR/IMAGES and DATA_DIR/MASKS hold files of the same names but for the suffix, in any depth of sub-folders.
Images are JPEG or PNG, masks grey or palette PNGs of class ids (255 is void). Writes the lists train, val and, with
--test-fraction, test, by a seeded random split; their paths are relative to DATA_DIR. The same seed gives the same
split, and files added later move only a few of the others. Where the folders are split already, put {split} into
--images and --masks (`--images images/{split} --masks masks/{split}`): the lists are then the folders train, val and
test that exist. Test images without a folder of masks are listed alone.

classes.txt goes beside the lists: the names of DATA_DIR/classes.txt, one a line, where that file is; else class_0,
class_1 and so on, up to the highest id in the masks.
"""

import hashlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from utils import arguments, atomic, errors, parallel
from utils.data import check, convert, datasets, lists
from utils.errors import InputError

IMAGES = ('.jpg', '.jpeg', '.png')


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--data-dir', required=True, help="the folder that the lists' paths are relative to")
  parser.add_argument('--images', default='images', help='folder of images below DATA_DIR; may hold {split}')
  parser.add_argument('--masks', default='masks', help='folder of masks below DATA_DIR; may hold {split}')
  parser.add_argument('--mask-ending', default='', help='what the names of masks end with besides, `_mask` say')
  parser.add_argument('--ignore-label', type=arguments.whole(0, 255), default=255, help='void, as 255 always is')
  parser.add_argument('--val-fraction', type=arguments.real(0, 1, below=True), default=0.1, help='share of val')
  parser.add_argument('--test-fraction', type=arguments.real(0, 1, below=True), default=0.0, help='share of test')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed gives another split')
  lists.add_list_dir(parser, 'own')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if args.val_fraction + args.test_fraction >= 1:
    raise InputError(f'--val-fraction {args.val_fraction} and --test-fraction {args.test_fraction} leave no train')
  faults, sound, ids = [], {}, set()
  folders = split_folders(args.data_dir, args.images, args.masks)
  pairs = {split: match(args, *pair) for split, pair in folders.items()}
  for split in pairs:
    more, sound[split], found = look(args.data_dir, pairs[split])
    faults += more
    ids |= found
  names = class_names(args.data_dir, ids - {datasets.VOID, args.ignore_label}, args.ignore_label)
  if list(folders) == ['']:
    by_name = sound['']
    splits = split_ids(list(by_name), args.val_fraction, args.test_fraction, args.seed)
    sound = {split: {name: by_name[name] for name in split_names} for split, split_names in splits.items()}
  for split, lines in sound.items():
    lists.write(args.list_dir, split, list(lines.values()))
  if names:
    path = pathlib.Path(args.list_dir, 'classes.txt')
    atomic.write_text(path, '\n'.join(names) + '\n')
    print(f'{path}: {len(names)} classes')
  return convert.close(faults)


def split_folders(data_dir: str, images: str, masks: str) -> dict[str, tuple[str, str | None]]:
  """Split -> its folders of images and of masks; one split without a name where the flags hold no {split}.

  Raises:
    InputError: only one flag holds {split}, or train or its masks are missing.
  """
  if '{split}' not in images + masks:
    return {'': (images, masks)}
  for flag, folder in (('--images', images), ('--masks', masks)):
    if '{split}' not in folder:
      raise InputError(f'{flag} {folder}: holds no {{split}} while the other folder does; put it into both')
  found = {}
  for split in ('train', 'val', 'test'):
    folders = [folder.replace('{split}', split) for folder in (images, masks)]
    there = [pathlib.Path(data_dir, folder).is_dir() for folder in folders]
    if there[0]:
      found[split] = folders[0], None if split == 'test' and not there[1] else folders[1]
  if 'train' not in found:
    raise InputError(f'--images {images}: {images.replace("{split}", "train")} is no folder below {data_dir}')
  return found


def match(args, image_folder: str, mask_folder: str | None) -> list[tuple[str, str, str | None]]:
  """Name, image and mask of what has both; what has not is left out with a warning."""
  images = named_files(args.data_dir, image_folder, '--images', IMAGES, '')
  if mask_folder is None:
    return [(name, image, None) for name, image in sorted(images.items())]
  masks = named_files(args.data_dir, mask_folder, '--masks', ('.png',), args.mask_ending)
  both = sorted(images.keys() & masks)
  if not both:
    raise InputError(
      f'no file of {image_folder} has the name of one in {mask_folder} ({next(iter(images))}, {next(iter(masks))}, '
      'say); check the folders and --mask-ending'
    )
  for reason, names in (('mask', images.keys() - masks), ('image', masks.keys() - images)):
    if names:
      lists.warn(f'{len(names)} files have no {reason} and are left out: {", ".join(sorted(names)[: lists.SHOWN])}')
  return [(name, images[name], masks[name]) for name in both]


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


def look(data_dir: str, pairs: list[tuple[str, str, str | None]]) -> tuple[list[str], dict[str, str], set[int]]:
  """What is wrong with pairs that cannot be listed; the lines of the others by name; the values of their masks."""
  faults, sound, values = [], {}, set()

  def judge(pair):
    name, image, mask = pair
    try:
      size = check.image_size(os.path.join(data_dir, image))
      mask_size, counts, _ = (size, {}, False) if mask is None else check.label_counts(os.path.join(data_dir, mask))
      if size != mask_size:
        raise InputError(f'{mask}: is {mask_size[0]} x {mask_size[1]} while {image} is {size[0]} x {size[1]}')
      return name, lists.line(image, mask), counts, None
    except InputError as e:
      return name, None, {}, errors.one_line(e)

  for name, line, counts, fault in parallel.each(judge, pairs, 'looking', 'pair'):
    values |= counts.keys()
    if fault:
      faults.append(fault)
    else:
      sound[name] = line
  return faults, sound, values


def class_names(data_dir: str, ids: set[int], ignore_label: int) -> list[str]:
  """The names of DATA_DIR/classes.txt, or a name for every id up to the highest one.

  Raises:
    InputError: an id has no name there, or lies above `ignore_label`.
  """
  highest, path = max(ids, default=-1), pathlib.Path(data_dir, 'classes.txt')
  if highest > ignore_label:
    raise InputError(f'--ignore-label {ignore_label}: the masks hold {highest} too; void must lie above every class')
  if not path.is_file():
    unused = sorted(set(range(highest)) - ids)
    if unused:
      lists.warn(f'the masks hold ids up to {highest} but never {", ".join(map(str, unused[: lists.SHOWN]))}')
    return [f'class_{i}' for i in range(highest + 1)]
  names = datasets.read_names(path)
  if highest >= len(names):
    raise InputError(f'{path}: has {len(names)} names while the masks hold id {highest}; name every class, in order')
  return names


def split_ids(ids: list[str], val: float, test: float, seed: int) -> dict[str, list[str]]:
  """Sorted ids by split. Each id is ranked by a hash of seed and name, so its rank does not depend on the others."""
  ranked = sorted(ids, key=lambda i: hashlib.sha256(f'{seed}/{i}'.encode()).digest())
  ends = [round(len(ids) * test), round(len(ids) * test) + round(len(ids) * val)]
  splits = {'train': sorted(ranked[ends[1] :])}
  splits |= {'val': sorted(ranked[ends[0] : ends[1]])} if val else {}
  return splits | ({'test': sorted(ranked[: ends[0]])} if test else {})


if __name__ == '__main__':
  sys.exit(errors.run(main))
