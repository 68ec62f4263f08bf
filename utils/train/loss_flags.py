"""The flags of the cross-entropy and of the term beside it. Loads no TensorFlow."""

from utils.arguments import real, whole
from utils.errors import InputError

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
