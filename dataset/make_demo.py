"""Draws demo data in the layout of VOC 2012: small street scenes with thin structures, to try the system on.

Writes OUT_DIR/VOCdevkit/VOC2012/{JPEGImages,segcls,seginst}, the lists OUT_DIR/train.txt and OUT_DIR/val.txt (their
paths are relative to OUT_DIR/VOCdevkit, the --data-dir to train with) and the classes, classes.csv and classes.txt. The
same seed draws the same files.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image
from tqdm import tqdm

from dataset import painter
from utils import arguments, errors, files, labels


def parse(argv):
  parser = arguments.Parser(__doc__)
  parser.add_argument('--out-dir', required=True, help='the folder to write; is made')
  parser.add_argument('--seed', type=arguments.whole(0), default=0, help='another seed draws other scenes')
  parser.add_argument('--num-train', type=arguments.whole(1, 100_000), default=240, help='training scenes')
  parser.add_argument('--num-val', type=arguments.whole(1, 100_000), default=40, help='validation scenes')
  parser.add_argument('--image-size', type=arguments.height_width, default=(144, 144), help='height,width in pixels')
  return parser.parse_args(argv)


def main(argv=None):
  args = parse(argv)
  if not 64 <= min(args.image_size) <= max(args.image_size) <= 4096:
    raise errors.InputError(
      f'--image-size {args.image_size[0]},{args.image_size[1]} must lie between 64 and 4096 pixels'
    )
  out = pathlib.Path(args.out_dir)
  if (out / 'VOCdevkit').exists() and not (out / 'classes.txt').exists():
    raise errors.InputError(f'{out}: holds a VOCdevkit that is not demo data; give another --out-dir')
  files.make_folder('--out-dir', out)
  with files.claim(out, 'drawing'):
    draw(args, out)


def draw(args, out: pathlib.Path) -> None:
  labels.write_classes(out, labels.Classes(list(painter.CLASSES), labels.voc_colours(len(painter.CLASSES))))
  files.write_text(out / 'classes.txt', '\n'.join(painter.CLASSES) + '\n')
  splits = {'train': args.num_train, 'val': args.num_val}
  jobs = [(split, i) for split in splits for i in range(splits[split])]
  lines = {split: [] for split in splits}
  for split, i in tqdm(jobs, desc='drawing', unit='scene', disable=None):
    rng = np.random.default_rng([args.seed, list(splits).index(split), i])
    lines[split].append(save_scene(painter.draw_scene(rng, *args.image_size), out / 'VOCdevkit', f'{split}_{i:05d}'))
  for split in splits:
    files.write_text(out / f'{split}.txt', '\n'.join(lines[split]) + '\n')
  counts = ', '.join(f'{len(lines[split])} {split}' for split in splits)
  print(f'{counts} scenes of {len(painter.CLASSES)} classes in {out}')


def save_scene(scene: painter.Scene, devkit: pathlib.Path, name: str) -> str:
  """Writes a scene's three files and returns its line for a list. Labels are palette PNGs in VOC's colours."""
  image, label = f'VOC2012/JPEGImages/{name}.jpg', f'VOC2012/segcls/{name}.png'
  with files.whole_file(devkit / image) as temporary:
    Image.fromarray(scene.image).save(temporary, format='JPEG', quality=92)
  files.write_png(devkit / label, scene.classes, labels.voc_colours())
  files.write_png(devkit / f'VOC2012/seginst/{name}.png', scene.instances, labels.voc_colours())
  return f'{image} {label}'


if __name__ == '__main__':
  sys.exit(errors.run(main))
