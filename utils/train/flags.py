"""The flags of the training scripts, and their checks. Loads no TensorFlow, so that wrong flags are refused at once."""

import argparse

from seg_models.input_size import size_multiple, size_problem, stride_problem
from utils.arguments import Parser, add_network_flags, add_precision_flag, height_width, real, whole
from utils.errors import InputError


def parse(description: str, argv, affinity: bool = False, several_gpus: bool = False, sizes=(1,)) -> argparse.Namespace:
  """Parses and checks the flags of one training script; `sizes` are the default distances of its loss.

  Raises:
    InputError: flags that contradict each other.
  """
  parser = Parser(description)
  _add_data_flags(parser)
  add_network_flags(parser)
  _add_optimisation_flags(parser)
  if affinity:
    group = parser.add_argument_group('affinity loss')
    group.add_argument('--kld-margin', type=real(0), default=3.0, help='margin of the KL divergence at edges')
    group.add_argument('--kld-lambda-1', type=real(0), default=1.0, help='weight of the edge term')
    group.add_argument('--kld-lambda-2', type=real(0), default=1.0, help='weight of the non-edge term')
    group.add_argument('--kld-sizes', type=_sizes, default=sizes, metavar='S,...', help='distances of the neighbours')
    group.add_argument(
      '--kld-decay', type=real(1), default=10.0, help='both terms shrink to 1 / this over the run; 1: not at all'
    )
  _add_run_flags(parser)
  if several_gpus:
    group = parser.add_argument_group('several GPUs and machines')
    group.add_argument('--num-gpu', type=whole(1, 1024), default=2, help='GPUs of this machine to train on')
    group.add_argument('--cluster', choices=('tf_config', 'slurm'), help='how several machines find each other')
    group.add_argument(
      '--worker-timeout',
      type=real(0, above=True),
      default=600.0,
      metavar='SECONDS',
      help='how long a worker waits for another, at the start or in a step, before it takes it for dead',
    )
  args = parser.parse_args(argv)
  _check(args)
  return args


def _add_data_flags(parser):
  group = parser.add_argument_group('data')
  group.add_argument('--data-dir', default='', help='the folder that the list is relative to')
  group.add_argument('--data-list', default='', help='list file, one line an image: `image label`')
  group.add_argument('--batch-size', type=whole(1), default=1, help='images a step, over all GPUs')
  group.add_argument('--input-size', type=height_width, default=(336, 336), metavar='H,W', help='training crop')
  group.add_argument('--random-mirror', action='store_true', help='mirror half of the images')
  group.add_argument('--random-crop', action='store_true', help='crop at a random place instead of the centre')
  group.add_argument('--random-scale', action='store_true', help='scale images by 0.5 to 2')
  group.add_argument('--random-seed', type=whole(0, 2**31 - 1), default=1234, help='of weights, order and augmentation')


def _add_optimisation_flags(parser):
  group = parser.add_argument_group('optimisation')
  group.add_argument('--learning-rate', type=real(0, above=True), default=2.5e-4, help='base rate; the head: 10 times')
  group.add_argument('--power', type=real(0), default=0.9, help='of the polynomial decay of the rate')
  group.add_argument('--momentum', type=real(0, 1, below=True), default=0.9, help='of the gradients')
  group.add_argument('--weight-decay', type=real(0), default=5e-4, help='of convolution weights')
  group.add_argument('--num-steps', type=whole(1), default=20000, help='updates in total')
  group.add_argument('--iter-size', type=whole(1), default=10, help='batches whose joint loss one update minimises')
  group.add_argument('--clip-norm', type=real(0, above=True), help='clip the global norm of the gradients')
  group.add_argument('--is-training', action='store_true', help='accepted for old scripts; training scripts train')
  group.add_argument('--use-global-status', action='store_true', help="freeze batch norm at the checkpoint's")
  group.add_argument(
    '--batch-norm-decay',
    type=real(0, 1, below=True),
    help='of the moving averages; default: 0.9997 in the backbone, 0.99 in the head. Short runs from scratch need less',
  )
  add_precision_flag(group)
  group.add_argument('--xla', action='store_true', help='compile the whole step with XLA (one GPU; slow on a CPU)')
  group.add_argument('--deterministic', action='store_true', help='bit-identical runs on one machine')


def _add_run_flags(parser):
  group = parser.add_argument_group('the run')
  group.add_argument('--restore-from', default='', help='checkpoint to start from; empty: initial weights')
  group.add_argument('--not-restore-classifier', action='store_true', help='leave the head as initialised')
  group.add_argument('--snapshot-dir', default='', help='folder of checkpoints, TensorBoard events, config and log')
  group.add_argument('--save-pred-every', type=whole(1), default=10000, help='steps between checkpoints')
  group.add_argument('--save-minutes', type=real(0, above=True), help='minutes between checkpoints, besides')
  group.add_argument('--keep', type=whole(1), default=10, help='newest checkpoints kept; the best is kept besides')
  group.add_argument('--update-tb-every', type=whole(1), default=20, help='steps between TensorBoard entries')
  group.add_argument('--resume', action='store_true', help='go on from the newest checkpoint of --snapshot-dir, if any')
  group.add_argument('--overwrite', action='store_true', help='delete the checkpoints that --snapshot-dir holds')
  group.add_argument('--val-list', default='', help='list file of validation images, `image label`')
  group.add_argument('--val-every', type=whole(1), default=1000, help='steps between validations')
  group.add_argument('--val-strides', type=height_width, metavar='H,W', help='of the windows; default: two thirds')
  group.add_argument('--profile-steps', type=_first_last, metavar='A,B', help='TensorBoard profile of steps A to B')


def _sizes(text: str) -> tuple[int, ...]:
  try:
    sizes = tuple(int(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not distances in pixels; write for example 1,2,3') from None
  if min(sizes) < 1 or len(set(sizes)) < len(sizes):
    raise argparse.ArgumentTypeError(f'{text!r}: give different distances of at least 1, for example 1,2,3')
  if max(sizes) > 65536:
    raise argparse.ArgumentTypeError(f'{text!r}: give distances in pixels, up to 65536')
  return sizes


def _first_last(text: str) -> tuple[int, int]:
  try:
    first, last = (int(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not two steps A,B') from None
  if not 0 <= first <= last:
    raise argparse.ArgumentTypeError(f'{text!r}: give first,last with 0 <= first <= last')
  return first, last


def _check(args):
  problem = size_problem(args.model, *args.input_size, args.output_stride)
  if problem:
    raise InputError(f'--input-size: {problem}')
  if not args.snapshot_dir:
    raise InputError('--snapshot-dir is empty; name a folder for the checkpoints')
  if args.resume and args.overwrite:
    raise InputError('--resume and --overwrite contradict each other; give one of them')
  if args.not_restore_classifier and not args.restore_from:
    raise InputError('--not-restore-classifier needs --restore-from; name a checkpoint or leave the flag out')
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
