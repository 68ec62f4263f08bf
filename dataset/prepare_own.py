"""Lists images and labels of your own, matched by name, and writes the names of their classes.

DATA_DIR/IMAGES and DATA_DIR/MASKS hold files with the same names except for the suffix, in sub-folders or not. Images
are JPEG or PNG, masks grey or palette PNGs of class ids (255 is void). Labels of another form are converted to such
masks in DATA_DIR/label_ids, and the originals are only read: masks of colours (--colors), ids that count from 1
(--zero-is-void), or the annotations of --coco, --labelme or --cvat in place of --masks.

Writes the lists train, val and, with --test-fraction, test, by a seeded random split; their paths are relative to
DATA_DIR. The same seed gives the same split; few pairs change their list when files are added. Where the folders are
split already, put {split} into --images and --masks (`--images images/{split} --masks masks/{split}`): the lists are
then the folders train, val and test (or training, valid, validation) that exist. Test images without labels are listed
alone.

classes.txt goes beside the lists, a name a line. The names and their order are those of DATA_DIR/classes.txt where that
file is; else those of the labels (background first, where it is a class); else class_0, class_1 and so on, up to the
highest id in the masks. Labels named void, ignore or unlabelled are void. Run this again after changes: it converts
what is new, or all where the classes changed.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from dataset import conversion, listing, pairing
from dataset.formats import classes, sources
from utils import arguments, errors, files
from utils.errors import InputError
from utils.labels import VOID


def parse(argv):
  parser = listing.parser(__doc__, 'own', "the folder that the lists' paths are relative to")
  parser.add_argument('--images', default='images', help='folder of images below DATA_DIR; may hold {split}')
  parser.add_argument('--masks', default='masks', help='folder of masks below DATA_DIR; may hold {split}')
  parser.add_argument('--mask-ending', default='', help='what follows the image name in mask names, such as `_mask`')
  parser.add_argument('--colors', default='', help='masks are colours: a table of them, one line `r g b name` each')
  parser.add_argument('--zero-is-void', action='store_true', help='in the masks 0 is void and k is class k - 1')
  parser.add_argument('--coco', default='', help='COCO JSON below DATA_DIR, in place of masks; may hold {split}')
  parser.add_argument('--labelme', default='', help='folder of LabelMe JSON files, in place of masks; may hold {split}')
  parser.add_argument('--cvat', default='', help='`CVAT for images 1.1` XML, in place of masks; may hold {split}')
  parser.add_argument(
    '--unlabelled', choices=('background', 'void'), default='background', help='class of pixels outside all annotations'
  )
  parser.add_argument('--ignore-label', type=arguments.whole(0, 255), default=255, help='void, as 255 always is')
  parser.add_argument('--val-fraction', type=arguments.real(0, 1, below=True), default=0.1, help='fraction of val')
  parser.add_argument('--test-fraction', type=arguments.real(0, 1, below=True), default=0.0, help='fraction of test')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed gives another split')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if args.val_fraction + args.test_fraction >= 1:
    raise InputError(f'--val-fraction {args.val_fraction} and --test-fraction {args.test_fraction} leave no train')
  source = sources.chosen(args)
  pairs, origins, faults = read_pairs(args, source)
  given = classes.read_user_names(args.data_dir)
  ignore_label = VOID if source.converter else args.ignore_label
  names = classes.class_names(list(origins), given, source.unlabelled == 'background') if source.has_names else None
  splits = {pair.split for pair in pairs}
  if source.converter:
    failed, pairs = conversion.run(args.data_dir, pairs, source, names, origins)
    faults += failed
  failed, pairs, ids = pairing.inspect(args.data_dir, pairs)
  if not source.has_names:
    names = classes.names_of_ids(ids - {VOID, ignore_label}, given, ignore_label)
  write(args, splits, pairs, names)
  return errors.report(faults + failed)


def read_pairs(args, source: sources.LabelSource) -> tuple[list[pairing.Pair], dict[str, str], list[str]]:
  """The pairs of all splits; class name -> what stands for it in the labels; a line for each faulty label."""
  pairs, origins, faults = [], {}, []
  shared = '{split}' in source.path and '{split}' not in args.images
  for split, (folder, path) in pairing.splits_of(args.data_dir, args.images, source.path, source.flag).items():
    images = pairing.files_by_name(args.data_dir, folder, '--images', pairing.IMAGES)
    if path is None:
      pairs += [pairing.Pair(split, name, image, None) for name, image in sorted(images.items())]
      continue
    labels, names, failed = source.read(path, images)
    pairs += pairing.match_by_name(split, images, labels, path, shared)
    origins |= {name: origin for name, origin in names.items() if name not in origins}
    faults += failed
  return pairs, origins, faults


def write(args, splits: set[str], pairs: list[pairing.Pair], names: list[str]) -> None:
  """Writes the list of each of `splits` and the class names; where `splits` is {''}, splits the pairs at random."""
  if splits == {''}:
    shares = {'train': 1, 'val': args.val_fraction, 'test': args.test_fraction}
    splits = {split for split in shares if shares[split]}
    pairs = pairing.random_split(pairs, args.val_fraction, args.test_fraction, args.seed)
  for split in pairing.SPLITS:
    if split in splits:
      lines = [listing.line(pair.image, pair.label) for pair in pairs if pair.split == split]
      listing.write(args.list_dir, split, lines)
  if names:
    path = pathlib.Path(args.list_dir, 'classes.txt')
    files.write_text(path, '\n'.join(names) + '\n')
    print(f'{path}: {len(names)} classes')


if __name__ == '__main__':
  sys.exit(errors.run(main))
