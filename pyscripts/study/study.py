"""Measure whether the affinity losses help: train every method with every seed from equal weights on equal data,
predict, score, and write OUT_DIR/study.{json,csv,html,png} with means, standard errors and differences paired by seed.

Flags behind `--` go to every training (network, crop, steps, rate, --val-every ...). A study that was stopped goes on
when the same command is started again; finished runs are kept.
"""

import argparse
import json
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from utils import arguments, atomic, errors, list_file, locks
from utils.data import labels
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
  add(
    '--methods',
    default='baseline,affinity,aaf',
    metavar='NAME,...',
    help='some of these; all are compared with the first',
  )
  add('--variant', action='append', default=[], metavar="'NAME=METHOD FLAGS'",
      help="another method, for example 'half=aaf --kld-lambda-1 0.5 --kld-lambda-2 0.5'; may be repeated")  # fmt: skip
  add('--seeds', type=_seeds, default=(1, 2, 3), metavar='N,...', help='of weights, order and augmentation')
  add('--num-gpu', type=arguments.whole(1, 1024), help='train by the *_mgpu scripts, on so many GPUs')
  add('--window', type=arguments.height_width, metavar='H,W', help="of prediction; default: training's --input-size")
  add('--strides', type=arguments.height_width, metavar='H,W', help="of the windows; default: training's --val-strides")
  add(
    '--checkpoint', choices=('last', 'best'), default='last', help='which to score: the last, or the best on --val-list'
  )
  add('--class-names', default='', metavar='FILE', help='one name a line; by default those of the known data sets')
  add('--thin-classes', default='', metavar='NAME,...', help='classes to mark, and to take a mIoU of their own over')
  add('--title', default='Does the affinity loss help?', help="the page's heading")
  add('--num-images', type=arguments.whole(0, 1000), default=4, help='images to show, spread evenly over the list')
  add('--picture-width', type=arguments.whole(16, 4096), default=320, help='pixels')
  add(
    '--report-only', action='store_true', help='write the results of what is finished, with the flags of the last start'
  )
  add('--dry-run', action='store_true', help='print the commands and run none')
  words, training = halves(sys.argv[1:] if argv is None else argv)
  args = flags.parse_args(words)
  if args.report_only:
    before, training_before = halves(_remembered(args.out_dir))
    args, training = flags.parse_args([*before, *words]), training or training_before
  args.training, args.words = training, [*words, '--', *training]
  return args


def halves(words) -> tuple[list[str], list[str]]:
  """The words before `--` and those behind it."""
  words = list(words)
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
  runs, lists, names, thin = checked(args)
  if args.dry_run:
    for run in runs:
      for words in commands(run, args):
        print(shlex.join(['python', *words]))
    return
  if not args.report_only:
    from utils.study import run as study_run  # OpenCV and SciPy, not needed for --help

    with locks.claim(made(args.out_dir), 'lock'):
      atomic.write_text(pathlib.Path(args.out_dir) / 'flags.json', json.dumps(args.words) + '\n')
      scored_lists = {split: path for split, path in lists.items() if split == 'val' or args.test}
      study_run.run_all(runs, scored_lists, args.data_dir, names)
  report(args, runs, lists, names, thin)


def checked(args):
  """The plan, the lists by split, the class names and the thin ones; everything that can be wrong is refused here."""
  for flag in ('train_list', 'val_list'):
    if not getattr(args, flag):
      raise InputError(f'--{flag.replace("_", "-")} is empty; give a list file: one line an image, `image label`')
  if args.test and not args.test_list:
    raise InputError('--test needs --test-list; give a list file')
  lists = {'val': args.val_list, **({'test': args.test_list} if args.test_list else {})}
  args.curve_list = args.curve_list or args.val_list
  for path in (args.train_list, args.curve_list, *lists.values()):
    list_file.read_list(path, args.data_dir, need_label=True)
  runs = plan.plan(args)
  names = labels.class_names(runs[0].flags.num_classes, args.class_names)
  thin = list(filter(None, args.thin_classes.split(',')))
  for name in thin:
    if name not in names or thin.count(name) > 1:
      raise InputError(f'--thin-classes {args.thin_classes}: {name!r} is not one of {", ".join(names)}, named once')
  for run in runs:
    settings.check(run)
    for split, path in lists.items():
      words = plan.prediction_command(run, split, path, args.data_dir)
      flags = inference_flags.parse('', words[1:])
      outputs.images_to_do(flags, outputs.Outputs(flags))
  return runs, lists, names, thin


def commands(run, args) -> list:
  lists = {'val': args.val_list, **({'test': args.test_list} if args.test else {})}
  return [run.command, *(plan.prediction_command(run, split, path, args.data_dir) for split, path in lists.items())]


def made(folder: str) -> str:
  try:
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise InputError(f'--out-dir {folder}: cannot be made ({e.strerror}); name another') from None
  return folder


def report(args, runs, lists, names, thin) -> None:
  """Writes the results of the finished runs and prints the short table."""
  from utils.study import outcome, page, results

  done = [run for run in runs if outcome.finished(run)]
  if not done:
    raise InputError(f'--out-dir {args.out_dir}: no run of the study is finished there; start it without --report-only')
  outcome.check_equal_start(runs)
  out = pathlib.Path(args.out_dir)
  content = results.study(runs, names, thin, title=args.title)
  atomic.write_text(out / 'study.json', results.as_json(content))
  atomic.write_text(out / 'study.csv', results.as_csv(content))
  split = 'test' if 'test' in content else 'val'
  scored = [run for run in done if outcome.scores(run, split)]
  first = [run for run in scored if run.seed == scored[0].seed]
  pairs = page.evenly(list_file.read_list(lists[split], args.data_dir, need_label=True), args.num_images)
  page.write(
    out, {**content, 'shown': {'split': split, 'seed': first[0].seed}}, first, split, pairs, args.picture_width
  )
  print(results.as_markdown(content))
  print(f'\n{len(done)} of {len(runs)} runs finished: {out}/study.json, .csv, .html, .png', file=sys.stderr)


if __name__ == '__main__':
  sys.exit(errors.run(main))
