"""Measure whether the affinity losses help: train every method with every seed from equal weights on equal data,
predict, score, and write OUT_DIR/study.{json,csv,html,png} with means, standard errors and differences paired by seed.

Flags behind `--` go to every training (network, crop, steps, rate, --val-every ...). A study that was stopped goes on
when the same command is started again; finished runs are kept. Started several times at once, on GPUs of their own or
on machines with a common disk, the command shares the runs out; start it once more at the end, for the results.
Machines without a common disk can do different --seeds: `--add` takes their results in.
"""

import argparse
import json
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import arguments, errors, files, labels, lists
from utils.errors import InputError
from utils.predict import flags as inference_flags
from utils.predict import outputs
from utils.study import plan, settings


def parse(argv):
  flags = arguments.Parser(__doc__)
  add = flags.add_argument
  add('--out-dir', required=True, help='gets a folder a run, and the results')
  add('--data-dir', default='', help='the folder that the lists are relative to')
  add('--train-list', default='', help='list file of training images, `image label`')
  add('--val-list', default='', help='list file of validation images')
  add('--curve-list', default='', help='images to validate on while training, for the curves; default: --val-list')
  add('--test-list', default='', help='list file of test images: scored with --test alone')
  add('--test', action='store_true', help='predict and score the test list too, once, with every finished run')
  add('--methods', default='baseline,affinity,aaf', metavar='NAME,...', help='all are compared with the first')
  add('--variant', action='append', default=[], metavar="'NAME=METHOD FLAGS'",
      help="another method, for example 'half=aaf --kld-lambda-1 0.5 --kld-lambda-2 0.5'; may be repeated")  # fmt: skip
  add('--seeds', type=_seeds, default=(1, 2, 3), metavar='N,...', help='of weights, order and augmentation')
  add('--variant-seeds', type=_seeds, metavar='N,...', help='those of the --seeds that the variants get; default: all')
  add('--add', nargs='+', default=[], metavar='FILE', help='study.json of this study elsewhere: its runs are finished')
  add('--num-gpu', type=arguments.whole(1, 1024), help='train by the *_mgpu scripts, on so many GPUs')
  add('--window', type=arguments.height_width, metavar='H,W', help="of prediction; default: training's --input-size")
  add('--strides', type=arguments.height_width, metavar='H,W', help="of the windows; default: training's --val-strides")
  add('--checkpoint', choices=('last', 'best'), default='last', help='to score: the last, or the best on --val-list')
  add('--class-names', default='', metavar='FILE', help='one name a line; by default those of the known data sets')
  add('--thin-classes', default='', metavar='NAME,...', help='classes to mark, and to take a mIoU of their own over')
  add('--title', default='Does the affinity loss help?', help="the page's heading")
  add('--num-images', type=arguments.whole(0, 1000), default=4, help='images to show, spread evenly over the list')
  add('--picture-width', type=arguments.whole(16, 4096), default=320, help='pixels')
  add('--report-only', action='store_true', help='write the results of what is finished; flags as at the last start')
  add('--dry-run', action='store_true', help='print the commands and run none')
  words, training = _split(sys.argv[1:] if argv is None else argv)
  args = flags.parse_args(words)
  if args.report_only:
    earlier_words, earlier_training = _split(_remembered(args.out_dir))
    args, training = flags.parse_args([*earlier_words, *words]), training or earlier_training
    args.variant = list(dict.fromkeys(args.variant))  # a script gives its own again
  args.training, args.words = training, [*words, '--', *training]
  return args


def _split(words: list[str]) -> tuple[list[str], list[str]]:
  """The words before `--` and those behind it."""
  cut = words.index('--') if '--' in words else len(words)
  return words[:cut], words[cut + 1 :]


def _seeds(text: str) -> tuple[int, ...]:
  seeds = tuple(map(arguments.whole(0, 2**31 - 1), text.split(',')))
  if len(set(seeds)) < len(seeds):
    raise argparse.ArgumentTypeError(f'{text!r} names a seed twice; the runs would be the same')
  return seeds


def _remembered(out_dir: str) -> list[str]:
  """The command line of the study's last start."""
  path = pathlib.Path(out_dir) / 'flags.json'
  try:
    return list(map(str, json.loads(path.read_text(encoding='utf-8'))))
  except (OSError, ValueError):
    raise InputError(f'{path}: cannot be read; start the study without --report-only') from None


def main(argv=None) -> None:
  args = parse(argv)
  runs, names, thin = checked(args)
  if args.dry_run:
    for run in [run for run in runs if not run.row]:
      predictions = [plan.prediction_command(run, split, path, args.data_dir) for split, path in args.scored.items()]
      for words in (run.command, *predictions):
        print(shlex.join(['python', *words]))
    return
  if not args.report_only:
    from utils.study import run as study_run  # OpenCV and SciPy, not needed for --help

    files.make_folder('--out-dir', args.out_dir)
    files.write_text(pathlib.Path(args.out_dir) / 'flags.json', json.dumps(args.words) + '\n')
    study_run.run_all(runs, args.scored, args.data_dir, names)
  report(args, runs, names, thin)


def checked(args):
  """The plan, the class names and the thin ones; everything that can be wrong is refused here, before hours of work.

  Sets `args.lists`: split ('val', 'test') -> list file; and `args.scored`: those of them that this start scores.
  """
  for flag in ('train_list', 'val_list'):
    if not getattr(args, flag):
      raise InputError(f'--{flag.replace("_", "-")} is empty; give a list file: one line an image, `image label`')
  if args.test and not args.test_list:
    raise InputError('--test needs --test-list; give a list file')
  args.lists = {'val': args.val_list, **({'test': args.test_list} if args.test_list else {})}
  args.scored = {split: path for split, path in args.lists.items() if split == 'val' or args.test}
  args.curve_list = args.curve_list or args.val_list
  for path in (args.train_list, args.curve_list, *args.lists.values()):
    lists.read_list(path, args.data_dir, need_label=True)
  runs = plan.plan(args)
  number = runs[0].flags.num_classes
  named = args.class_names and labels.choose_classes(number, args.class_names).names
  names = named or list(map(str, range(number)))
  thin = [name for name in args.thin_classes.split(',') if name]
  for name in thin:
    if name not in names or thin.count(name) > 1:
      raise InputError(f'--thin-classes {args.thin_classes}: {name!r} is not one of {", ".join(names)}, named once')
  for run in runs:
    settings.check(run, args.lists)
    for split, path in args.lists.items():
      flags = inference_flags.parse('', plan.prediction_command(run, split, path, args.data_dir)[1:])
      outputs.images_to_do(flags, outputs.Outputs(flags))
  return plan.with_results(runs, args.add, plan.class_rows(names, thin), list(args.scored)), names, thin


def report(args, runs, names: list[str], thin: list[str]) -> None:
  """Writes the results of the finished runs and prints the tables."""
  from utils.study import outcome, page, results, tables

  content = results.study(runs, names, thin, args.title)
  if not content['runs']:
    raise InputError(f'--out-dir {args.out_dir}: no run of the study is finished there; start it without --report-only')
  outcome.check_equal_start(runs)
  out = pathlib.Path(args.out_dir)
  files.write_text(out / 'study.json', results.as_json(content))
  files.write_text(out / 'study.csv', results.as_csv(content))
  split = 'test' if 'test' in content else 'val'
  scored = [run for run in runs if not run.row and run.is_scored('val') and run.is_scored(split)]
  of_one_seed = [run for run in scored if run.seed == scored[0].seed]
  pairs = lists.read_list(args.lists[split], args.data_dir, need_label=True) if scored else []
  pairs = page.evenly(pairs, args.num_images)
  page.write(out, content, of_one_seed, split, pairs, args.picture_width)
  print(tables.as_markdown(content))
  print(f'\n{len(content["runs"])} of {len(runs)} runs finished: {out}/study.json, .csv, .html, .png', file=sys.stderr)


if __name__ == '__main__':
  sys.exit(errors.run(main))
