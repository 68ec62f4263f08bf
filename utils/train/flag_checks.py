"""Types of the training flags, and which of them contradict each other."""

import argparse

from seg_models.input_size import size_multiple, size_problem, stride_problem
from utils.errors import InputError


def sizes(text: str) -> tuple[int, ...]:
  """An argparse type: `S,...`, the distances of an affinity loss."""
  try:
    distances = tuple(int(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not distances in pixels; write for example 1,2,3') from None
  if min(distances) < 1 or len(set(distances)) < len(distances):
    raise argparse.ArgumentTypeError(f'{text!r}: give different distances of at least 1, for example 1,2,3')
  if max(distances) > 65536:
    raise argparse.ArgumentTypeError(f'{text!r}: give distances in pixels, up to 65536')
  return distances


def scale_range(text: str) -> tuple[float, float]:
  """An argparse type: `LOW,HIGH`, factors of an image's sides."""
  try:
    low, high = (float(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not two factors; write 0.5,2 for example') from None
  if not 0 < low <= high <= 1000:
    raise argparse.ArgumentTypeError(f'{text!r}: give LOW,HIGH with 0 < LOW <= HIGH <= 1000')
  return low, high


def first_last(text: str) -> tuple[int, int]:
  """An argparse type: `A,B`, the first and the last step."""
  try:
    first, last = (int(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not two steps A,B') from None
  if not 0 <= first <= last:
    raise argparse.ArgumentTypeError(f'{text!r}: give first,last with 0 <= first <= last')
  return first, last


def check(args: argparse.Namespace) -> None:
  """Raises InputError where flags contradict each other; fills in the default of --val-strides."""
  problem = size_problem(args.model, *args.input_size, args.output_stride)
  if problem:
    raise InputError(f'--input-size: {problem}')
  if not args.snapshot_dir:
    raise InputError('--snapshot-dir is empty; name a folder for the checkpoints')
  if args.resume and args.overwrite:
    raise InputError('--resume and --overwrite contradict each other; give one of them')
  if args.not_restore_classifier and not args.restore_from:
    raise InputError('--not-restore-classifier needs --restore-from; name a checkpoint or leave the flag out')
  if args.early_stop and not args.val_list:
    raise InputError('--early-stop needs --val-list; name a list of validation images or leave the flag out')
  if args.scale_range != (0.5, 2.0) and not args.random_scale:
    raise InputError('--scale-range needs --random-scale; give both or neither')
  if args.crop_max_share < 1 and not args.random_crop:
    raise InputError('--crop-max-share needs --random-crop; give both or neither')
  if args.ignore_label < args.num_classes:
    raise InputError(
      f'--ignore-label {args.ignore_label} is one of the {args.num_classes} classes; give {args.num_classes} to 255'
    )
  if args.val_strides is None:
    multiple = size_multiple(args.model, args.output_stride)
    args.val_strides = tuple(max(multiple, 2 * side // 3) for side in args.input_size)
  problem = stride_problem(args.val_strides, args.input_size)
  if problem:
    raise InputError(f'--val-strides {problem}')
