"""The flags of the training scripts, in groups by subject. Loads no TensorFlow: wrong flags are refused at once.

A new flag gets its role (see `utils.arguments.Role`) and one line of help, in the group of its subject.
"""

import argparse
import functools
import os

from network.losses import EXTRA_LOSSES
from seg_models.names import MODELS, size_multiple, size_problem, stride_problem
from utils.arguments import (
  Parser,
  Role,
  add,
  add_network_flags,
  add_precision_flag,
  height_width,
  names_of,
  parse_with_config,
  real,
  separated,
  whole,
)
from utils.checks import check_ignore_label
from utils.errors import InputError

RESULT, WORKERS, FREE = Role.RESULT, Role.WORKERS, Role.FREE
distances = separated(
  'S,...',
  int,
  lambda *values: len(set(values)) == len(values) and 1 <= min(values) <= max(values) <= 65536,
  'different distances in pixels of the logits, at least 1 and up to 65536, for example 1,2,3',
)
scale_range = separated(
  'LOW,HIGH', float, lambda low, high: 0 < low <= high <= 1000, 'two factors, LOW,HIGH with 0 < LOW <= HIGH <= 1000'
)
first_last = separated('A,B', int, lambda first, last: 0 <= first <= last, 'two steps, A,B with 0 <= A <= B')
USAGE = '%(prog)s --data-dir DIR --data-list LIST --snapshot-dir DIR [more flags]'


def parse(description: str, argv, affinity=False, adaptive=False, several_gpus=False, prog=None) -> argparse.Namespace:
  """Parses and checks the flags of one training script. `affinity`, `adaptive`: with those of these losses. `prog`: the
  script's name in messages, if another program asks.

  Raises:
    InputError: flags that contradict each other.
  """
  args = parse_with_config(make_parser(description, affinity, adaptive, several_gpus, prog), argv)
  check(args)
  return args


@functools.cache
def every_flag() -> Parser:
  return make_parser('', affinity=True, adaptive=True, several_gpus=True)


def default_of(name: str):
  """A flag's default: what a run was trained with whose `config` does not name the flag, being older than it."""
  return every_flag().get_default(name)


def names(role: Role) -> list[str]:
  """The names, `_` for `-`, of the training flags of a role, or of one of several."""
  return names_of(every_flag(), role)


def make_parser(description: str, affinity=False, adaptive=False, several_gpus=False, prog=None) -> Parser:
  parser = Parser(description, usage=USAGE, prog=prog)
  _add_most_used_and_network_flags(parser)
  _add_augmentation_flags(parser.add_argument_group('augmentation'))
  _add_loss_flags(parser.add_argument_group('loss'), affinity, adaptive)
  _add_optimisation_flags(parser.add_argument_group('optimisation'))
  _add_numerical_flags(parser.add_argument_group('batch norm and precision'))
  _add_validation_flags(parser.add_argument_group('validation'))
  _add_start_flags(parser.add_argument_group('where a run starts'))
  _add_record_flags(parser.add_argument_group('what a run keeps'))
  if several_gpus:
    _add_several_gpus_flags(parser.add_argument_group('several GPUs and machines'))
  return parser


def _add_most_used_and_network_flags(parser):
  group = parser.add_argument_group('most used')
  add(group, FREE, '--data-dir', default='', metavar='DIR', help='the folder that the list is relative to')
  add(group, FREE, '--data-list', default='', metavar='LIST', help='one line per image: `image label`')
  add(group, FREE, '--snapshot-dir', default='', metavar='DIR', help='folder of checkpoints, events, config and log')
  add(group, Role.ORIGIN, '--restore-from', default='', metavar='CHECKPOINT', help='to start from [initial weights]')
  add_network_flags(parser, most_used=group)
  add(group, RESULT, '--input-size', type=height_width, default=(336, 336), help='training crop')
  add(group, RESULT, '--batch-size', type=whole(1), default=1, help='images per batch, over all GPUs')
  add(group, RESULT, '--num-steps', type=whole(1), default=20000, help='updates in total')
  add(group, RESULT, '--learning-rate', type=real(0, above=True), default=2.5e-4, help='base rate, before --schedule')


def _add_augmentation_flags(group):
  add(group, RESULT, '--random-mirror', help='mirror half of the images')
  add(group, RESULT, '--random-crop', help='crop at a random place instead of the centre')
  add(group, RESULT, '--random-scale', help='scale images by --scale-range')
  add(group, RESULT, '--scale-range', type=scale_range, default=(0.5, 2.0), help='of --random-scale')
  degrees = 'turn half of the images by up to this'
  add(group, RESULT, '--random-rotate', type=real(0, 180), default=0.0, metavar='DEGREES', help=degrees)
  add(group, RESULT, '--color-jitter', help='change brightness, contrast, saturation and hue')
  share = 'of one class in a random crop, in 10 tries'
  add(group, RESULT, '--crop-max-share', type=real(0, 1, above=True), default=1.0, help=share)
  add(group, RESULT, '--random-seed', type=whole(0, 2**31 - 1), default=1234, help='of weights, order and augmentation')


def _add_loss_flags(group, affinity: bool, adaptive: bool):
  weights = 'of the cross-entropy: balanced, median, enet or a file'
  add(group, RESULT, '--class-weights', default='', metavar='RULE', help=weights)
  add(group, RESULT, '--label-smoothing', type=real(0, 1, below=True), default=0.0, help='of the cross-entropy')
  hard = 'only pixels whose class has a probability below P count'
  add(group, RESULT, '--ohem-threshold', type=real(0, 1), metavar='P', help=hard)
  kept = 'and the N hardest of an image, at the size of the logits'
  add(group, RESULT, '--ohem-min-kept', type=whole(0), default=0, help=kept)
  add(group, RESULT, '--extra-loss', choices=EXTRA_LOSSES, help='a term beside the cross-entropy')
  add(group, RESULT, '--extra-weight', type=real(0), default=1.0, help='of --extra-loss')
  add(group, RESULT, '--aux-weight', type=real(0), default=0.0, help="weight of an auxiliary head's loss (PSPNet: 0.4)")
  if affinity:
    add(group, RESULT, '--kld-margin', type=real(0), default=3.0, help='margin of the KL divergence at edges')
    add(group, RESULT, '--kld-lambda-1', type=real(0), default=1.0, help='weight of the edge term')
    add(group, RESULT, '--kld-lambda-2', type=real(0), default=1.0, help='weight of the non-edge term')
    neighbours = 'distances of the neighbours, in pixels of the logits'
    add(group, RESULT, '--kld-sizes', type=distances, default=(1, 2, 3) if adaptive else (1,), help=neighbours)
    decay = 'both terms shrink to 1 / this over the run; 1: not at all'
    add(group, RESULT, '--kld-decay', type=real(1), default=10.0, help=decay)
  if adaptive:
    rate = 'rate of the edge weights, in base rates; 0: they stay uniform'
    add(group, RESULT, '--kld-weight-rate', type=real(0), default=1.0, help=rate)


def _add_optimisation_flags(group):
  schedules, rules = ('poly', 'cosine', 'constant'), ('momentum', 'adamw')
  add(group, RESULT, '--schedule', choices=schedules, default='poly', help='of the learning rate')
  add(group, RESULT, '--power', type=real(0), default=0.9, help='of --schedule poly')
  add(group, RESULT, '--warmup-steps', type=whole(0), default=0, help='steps of linear warm-up')
  add(group, RESULT, '--head-rate-multiple', type=real(0), default=10.0, help="of the head's rate")
  add(group, RESULT, '--optimizer', choices=rules, default='momentum', help='update rule')
  momentum = 'of --optimizer momentum, and of the edge weights'
  add(group, RESULT, '--momentum', type=real(0, 1, below=True), default=0.9, help=momentum)
  decay = 'of convolution weights; norms and biases: none'
  add(group, RESULT, '--weight-decay', type=real(0), default=5e-4, help=decay)
  add(group, RESULT, '--iter-size', type=whole(1), default=10, help='batches whose joint loss one update minimises')
  averages = 'validate and save averages of the weights too, which prediction reads'
  add(group, RESULT, '--ema-decay', type=real(0, 1, below=True), help=averages)
  add(group, RESULT, '--clip-norm', type=real(0, above=True), help='clip the global norm of the gradients')


def _add_numerical_flags(group):
  add(group, RESULT, '--use-global-status', help='freeze batch norm as it is in the checkpoint')
  decay = 'of the averages; short runs need less [0.9997 in the backbone, 0.99 in the head]'
  add(group, RESULT, '--batch-norm-decay', type=real(0, 1, below=True), help=decay)
  add_precision_flag(group)
  add(group, FREE, '--xla', help='compile the whole step with XLA (one GPU; slow on a CPU)')
  add(group, FREE, '--deterministic', help='bit-identical runs on one machine')


def _add_validation_flags(group):
  add(group, FREE, '--val-list', default='', metavar='LIST', help='validation images, one line each: `image label`')
  add(group, WORKERS, '--val-every', type=whole(1), default=1000, help='steps between validations')
  add(group, WORKERS, '--early-stop', type=whole(1), help='stop after that many validations without a gain in mIoU')
  add(group, WORKERS, '--val-strides', type=height_width, help='of the windows [two thirds of --input-size]')


def _add_start_flags(group):
  classes = 'classes.csv, or names [the file beside --data-list]'
  add(group, FREE, '--class-names', default='', metavar='FILE', help=classes)
  role = WORKERS | Role.ORIGIN
  add(group, role, '--not-restore-classifier', help='of --restore-from: leave the head as initialised')
  add(group, role, '--not-restore-logits', help='leave only the layers to classes as initialised')
  add(group, Role.START, '--resume', help='go on from the newest checkpoint of --snapshot-dir, if any')
  add(group, Role.START, '--overwrite', help='delete the checkpoints that --snapshot-dir holds')
  flags = "flags from JSON or YAML, or a run's config; these here come on top"
  add(group, Role.START, '--config', default='', metavar='FILE', help=flags)
  add(group, FREE, '--is-training', help='accepted for old scripts; training scripts train')


def _add_record_flags(group):
  add(group, FREE, '--save-pred-every', type=whole(1), default=10000, help='steps between checkpoints')
  add(group, FREE, '--save-minutes', type=real(0, above=True), help='save every X minutes too')
  add(group, FREE, '--keep', type=whole(1), default=10, help='newest checkpoints kept, and the best one')
  add(group, FREE, '--update-tb-every', type=whole(1), default=20, help='steps between TensorBoard entries')
  add(group, FREE, '--profile-steps', type=first_last, help='TensorBoard profile of steps A to B')


def _add_several_gpus_flags(group):
  add(group, WORKERS, '--num-gpu', type=whole(1, 1024), default=2, help='GPUs of this machine to train on')
  add(group, FREE, '--cluster', choices=('tf_config', 'slurm'), help='how several machines find each other')
  silence = 'a worker that is silent for that long is taken for dead; give more than a step and a checkpoint take'
  add(group, WORKERS, '--worker-timeout', type=real(0, above=True), default=600.0, metavar='SECONDS', help=silence)


def described(args: argparse.Namespace) -> str:
  """One line for the console: where all flags are kept, and the few that matter."""
  height, width = args.input_size
  return (
    f'flags: all in {os.path.join(args.snapshot_dir, "config")}; {args.model} on {args.backbone}, {args.num_classes} '
    f'classes, batches of {args.iter_size} x {args.batch_size} crops of {height} x {width}, {args.num_steps} steps '
    f'from rate {args.learning_rate:g}'
  )


def warnings(args: argparse.Namespace) -> list[str]:
  """One line for each setting with which a run trains and learns nothing."""
  model, found = MODELS[args.model], []
  if model.pools_image and args.batch_size == 1 and not args.use_global_status:
    found.append(
      f'--batch-size 1: {args.model} pools the whole image, and batch norm learns nothing from one value; give at '
      'least 2, or --use-global-status'
    )
  side = -(-max(args.input_size) // (model.logits_stride or args.output_stride or model.output_stride))
  if 2 * (far := max(getattr(args, 'kld_sizes', [0]))) >= side:
    found.append(f'--kld-sizes: the logits of a crop have {side} pixels a side, and no pair of {far} apart counts')
  return [f'warning: {line}' for line in found]


NEEDS = {
  'not_restore_classifier': 'restore_from',
  'not_restore_logits': 'restore_from',
  'early_stop': 'val_list',
  'scale_range': 'random_scale',
  'crop_max_share': 'random_crop',
  'ohem_min_kept': 'ohem_threshold',
  'extra_weight': 'extra_loss',
}


def check(args: argparse.Namespace) -> None:
  """Raises InputError where flags contradict each other; fills in the default of --val-strides."""
  problem = size_problem(args.model, *args.input_size, args.output_stride)
  if problem:
    raise InputError(f'--input-size: {problem}')
  if not args.snapshot_dir:
    raise InputError('--snapshot-dir is empty; name a folder for the checkpoints')
  if args.resume and args.overwrite:
    raise InputError('--resume and --overwrite contradict each other; give one of them')
  for names_of_two in NEEDS.items():
    given, needed = (getattr(args, name) != default_of(name) for name in names_of_two)
    if given and not needed:
      flag, other = (f'--{name.replace("_", "-")}' for name in names_of_two)
      raise InputError(f'{flag} needs {other}; give both or neither')
  if args.ohem_threshold == 0 and not args.ohem_min_kept:
    raise InputError('--ohem-threshold 0 without --ohem-min-kept keeps no pixel; give a larger one, or --ohem-min-kept')
  check_ignore_label(args.num_classes, args.ignore_label)
  if args.val_strides is None:
    multiple = size_multiple(args.model, args.output_stride)
    args.val_strides = tuple(max(multiple, 2 * side // 3) for side in args.input_size)
  problem = stride_problem(args.val_strides, args.input_size)
  if problem:
    raise InputError(f'--val-strides {problem}')
