"""Lists images and labels of your own, matched by name, and writes the names of their classes.

DATA_DIR/IMAGES and DATA_DIR/MASKS hold files with the same names except for the suffix and what all names of a folder
begin or end with, in sub-folders or not. Masks hold class ids (255 is void): grey or palette PNGs are listed as they
are; other masks, and the labels of --colors, --zero-is-void, --coco, --labelme and --cvat, become such PNGs in
DATA_DIR/label_ids, images that are neither JPEG nor PNG to PNGs in DATA_DIR/images_png. The originals are only read.

Writes the lists train, val and, with --test-fraction, test, by a seeded random split; their paths are relative to
DATA_DIR. Where the folders are split already, put {split} into --images and --masks. classes.csv (id, name, colour)
goes beside the lists; names and order are those of DATA_DIR/classes.txt where that file is, else those of the labels.
Run this again after changes: it converts what is new, or all where the classes changed. The last lines, and
label_ids/conversion.txt, say what was dropped, clipped, covered or skipped. See dataset/README.md.
"""

import collections
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from dataset import convert, listing, pairing
from dataset.formats import classes, sources
from utils import arguments, errors, labels
from utils.errors import InputError
from utils.images import SUFFIXES
from utils.labels import VOID


def parse(argv):
  parser = listing.parser(__doc__, 'own', "the folder that the lists' paths are relative to")
  add = parser.add_argument
  add('--images', default='images', help='folder of images below DATA_DIR; may hold {split}')
  add('--masks', default='masks', help='folder of masks below DATA_DIR; may hold {split}')
  add('--image-prefix', default='', help='what image names begin with and mask names do not')
  add('--image-ending', default='', help='what image names end with, such as `_sat`')
  add('--mask-prefix', default='', help='what mask names begin with, such as `gt_`')
  add('--mask-ending', default='', help='what follows the image name in mask names, such as `_mask`')
  tolerance = 'nearest colour that differs by no more than this'
  add('--color-tolerance', type=arguments.whole(0, 255), default=0, help=tolerance)
  one = parser.add_mutually_exclusive_group().add_argument
  one('--colors', default='', help='masks are colours: a table of them, one line `r g b name` each')
  one('--zero-is-void', action='store_true', help='in the masks 0 is void and k is class k - 1')
  one('--coco', default='', help='COCO JSON below DATA_DIR, in place of masks; may hold {split}')
  one('--labelme', default='', help='folder of LabelMe JSON files, in place of masks; may hold {split}')
  one('--cvat', default='', help='`CVAT for images 1.1` XML, in place of masks; may hold {split}')
  unlabelled, order = 'class of pixels outside all annotations', 'small outlines over large ones, or as in the file'
  add('--unlabelled', choices=('background', 'void'), default='background', help=unlabelled)
  add('--order', choices=('area', 'file'), default='area', help=order)
  add('--class-map', default='', help='file of lines `name or id -> name or void`: merge or leave out')
  add('--drop-empty', action='store_true', help='leave out the classes without a pixel')
  add('--resize-labels', action='store_true', help="labels take their images' sizes (nearest pixel)")
  max_void = 'refuse a set of more void than this fraction'
  add('--max-void', type=arguments.real(0, 1), default=0.95, help=max_void)
  add('--ignore-label', type=arguments.whole(0, 255), default=255, help='void, as 255 always is')
  add('--val-fraction', type=arguments.real(0, 1, below=True), help='fraction of val; default: 0.1')
  add('--test-fraction', type=arguments.real(0, 1, below=True), help='fraction of test; default: 0')
  add('--seed', type=arguments.whole(0), default=0, help='another seed gives another split')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if (args.val_fraction or 0) + (args.test_fraction or 0) >= 1:
    raise InputError(f'--val-fraction {args.val_fraction} and --test-fraction {args.test_fraction} leave no train')
  for flag in ('colors', 'class_map'):  # below DATA_DIR, as the labels are, unless a file is there from here
    below = os.path.join(args.data_dir, getattr(args, flag))
    if getattr(args, flag) and not os.path.exists(getattr(args, flag)) and os.path.exists(below):
      setattr(args, flag, below)
  args.class_map = classes.read_class_map(args.class_map) if args.class_map else {}
  notes = []  # warnings, which are the last lines
  source = sources.chosen(args)
  pairs, origins, faults = read_pairs(args, source, notes)
  splits, given = {pair.split for pair in pairs}, classes.read_user_names(args.data_dir)
  if source.flag == '--masks' and not source.converter:
    source, origins, pairs, failed = sources.of_ids(args, pairs, given, notes)
    faults += failed
  source, origins = sources.with_class_map(args, source, origins, notes, whole=source.flag == '--masks' or not faults)
  origins = without_unused(pairs, source.mapping, origins, given, notes)
  classes.note_alike(origins, notes)
  if source.has_names:  # before anything is written
    classes.class_names(list(origins), given, source.unlabelled == 'background')
  failed, pairs = convert.own_images(args.data_dir, pairs)
  faults += failed
  pairs, names, lines = prepare(args, source, pairs, origins, given, notes, faults)
  write(args, splits, pairs, labels.Classes(names, source.palette(names)))
  for line in lines:
    print(line)
  for note in notes:
    listing.warn(note)
  return errors.report(grouped(faults), len(faults))


def read_pairs(args, source: sources.LabelSource, notes: list[str]):
  """The pairs of all splits; name in the labels -> what stands for it there; one line for each faulty label."""
  pairs, origins, faults = [], {}, []
  shared = '{split}' in source.path and '{split}' not in args.images
  for split, (folder, path) in pairing.splits_of(args.data_dir, args.images, source.path, source.flag).items():
    is_mask = _mask_test(args, folder, path) if source.flag == '--masks' and path else lambda file: False
    affixes = args.image_prefix, args.image_ending
    images = pairing.files_by_name(args.data_dir, folder, '--images', SUFFIXES, affixes, is_mask, faults)
    if path is None:
      pairs += [pairing.Pair(split, name, image, None) for name, image in sorted(images.items())]
      continue
    found, names, failed = source.read(path, images, notes)
    pairs += pairing.match_by_name(split, images, found, path, shared, notes)
    origins |= {name: origin for name, origin in names.items() if name not in origins}
    faults += failed
    spellings = {spelling for words in pairing.SPLITS.values() for spelling in words}
    folders = {name.split('/')[0] for name in images if '/' in name}
    if split == '' and len(spellings & {folder.lower() for folder in folders}) > 1:
      shown = ', '.join(sorted(folders))
      print(f'the sub-folders {shown} are mixed and split at random; put {{split}} into the flags to keep them apart')
  twice = [image for image, number in collections.Counter(pair.image for pair in pairs).items() if number > 1]
  if twice:
    notes.append(f'{len(twice)} images are in several splits: {listing.first_names(twice)}')
  return pairs, origins, faults


def _mask_test(args, folder: str, path: str):
  """Whether a file in the folder of images is a mask: they may be in one folder, or masks below images."""
  images, masks = f'{pathlib.PurePath(folder)}/', f'{pathlib.PurePath(path)}/'
  if images != masks:
    return lambda file: file.startswith(masks) and not images.startswith(masks)
  if args.mask_prefix or args.mask_ending:
    name = re.compile(f'{re.escape(args.mask_prefix)}.*{re.escape(args.mask_ending)}')
    return lambda file: name.fullmatch(classes.plain(pathlib.PurePath(file).stem)) is not None
  return lambda file: file.lower().endswith('.png')


def without_unused(pairs, mapping, origins: dict[str, str], given, notes: list[str]) -> dict[str, str]:
  """The classes without those that an annotation file lists but no annotation has, unless the user named them."""
  annotated = [pair.label for pair in pairs if pair.label is not None and not isinstance(pair.label, str)]
  if not annotated or given is not None:
    return origins
  used = {region.name for image in annotated for region in image.regions}
  used |= {name for image in annotated for name, _ in image.skipped}
  used = {mapping.get(name) for name in used}
  kept = (*classes.VOID_NAMES, *classes.BACKGROUND_NAMES)
  unused = [name for name in origins if name not in used and name.lower() not in kept]
  if unused:
    notes.append(f'{len(unused)} classes have no annotation and are left out: {listing.first_names(unused)}')
  return {name: origin for name, origin in origins.items() if name not in unused}


def prepare(args, source: sources.LabelSource, pairs, origins: dict[str, str], given, notes, faults: list[str]):
  """Converts and checks the labels; a line for each that is faulty is added to `faults`. Returns the sound pairs with
  masks of class ids, the class names, and lines of what was done.

  Raises:
    InputError: a class has no pixel, nearly everything is void, or no label is left.
  """
  ignore_label = VOID if source.converter else args.ignore_label
  dropped, before = set(), (notes[:], faults[:])
  while True:
    names, lines, masks = [], [], pairs
    if source.has_names:
      found = [name for name in origins if name not in dropped]
      names = classes.class_names(found, given, source.unlabelled == 'background')
    if source.converter:
      failed, masks, lines = convert.own_labels(args.data_dir, pairs, source, names, origins, args.resize_labels)
      faults += failed
    failed, sound, pixels = pairing.inspect(args.data_dir, masks, notes, ignore_label)
    faults += failed
    if not any(pair.label is not None for pair in sound):
      raise InputError(f'no label can be used: {grouped(faults)[0] if faults else notes[-1]}')
    if not source.has_names:
      names = classes.names_of_ids(set(pixels) - {VOID, ignore_label}, given, ignore_label, notes)
    void = sum(pixels[value] for value in {VOID, ignore_label}) / pixels.total()
    if void > args.max_void:
      raise InputError(
        f'{void:.1%} of the pixels are void, so hardly anything is left to learn; check the labels ({source.meaning}), '
        'or give --max-void 1'
      )
    empty = [name for i, name in enumerate(names) if not pixels[i]] if source.has_names else []
    shown = ', '.join(empty[:10]) + (', ...' if len(empty) > 10 else '')
    if not empty or given is not None or faults:
      break
    if not (args.drop_empty or args.colors) or dropped:
      raise InputError(
        f'no pixel of the labels is {shown}; --drop-empty leaves such classes out, and {classes.FILE} in --data-dir, '
        'which names all classes, keeps them'
      )
    dropped, (notes[:], faults[:]) = set(empty), before
    if classes.background_of(empty):
      source = source._replace(unlabelled='void')
  if len(names) == 1:
    notes.append(
      f'{names[0]} is the only class, and training needs two; where all else is transparent, fill it (`mogrify '
      '-background black -alpha remove *.png`) and name that colour too; with --unlabelled void, leave that out'
    )
  if dropped:
    lines.append(f'classes without a pixel are left out: {", ".join(sorted(dropped))}')
  if empty:
    notes.append(f'no pixel is {shown}')
  if void:
    lines.append(f'{void:.1%} of all pixels are void')
  return sound, names, lines


def write(args, splits: set[str], pairs: list[pairing.Pair], found: labels.Classes) -> None:
  """Writes the list of each of `splits` and the classes; where `splits` is {''}, splits the pairs at random."""
  val, test = 0.1 if args.val_fraction is None else args.val_fraction, args.test_fraction or 0
  if splits == {''}:
    shares = {'train': 1, 'val': val, 'test': test}
    splits = {split for split in shares if shares[split]}
    pairs = pairing.random_split(pairs, val, test, args.seed)
  else:
    if 'val' in splits and args.val_fraction is not None:
      print(f'--val-fraction {val:g} is not used: val is there')
    elif 'val' not in splits and val:
      rest = [pair for pair in pairs if pair.split != 'train']
      pairs = rest + pairing.random_split([pair for pair in pairs if pair.split == 'train'], val, 0, args.seed)
      splits = splits | {'val'}
      print(f'there is no val: --val-fraction {val:g} of train becomes val')
    if test:
      print(f'--test-fraction {test:g} is not used: the data is split already')
  for split in pairing.SPLITS:
    if split in splits:
      lines = [listing.line(pair.image, pair.label) for pair in pairs if pair.split == split]
      listing.write(args.list_dir, split, lines)
    elif os.path.exists(old := os.path.join(args.list_dir, f'{split}.txt')):
      os.replace(old, f'{old}.old')  # or its images would be in two lists
      print(f'{old}: is of an earlier split, and is {split}.txt.old now')
  labels.write_classes(args.list_dir, found)
  print(f'{os.path.join(args.list_dir, labels.CSV)}: {len(found.names)} classes')


def grouped(faults: list[str]) -> list[str]:
  """One line for the faults that differ in names and numbers alone: the first, and the files of the others."""
  alike = collections.defaultdict(list)
  for fault in faults:
    alike[re.sub(r'\S*[\d/.]\S*', '', errors.one_line(fault))].append(fault)
  lines = []
  for first, *others in alike.values():
    names = listing.first_names([other.split(': ')[0] for other in others])
    lines.append(first + (f' (and {len(others)} more: {names})' if others else ''))
  return lines


if __name__ == '__main__':
  sys.exit(errors.run(main))
