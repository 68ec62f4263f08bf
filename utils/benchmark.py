"""What the benchmark scripts share: flags, the pass over the files, the printed lines."""

import sys

from utils import arguments, counting, labels, pairs


def parser(description: str) -> arguments.Parser:
  flags = arguments.Parser(description)
  flags.add_argument('--pred-dir', required=True, help='folder of predictions: label images, in sub-folders or flat')
  flags.add_argument('--gt-dir', required=True, help='folder of the truth; searched by name where the path differs')
  flags.add_argument('--num-classes', type=arguments.whole(1, 256), default=21, help='truth from here on is void')
  flags.add_argument(
    '--string-replace', default=',', metavar='OLD,NEW', help='how a prediction path below its folder becomes the truth'
  )
  flags.add_argument(
    '--class-names',
    default='',
    metavar='FILE',
    help='one name a line; by default the data set that has'
    ' that many classes names them (VOC 21, Cityscapes 19, CamVid 11)',
  )
  flags.add_argument(
    '--data-list', default='', metavar='FILE', help='score exactly the images of this list; each needs a prediction'
  )
  return flags


def files(args) -> list[pairs.Files]:
  """The files to score; says on standard error how many truths have no prediction."""
  rule = pairs.replacement(args.string_replace)
  inst_dir = getattr(args, 'inst_dir', '')
  inst_rule = pairs.replacement(getattr(args, 'inst_string_replace', '') or args.string_replace)
  names = pairs.predictions(args.pred_dir, args.data_list)
  found, left = pairs.find(names, args.pred_dir, args.gt_dir, inst_dir, rule, inst_rule)
  if left:
    print(f'note: {left} files below {args.gt_dir} have no prediction; scored: {len(found)}', file=sys.stderr)
  return found


def percent(fraction: float) -> str:
  return 'n/a' if fraction != fraction else f'{100 * fraction:.4f}%'


def print_iou(iou, pixel_accuracy: float, names: list[str]) -> None:
  """One line a class, then the two means."""
  for i, (name, value) in enumerate(zip(names, iou, strict=True)):
    print(f'class {name}: {i:02d}, acc: {percent(value)}')
  print(f'mean IOU: {percent(counting.mean(iou))}')
  print(f'mean Pixel Acc: {percent(pixel_accuracy)}')


def class_names(args) -> list[str]:
  return labels.class_names(args.num_classes, args.class_names)
