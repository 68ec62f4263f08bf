"""The batches of a run, from its list and the flags of augmentation. `run` is a `loop.Run`."""

import tensorflow as tf

from seg_models.augmentation import Augmentation
from seg_models.image_reader import training_dataset
from utils.data.check import check_pairs
from utils.engine import distribute
from utils.errors import InputError, RunError
from utils.train.failures import short_message


def augmentation(args) -> Augmentation:
  """What the flags say."""
  return Augmentation(
    scale_range=args.scale_range if args.random_scale else None,
    mirror=args.random_mirror,
    random_crop=args.random_crop,
    max_degrees=args.random_rotate,
    color_jitter=args.color_jitter,
    max_share=args.crop_max_share,
  )


def batches_of(run):
  """An endless iterator of this worker's batches (images, labels), replica by replica, from step `folder.start` on."""
  args, replicas = run.args, run.strategy.num_replicas_in_sync
  examples = training_dataset(
    run.pairs,
    args.batch_size,
    args.input_size,
    args.ignore_label,
    args.random_seed,
    augmentation(args),
    run.folder.start * args.iter_size,
    distribute.worker(run.strategy),
  )
  return iter(examples.batch(args.batch_size // replicas, drop_remainder=True).prefetch(2 * replicas))


def next_batches(batches, s: int, run) -> list:
  """The --iter-size global batches of step s, this worker's part of each."""
  try:
    deal = run.strategy.experimental_distribute_values_from_function
    return [deal(lambda replica: next(batches)) for _ in range(run.args.iter_size)]
  except tf.errors.OpError as e:
    raise RunError(f'step {s}: {unreadable(run) or short_message(e)}; go on with --resume once it is mended') from None


def unreadable(run) -> str:
  """The fault of the first pair that cannot be decoded, or empty. The start checked headers and ends only."""
  try:
    check_pairs(run.pairs, run.args.num_classes, run.args.ignore_label, thorough=True)
  except InputError as e:
    return str(e)
  return ''
