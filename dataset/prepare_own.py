"""Lists images and labels of your own, matched by name, and writes the names of their classes.

DATA_DIR/IMAGES and DATA_DIR/MASKS hold files of the same names but for the suffix, in any depth of sub-folders. Images
are JPEG or PNG, masks grey or palette PNGs of class ids (255 is void). Labels of another form are converted to such
masks in DATA_DIR/label_ids, and the originals are only read: masks of colours (--colors), ids that count from 1
(--zero-is-void), or --coco, --labelme, --cvat in place of --masks; what is painted later is on top.

Writes the lists train, val and, with --test-fraction, test, by a seeded random split; their paths are relative to
DATA_DIR. The same seed gives the same split, and files added later move only a few of the others. Where the folders are
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

from utils import arguments, atomic, errors
from utils.data import convert, lists, own
from utils.data.formats import class_table, conversion, forms
from utils.data.labels import VOID
from utils.errors import InputError


def parse(argv):
  parser = lists.parser(__doc__, 'own', "the folder that the lists' paths are relative to")
  parser.add_argument('--images', default='images', help='folder of images below DATA_DIR; may hold {split}')
  parser.add_argument('--masks', default='masks', help='folder of masks below DATA_DIR; may hold {split}')
  parser.add_argument('--mask-ending', default='', help='what the names of masks end with besides, for example `_mask`')
  parser.add_argument('--colors', default='', help='the masks show colours: a file with a line `r g b name` for each')
  parser.add_argument('--zero-is-void', action='store_true', help='in the masks 0 is void and k is class k - 1')
  parser.add_argument('--coco', default='', help='COCO JSON below DATA_DIR, in place of masks; may hold {split}')
  parser.add_argument('--labelme', default='', help='folder of LabelMe JSON files, in place of masks; may hold {split}')
  parser.add_argument('--cvat', default='', help='`CVAT for images 1.1` XML, in place of masks; may hold {split}')
  parser.add_argument(
    '--unlabelled', choices=('background', 'void'), default='background', help='what --coco, ... left without a label'
  )
  parser.add_argument('--ignore-label', type=arguments.whole(0, 255), default=255, help='void, as 255 always is')
  parser.add_argument('--val-fraction', type=arguments.real(0, 1, below=True), default=0.1, help='share of val')
  parser.add_argument('--test-fraction', type=arguments.real(0, 1, below=True), default=0.0, help='share of test')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed gives another split')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if args.val_fraction + args.test_fraction >= 1:
    raise InputError(f'--val-fraction {args.val_fraction} and --test-fraction {args.test_fraction} leave no train')
  form = forms.chosen(args)
  faults, pairs, origins = [], {}, {}
  for split, paths in own.splits_of(args.data_dir, args.images, form.path, form.flag).items():
    pairs[split], found, more = read_split(args, form, *paths)
    origins |= {name: origin for name, origin in found.items() if name not in origins}
    faults += more
  given = class_table.read_given(args.data_dir)
  names = class_table.class_names(list(origins), given, form.unlabelled == 'background') if form.named else None
  if form.converter:
    more, pairs = conversion.run(args.data_dir, pairs, form, names, origins)
    faults += more
  ignore_label = VOID if form.converter else args.ignore_label
  more, sound, ids = inspect(args.data_dir, pairs)
  names = class_table.names_of_ids(ids - {VOID, ignore_label}, given, ignore_label) if names is None else names
  write(args, sound, names)
  return convert.report(faults + more)


def read_split(args, form: forms.Form, image_folder: str, labels_path: str | None):
  """Pairs of an image and its label, the names of the classes, and what is wrong with others."""
  images = own.named_files(args.data_dir, image_folder, '--images', own.IMAGES)
  if labels_path is None:
    return [own.Pair(name, image, None) for name, image in sorted(images.items())], {}, []
  labels, names = form.read(labels_path)
  faults = []
  if form.flag != '--masks':
    labels, faults = own.by_image(images, labels, labels_path)
  shared = '{split}' in form.path and '{split}' not in args.images
  return own.match(images, labels, labels_path, shared), names, faults


def inspect(data_dir: str, pairs: dict[str, list[own.Pair]]):
  """As `own.inspect`, of all splits: faults, lines by split and name, values."""
  faults, sound, values = [], {}, set()
  for split in pairs:
    more, sound[split], found = own.inspect(data_dir, pairs[split])
    faults += more
    values |= found
  return faults, sound, values


def write(args, sound: dict[str, dict[str, str]], names: list[str]) -> None:
  if list(sound) == ['']:
    lines = sound['']
    splits = own.random_split(list(lines), args.val_fraction, args.test_fraction, args.seed)
    sound = {split: {name: lines[name] for name in split_names} for split, split_names in splits.items()}
  for split, lines in sound.items():
    lists.write(args.list_dir, split, list(lines.values()))
  if names:
    path = pathlib.Path(args.list_dir, 'classes.txt')
    atomic.write_text(path, '\n'.join(names) + '\n')
    print(f'{path}: {len(names)} classes')


if __name__ == '__main__':
  sys.exit(errors.run(main))
