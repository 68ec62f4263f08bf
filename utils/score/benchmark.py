"""What the benchmark scripts share: flags, the pass over the files, what is printed and written."""

import functools
import sys

from utils import arguments, atomic, parallel
from utils.data import labels
from utils.errors import InputError
from utils.score import counting, pairs


def parser(description: str, inst_required: bool = False) -> arguments.Parser:
  flags = arguments.Parser(description)
  add = flags.add_argument
  add('--pred-dir', required=True, help='folder of predictions: images of class ids, in sub-folders or not')
  add_truth_flags(flags)
  add('--inst-dir', default='', required=inst_required, help='folder of instance id images, 8 or 16 bit; 255 is void')
  add('--inst-string-replace', default='', metavar='OLD,NEW', help='for --inst-dir; default: that of --string-replace')
  add('--boundary', action='store_true', help='also boundary IoU, boundary F-score, mIoU near boundaries')
  share = arguments.real(0, 1, above=True)
  add('--boundary-band', type=share, default=0.02, help="of boundary IoU: width as a fraction of the image's diagonal")
  add('--boundary-tolerance', type=share, default=0.0075, help='of the boundary F-score: a fraction of the diagonal')
  add('--cityscapes', action='store_true', help="also category IoU and, with Cityscapes' --inst-dir, iIoU")
  add('--json', default='', metavar='FILE', help='write all scores and the confusion matrix, in percent')
  add('--csv', default='', metavar='FILE', help='write a table in percent: a row for each class, and the means')
  return flags


def add_truth_flags(flags: arguments.Parser) -> None:
  """Adds the flags of the ground truth that predictions are compared with."""
  add = flags.add_argument
  add('--gt-dir', required=True, help='folder of the ground truth; files are searched by name where the path differs')
  add('--num-classes', type=arguments.whole(1, 256), default=21, help='ground truth of this value and above is void')
  add('--string-replace', default=',', metavar='OLD,NEW', help='turns the path of a prediction into its ground truth')
  add('--class-names', default='', metavar='FILE', help='one name a line; default: the names of VOC for 21 classes, '
      'of Cityscapes for 19, of CamVid for 11')  # fmt: skip
  add('--data-list', default='', metavar='FILE', help='score exactly the images of this list; each needs a prediction')


def find_files(pred_dir: str, args, inst_dir: str = '', inst_string_replace: str = '') -> list[pairs.Files]:
  """The files to score; notes on standard error how many ground truth files have no prediction."""
  replace = inst_replace = pairs.parse_replacement(args.string_replace)
  if inst_string_replace:
    inst_replace = pairs.parse_replacement(inst_string_replace, '--inst-string-replace')
  names = pairs.predictions(pred_dir, args.data_list)
  found, unused = pairs.find(names, pred_dir, args.gt_dir, inst_dir, replace, inst_replace)
  if unused:
    print(f'note: {unused} files in {args.gt_dir} have no prediction; scored: {len(found)}', file=sys.stderr)
  return found


def run(args, instance_wise: bool = False) -> None:
  """Scores, prints and writes what the flags ask for."""
  names = labels.class_names(args.num_classes, args.class_names)
  if instance_wise:
    pairs.check_folder('--inst-dir', args.inst_dir)
  atomic.check_output_file('--json', args.json)
  atomic.check_output_file('--csv', args.csv)
  if args.cityscapes and args.num_classes != len(labels.CITYSCAPES_CLASSES):
    raise InputError(f"--num-classes {args.num_classes}: --cityscapes scores the data set's 19 train ids; give 19")
  found = find_files(args.pred_dir, args, args.inst_dir, args.inst_string_replace)
  if args.boundary or args.cityscapes or args.json or args.csv or args.inst_dir:
    score_all(args, found, names, instance_wise)
  else:
    counts = parallel.accumulate(functools.partial(counting.Counts, args.num_classes), found, 'scoring')
    print_iou(counts.iou(), counts.pixel_accuracy(), names)


def score_all(args, found: list[pairs.Files], names: list[str], instance_wise: bool) -> None:
  from utils.score import files, scoring  # NumPy and OpenCV, not needed for IoU alone

  scores = scoring.score(found, args.num_classes, metric_types(args))
  report = files.merged([metric.report() for metric in scores.values()])
  print_iou(report.columns['instance_iou' if instance_wise else 'iou'], report.means['mean Pixel Acc'], names)
  if not instance_wise or args.boundary or args.cityscapes or args.json or args.csv:
    for name, value in list(report.means.items())[2:]:
      print(f'{name}: {percent(value)}')
  settings = {'unit': 'percent', 'pred_dir': args.pred_dir, 'gt_dir': args.gt_dir, 'images': len(found)}
  if args.boundary:
    settings |= {'boundary_band': args.boundary_band, 'boundary_tolerance': args.boundary_tolerance}
  content = files.as_dict(report, names, **settings)
  if args.json:
    files.write_json(args.json, content)
  if args.csv:
    files.write_csv(args.csv, content)


def metric_types(args) -> dict:
  """The metrics that the flags ask for, as `scoring.score` takes them."""
  from utils.score import boundaries, cityscapes, scoring

  chosen = {'confusion': scoring.Confusion}
  if args.inst_dir:
    chosen['instances'] = scoring.InstanceWise
  if args.boundary:
    chosen |= boundaries.METRICS
    chosen['boundary IoU'] = functools.partial(boundaries.BoundaryIoU, share=args.boundary_band)
    chosen['boundary F'] = functools.partial(boundaries.BoundaryF, tolerance=args.boundary_tolerance)
  if args.cityscapes:
    chosen['categories'] = cityscapes.Categories
    if args.inst_dir:
      chosen['weighted'] = cityscapes.InstanceWeighted
  return chosen


def percent(fraction: float) -> str:
  return 'n/a' if fraction != fraction else f'{100 * fraction:.4f}%'


def print_iou(iou, pixel_accuracy: float, names: list[str]) -> None:
  """One line a class, then the two means."""
  for i, (name, value) in enumerate(zip(names, iou, strict=True)):
    print(f'class {name}: {i:02d}, acc: {percent(value)}')
  print(f'mean IOU: {percent(counting.mean(iou))}')
  print(f'mean Pixel Acc: {percent(pixel_accuracy)}')
