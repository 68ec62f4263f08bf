"""The flags of the training scripts, in groups by subject. Loads no TensorFlow: wrong flags are refused at once.

A new flag gets one line of help that fits 120 columns (a test counts), in the group of its subject.
"""

import argparse
import functools

from seg_models.names import size_multiple, size_problem, stride_problem
from utils.arguments import Parser, add_network_flags, add_precision_flag, height_width, real, whole
from utils.errors import InputError

# A run goes on only with the flags that decide its result: all but these paths, intervals and devices.
MAY_CHANGE = {'data_dir', 'data_list', 'class_names', 'val_list', 'val_every', 'val_strides', 'snapshot_dir'}
MAY_CHANGE |= {'restore_from'}


MAY_CHANGE |= {'not_restore_classifier', 'resume', 'overwrite', 'save_pred_every', 'save_minutes', 'keep'}


MAY_CHANGE |= {'update_tb_every', 'early_stop', 'config', 'profile_steps', 'is_training', 'xla', 'deterministic'}


MAY_CHANGE |= {'num_gpu', 'cluster', 'worker_timeout'}


USAGE = '%(prog)s --data-dir DIR --data-list LIST --snapshot-dir DIR [more flags]'


def parse(description: str, argv, affinity: bool = False, several_gpus: bool = False, sizes=(1,)) -> argparse.Namespace:
  """Parses and checks the flags of one training script; `sizes` are the default distances of its loss.

  Raises:
    InputError: flags that contradict each other.
  """
  args = make_parser(description, affinity, several_gpus, sizes).parse_args(argv)
  check(args)
  check_loss_flags(args)
  return args


@functools.cache
def default_of(name: str):
  """A flag's default: what a run was trained with whose `config` does not name the flag, being older than it."""
  return make_parser('', affinity=True, several_gpus=True).get_default(name)


def make_parser(description: str, affinity: bool, several_gpus: bool, sizes=(1,)) -> Parser:
  parser = Parser(description, usage=USAGE)
  _add_most_used_and_network_flags(parser)
  _add_augmentation_flags(parser.add_argument_group('augmentation'))
  group = parser.add_argument_group('loss')
  add_loss_flags(group)
  group.add_argument('--aux-weight', type=real(0), default=0.0, help="weight of an auxiliary head's loss (PSPNet: 0.4)")
  if affinity:
    _add_affinity_flags(group, sizes)
  _add_optimisation_flags(parser.add_argument_group('optimisation'))
  _add_numerical_flags(parser.add_argument_group('batch norm and precision'))
  _add_validation_flags(parser.add_argument_group('validation'))
  _add_run_flags(parser.add_argument_group('the run'))
  if several_gpus:
    _add_several_gpus_flags(parser.add_argument_group('several GPUs and machines'))
  return parser


def _add_most_used_and_network_flags(parser):
  group = parser.add_argument_group('most used')
  group.add_argument('--data-dir', default='', metavar='DIR', help='the folder that the list is relative to')
  group.add_argument('--data-list', default='', metavar='LIST', help='one line an image: `image label`')
  group.add_argument('--snapshot-dir', default='', metavar='DIR', help='folder of checkpoints, events, config and log')
  group.add_argument('--restore-from', default='', metavar='CHECKPOINT', help='to start from [initial weights]')
  add_network_flags(parser, most_used=group)
  group.add_argument('--input-size', type=height_width, default=(336, 336), help='training crop, in pixels')
  group.add_argument('--batch-size', type=whole(1), default=1, help='images a batch, over all GPUs')
  group.add_argument('--num-steps', type=whole(1), default=20000, help='updates in total')
  group.add_argument('--learning-rate', type=real(0, above=True), default=2.5e-4, help='base rate, before --schedule')


def _add_augmentation_flags(group):
  group.add_argument('--random-mirror', action='store_true', help='mirror half of the images')
  group.add_argument('--random-crop', action='store_true', help='crop at a random place instead of the centre')
  group.add_argument('--random-scale', action='store_true', help='scale images by --scale-range')
  group.add_argument(
    '--scale-range', type=scale_range, default=(0.5, 2.0), metavar='LOW,HIGH', help='of --random-scale'
  )
  group.add_argument('--random-rotate', type=real(0, 180), default=0.0, help='turn half of the images by up to this')
  group.add_argument('--color-jitter', action='store_true', help='change brightness, contrast, saturation and hue')
  group.add_argument(
    '--crop-max-share', type=real(0, 1, above=True), default=1.0, help='of one class in a random crop, in 10 tries'
  )
  group.add_argument('--random-seed', type=whole(0, 2**31 - 1), default=1234, help='of weights, order and augmentation')


def _add_affinity_flags(group, sizes):
  group.add_argument('--kld-margin', type=real(0), default=3.0, help='margin of the KL divergence at edges')
  group.add_argument('--kld-lambda-1', type=real(0), default=1.0, help='weight of the edge term')
  group.add_argument('--kld-lambda-2', type=real(0), default=1.0, help='weight of the non-edge term')
  group.add_argument('--kld-sizes', type=distances, default=sizes, metavar='S,...', help='distances of the neighbours')
  group.add_argument(
    '--kld-decay', type=real(1), default=10.0, help='both terms shrink to 1 / this over the run; 1: not at all'
  )
  group.add_argument(
    '--kld-weight-rate', type=real(0), default=1.0, help='rate of the edge weights, in base rates; 0: they stay uniform'
  )


def _add_optimisation_flags(group):
  group.add_argument('--schedule', choices=('poly', 'cosine', 'constant'), default='poly', help='of the learning rate')
  group.add_argument('--power', type=real(0), default=0.9, help='of --schedule poly')
  group.add_argument('--warmup-steps', type=whole(0), default=0, metavar='N', help='steps of linear warm-up')
  group.add_argument('--head-rate-multiple', type=real(0), default=10.0, help="of the head's rate")
  group.add_argument('--optimizer', choices=('momentum', 'adamw'), default='momentum', help='update rule')
  group.add_argument('--momentum', type=real(0, 1, below=True), default=0.9, help='of --optimizer momentum')
  group.add_argument(
    '--weight-decay', type=real(0), default=5e-4, help='of convolution weights; norms and biases: none'
  )
  group.add_argument('--iter-size', type=whole(1), default=10, help='batches whose joint loss one update minimises')
  group.add_argument(
    '--ema-decay',
    type=real(0, 1, below=True),
    help='validate and save averages of the weights too: prediction reads them by --ema',
  )
  group.add_argument('--clip-norm', type=real(0, above=True), help='clip the global norm of the gradients')


def _add_numerical_flags(group):
  group.add_argument('--use-global-status', action='store_true', help='freeze batch norm as it is in the checkpoint')
  group.add_argument(
    '--batch-norm-decay',
    type=real(0, 1, below=True),
    help='of the averages; short runs need less [0.9997 in the backbone, 0.99 in the head]',
  )
  add_precision_flag(group)
  group.add_argument('--xla', action='store_true', help='compile the whole step with XLA (one GPU; slow on a CPU)')
  group.add_argument('--deterministic', action='store_true', help='bit-identical runs on one machine')


def _add_validation_flags(group):
  group.add_argument('--val-list', default='', metavar='LIST', help='validation images, one line each: `image label`')
  group.add_argument('--val-every', type=whole(1), default=1000, help='steps between validations')
  group.add_argument('--early-stop', type=whole(1), help='stop after so many validations without a gain in mIoU')
  group.add_argument('--val-strides', type=height_width, help='of the windows [two thirds of --input-size]')


def _add_run_flags(group):
  group.add_argument(
    '--class-names', default='', metavar='FILE', help='classes.csv, or names [the file beside --data-list]'
  )
  group.add_argument('--not-restore-classifier', action='store_true', help='leave the head as initialised')
  group.add_argument('--resume', action='store_true', help='go on from the newest checkpoint of --snapshot-dir, if any')
  group.add_argument('--overwrite', action='store_true', help='delete the checkpoints that --snapshot-dir holds')
  group.add_argument('--save-pred-every', type=whole(1), default=10000, help='steps between checkpoints')
  group.add_argument('--save-minutes', type=real(0, above=True), help='save every so many minutes too')
  group.add_argument('--keep', type=whole(1), default=10, help='newest checkpoints kept, and the best one')
  group.add_argument('--update-tb-every', type=whole(1), default=20, help='steps between TensorBoard entries')
  group.add_argument('--profile-steps', type=first_last, metavar='A,B', help='TensorBoard profile of steps A to B')
  group.add_argument(
    '--config', default='', metavar='FILE', help="flags from JSON or YAML, or a run's config; these here come on top"
  )
  group.add_argument('--is-training', action='store_true', help='accepted for old scripts; training scripts train')


def _add_several_gpus_flags(group):
  group.add_argument('--num-gpu', type=whole(1, 1024), default=2, help='GPUs of this machine to train on')
  group.add_argument('--cluster', choices=('tf_config', 'slurm'), help='how several machines find each other')
  group.add_argument(
    '--worker-timeout',
    type=real(0, above=True),
    default=600.0,
    metavar='SECONDS',
    help='a worker that is silent for so long, at the start or in a step, is taken for dead',
  )


def distances(text: str) -> tuple[int, ...]:
  """An argparse type: `S,...`, the distances of an affinity loss."""
  try:
    values = tuple(int(part) for part in text.split(','))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not distances in pixels; write for example 1,2,3') from None
  if min(values) < 1 or len(set(values)) < len(values):
    raise argparse.ArgumentTypeError(f'{text!r}: give different distances of at least 1, for example 1,2,3')
  if max(values) > 65536:
    raise argparse.ArgumentTypeError(f'{text!r}: give distances in pixels, up to 65536')
  return values


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


EXTRA_LOSSES = ('lovasz', 'rmi', 'abl', 'dice', 'focal')


def add_loss_flags(group) -> None:
  group.add_argument(
    '--class-weights', default='', metavar='RULE', help='of the cross-entropy: balanced, median, enet or a file'
  )
  group.add_argument('--label-smoothing', type=real(0, 1, below=True), default=0.0, help='of the cross-entropy')
  group.add_argument(
    '--ohem-threshold', type=real(0, 1), metavar='P', help='only pixels whose class has a probability below P count'
  )
  group.add_argument(
    '--ohem-min-kept', type=whole(0), default=0, help='and the N hardest of an image, at the size of the logits'
  )
  group.add_argument('--extra-loss', choices=EXTRA_LOSSES, help='a term beside the cross-entropy')
  group.add_argument('--extra-weight', type=real(0), default=1.0, help='of --extra-loss')


def check_loss_flags(args) -> None:
  """Raises InputError for flags that contradict each other."""
  if args.ohem_min_kept and args.ohem_threshold is None:
    raise InputError(
      f'--ohem-min-kept {args.ohem_min_kept} needs --ohem-threshold; give for example 0.7, or leave it out'
    )
  if args.extra_weight != 1 and not args.extra_loss:
    raise InputError(f'--extra-weight {args.extra_weight:g} is of no loss; give --extra-loss, or leave it out')
  if args.ohem_threshold == 0 and not args.ohem_min_kept:
    raise InputError('--ohem-threshold 0 without --ohem-min-kept keeps no pixel; give a larger one, or --ohem-min-kept')
