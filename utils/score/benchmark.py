"""What the benchmark scripts share: flags, the pass over the files, what is printed and written."""

import functools
import itertools
import json
import os
import re
import sys

from utils import arguments, checks, files, labels, lists, metrics
from utils.errors import InputError
from utils.score import boundaries, calibration, cityscapes, instances, pairs, scoring


def parser(description: str) -> arguments.Parser:
  flags = arguments.Parser(description)
  add = flags.add_argument
  add('--pred-dir', default='', help='folder of predictions: images of class ids, in sub-folders or not')
  add_truth_flags(flags)
  add('--inst-dir', default='', help='folder of instance id images, 8 or 16 bit; 255 is void')
  add('--inst-string-replace', type=pairs.replacement, help='default: that of --string-replace')
  add('--boundary', action='store_true', help='also boundary IoU, boundary F-score, mIoU near boundaries')
  share = arguments.real(0, 1, above=True)
  of_iou, of_f = "of boundary IoU: width as a fraction of the image's diagonal", 'of the F-score: a fraction of it'
  add('--boundary-band', type=share, default=boundaries.BAND, help=of_iou)
  add('--boundary-tolerance', type=share, default=boundaries.TOLERANCE, help=of_f)
  add('--cityscapes', action='store_true', help="also category IoU and, with Cityscapes' --inst-dir, iIoU")
  add('--json', default='', metavar='FILE', help='write all scores and the confusion matrix')
  add('--csv', default='', metavar='FILE', help='write a table in percent: a row for each class, and the means')
  return flags


def add_truth_flags(flags: arguments.Parser) -> None:
  """Adds the flags of the ground truth that predictions are compared with."""
  add = flags.add_argument
  add('--gt-dir', default='', help='folder of the ground truth; where a path differs, the name counts')
  add(
    '--data-dir', default='', help='in place of --gt-dir: the folder of --data-list, whose lines name the ground truth'
  )
  add('--num-classes', type=arguments.whole(1, 256), help="default: that of the predictions' classes.csv, else 21")
  add(
    '--string-replace', type=pairs.replacement, default=',', help='turns the path of a prediction into its ground truth'
  )
  add('--class-names', default='', metavar='FILE', help="default: the predictions' classes.csv, else numbers")
  add('--ignore-label', type=arguments.whole(0, 65535), nargs='+', default=[], metavar='N',
      help='further void values of the ground truth, besides 255')  # fmt: skip
  add('--data-list', default='', metavar='FILE', help='score exactly the images of this list; each needs a prediction')


def find_files(pred_dir: str, args, inst_dir: str = '', image_dir: str = '') -> list[pairs.Files]:
  """The files to score; notes on standard error how many ground truth files have no prediction."""
  for value in args.ignore_label:
    checks.check_ignore_label(args.num_classes, value)
  if bool(args.gt_dir) == bool(args.data_dir) or args.data_dir and not args.data_list:
    raise InputError('give the ground truth: --gt-dir, or --data-dir with --data-list, whose lines name it')
  names = pairs.predictions(pred_dir, args.data_list)
  photos, instances, unused = [None] * len(names), [None] * len(names), 0
  if args.data_dir:
    listed = lists.read_list(args.data_list, args.data_dir, need_label=True)
    if len(listed) != len(names):
      raise InputError(f'{args.data_list}: names an image twice; name every image once')
    photos, truths = zip(*listed, strict=True)
  else:
    truths, unused = pairs.in_folder('--gt-dir', args.gt_dir, pred_dir, names, args.string_replace)
  if image_dir:
    photos, _ = pairs.in_folder('--image-dir', image_dir, pred_dir, names)
  if inst_dir:
    replacement = args.inst_string_replace or args.string_replace
    instances, _ = pairs.in_folder('--inst-dir', inst_dir, pred_dir, names, replacement)
  found = pairs.find(pred_dir, names, truths, instances, photos)
  if unused:
    print(f'note: {unused} files in {args.gt_dir} have no prediction; scored: {len(found)}', file=sys.stderr)
  return found


def run(flags: arguments.Parser, argv, instance_wise: bool = False) -> None:
  """Scores, prints and writes what the flags ask for."""
  args = flags.parse_args(argv)
  files.check_output_file('--json', args.json)
  files.check_output_file('--csv', args.csv)
  for folder in ('pred_dir', *['inst_dir'] * instance_wise):
    if not getattr(args, folder):
      raise InputError(f'--{folder.replace("_", "-")} is empty; give a folder of label images')
  names = chosen_classes(args, [args.pred_dir]).names
  if args.cityscapes and args.num_classes != len(labels.CITYSCAPES.names):
    raise InputError(f"--num-classes {args.num_classes}: --cityscapes scores the data set's 19 train ids; give 19")
  found = find_files(args.pred_dir, args, args.inst_dir)
  scores = chosen_scores(args, confident=all(file.confidence for file in found))
  sums = scoring.count_files(found, args.num_classes, [count for count, _ in scores])
  check_truth(args, sums)
  report = metrics.joined(scoring.report(sums), *(report(sums) for _, report in scores))
  publish(args, report, names, len(found), instance_wise)


def check_truth(args, *sums: scoring.Sums) -> None:
  """Prints what of the truth is not counted, each line once; raises as `scoring.check_truth`."""
  lines = (scoring.check_truth(one, args.num_classes, args.ignore_label) for one in sums)
  for line in dict.fromkeys(itertools.chain.from_iterable(lines)):
    print(line, file=sys.stderr)


def chosen_classes(args, pred_dirs: list[str]) -> labels.Classes:
  """The classes of --class-names, else of the file beside the predictions (SAVE_DIR/classes.csv for SAVE_DIR/gray),
  else numbers; sets `args.num_classes` where it was not given. Raises as `check_same_classes`."""
  beside = {} if args.class_names else classes_by_path(pred_dirs, [args.gt_dir, args.data_list])
  check_same_classes({path: classes.names for path, classes in beside.items()})
  found = next((beside[path] for path in pred_dirs if path in beside), None)
  if args.class_names and args.num_classes is None:
    found = labels.read_classes(args.class_names)
  if found and args.num_classes in (None, len(found.names)):
    args.num_classes = len(found.names)
    return found
  if found:
    print(f'note: --num-classes {args.num_classes}: {len(found.names)} classes are named beside the predictions; '
          'numbers stand for names', file=sys.stderr)  # fmt: skip
  args.num_classes = args.num_classes or 21
  return labels.choose_classes(args.num_classes, args.class_names)


def classes_by_path(pred_dirs: list[str], others: list[str]) -> dict[str, labels.Classes]:
  """Path -> the classes of the file in or beside it, for the paths that have one."""
  places = {path: [path, os.path.dirname(os.path.abspath(path))] for path in pred_dirs}
  places |= {path: [path] for path in others if path}
  found = {path: next(filter(None, map(labels.classes_beside, beside)), None) for path, beside in places.items()}
  return {path: classes for path, classes in found.items() if classes}


def check_same_classes(names_of: dict[str, list[str]]) -> None:
  """Prints a note where two paths name their classes differently.

  Raises:
    InputError: a class stands in another place beside other predictions or the ground truth.
  """
  plain = {path: [name.replace(' ', '_') for name in names] for path, names in names_of.items()}
  for (path, names), (other, others) in itertools.combinations(plain.items(), 2):
    if any(name in others and others[i : i + 1] != [name] for i, name in enumerate(names)):
      raise InputError(f'{path} and {other}: their classes have another order; give --class-names FILE if they are one')
    unnamed = any(all(map(re.compile(r'class_\d+').fullmatch, some)) for some in (names, others))
    if len(names) == len(others) and names != others and not unnamed:
      print(f'note: {path} and {other} name their classes differently', file=sys.stderr)


def publish(args, report: metrics.Scores, names: list[str], images: int, instance_wise: bool) -> None:
  """Prints and writes the scores: one line per class, the two means, then those that the flags ask for."""
  iou = report.columns['instance_iou' if instance_wise else 'iou']
  for i, (name, value) in enumerate(zip(names, iou, strict=True)):
    print(f'class {name}: {i:02d}, acc: {percent(value)}')
  print(f'mean IOU: {percent(metrics.mean(iou))}')
  print(f'mean Pixel Acc: {percent(report.means["mean Pixel Acc"])}')
  every = args.boundary or args.cityscapes or args.json or args.csv or (args.inst_dir and not instance_wise)
  for name, value in list(report.means.items())[2:]:
    if every or name == 'expected calibration error':
      print(f'{name}: {percent(value)}')
  truth = {'data_dir': args.data_dir, 'data_list': args.data_list} if args.data_dir else {'gt_dir': args.gt_dir}
  settings = {'unit': 'percent', 'pred_dir': args.pred_dir, **truth, 'images': images}
  if args.boundary:
    settings |= {'boundary_band': args.boundary_band, 'boundary_tolerance': args.boundary_tolerance}
  content = scoring.as_dict(report, names, **settings)
  if args.json:
    files.write_text(args.json, json.dumps(content, indent=1) + '\n')
  if args.csv:
    scoring.write_csv(args.csv, content)


def chosen_scores(args, confident: bool) -> list[tuple]:
  """The functions that count and report what the flags ask for, besides the confusion matrix."""
  scores = [(calibration.count, calibration.report)] if confident else []
  scores += [(instances.count, instances.report)] if args.inst_dir else []
  if args.boundary:
    count = functools.partial(boundaries.count, band_share=args.boundary_band, tolerance=args.boundary_tolerance)
    scores.append((count, boundaries.report))
  if args.cityscapes:
    scores.append((cityscapes.count, cityscapes.report))
  return scores


def percent(fraction: float) -> str:
  return 'n/a' if fraction != fraction else f'{100 * fraction:.4f}%'
