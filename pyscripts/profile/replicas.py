"""Measures a training step on 1, 2, ... replicas, with the same number of images each, and what their communication
costs: its all-reduces alone, one after the other. On a CPU the replicas share the cores: only the mechanism shows."""

import multiprocessing
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.profile import flags


def main(argv=None):
  args = flags.parse_step(
    __doc__,
    argv,
    lambda parser: parser.add_argument(
      '--num-gpu', type=arguments.whole(1), default=2, help='the largest number of replicas'
    ),
  )
  print(f'{args.model} on {args.backbone}, {args.precision}, {args.batch_size} images of {args.input_size} a replica')
  print('replicas  step s  of 1 replica  images/s  all-reduces  MB  all-reduces alone s  of the step')
  alone = None
  for replicas in range(1, args.num_gpu + 1):
    with multiprocessing.get_context('spawn').Pool(1) as pool:  # TensorFlow has replicas of one number a process
      kind, step, communication, number, megabytes = pool.apply(measure, (args, replicas))
    alone = alone or step
    speed = replicas * args.batch_size / step
    share = communication / step
    print(
      f'{replicas:8}  {step:6.3f}  {step / alone:12.3f}  {speed:8.2f}  {number:11}  {megabytes:.0f}'
      f'  {communication:19.4f}  {100 * share:10.1f}%',
      flush=True,
    )
  if kind == 'CPU':
    print('no GPU here: the replicas shared the cores; GPU figures have to be measured on a machine that has them')


def measure(args, replicas: int):
  """(GPU or CPU, seconds a step, seconds of its all-reduces alone, their number, their megabytes)."""
  import numpy as np
  import tensorflow as tf

  from network.common.layers import BatchNorm
  from seg_models.models import build
  from utils.engine import distribute, precision
  from utils.profile import timing
  from utils.train import objectives
  from utils.train.step import TrainingState, make_step

  args.num_gpu, args.cluster, batch_size = replicas, None, args.batch_size
  args.batch_size *= replicas
  strategy = distribute.choose(args)
  with strategy.scope():
    model = build(args.model, args.backbone, args.num_classes, output_stride=args.output_stride)
    state = TrainingState(
      model, objectives.AdaptiveAffinity(args.num_classes, 3.0, 1.0, 1.0), 5e-4, args.use_global_status
    )
  precision.apply(model, args.precision)
  rng = np.random.default_rng(0)
  images = rng.normal(0, 60, (batch_size, *args.input_size, 3)).astype(np.float32)
  labels = rng.integers(0, args.num_classes, images.shape[:3]).astype(np.int32)
  deal = strategy.experimental_distribute_values_from_function
  batch = deal(lambda _: (tf.constant(images), tf.constant(labels)))
  step = make_step(strategy, state, args)
  step([batch], tf.constant(0))

  norms = () if args.use_global_status else [m for m in model.submodules if isinstance(m, BatchNorm)]
  sizes = [sum(v.shape.num_elements() for v in state.trained)]
  sizes += [2 * norm.gamma.shape[0] + 1 for norm in norms] * 2  # forwards and backwards
  sizes = sizes if replicas > 1 else []

  @tf.function
  def communicate():
    def on_replica():
      total = tf.constant(0.0)
      for size in sizes:  # each waits for the one before, as in the network
        total = tf.distribute.get_replica_context().all_reduce('SUM', tf.fill([size], total))[0]
      return total

    return strategy.experimental_local_results(strategy.run(on_replica))[0]

  calls = {'step': lambda: step([batch], tf.constant(0)), 'communication': communicate}
  seconds = timing.interleaved_seconds(calls, args.repeat)
  kind = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
  return kind, seconds['step'], seconds['communication'], len(sizes), 4e-6 * sum(sizes)


if __name__ == '__main__':
  sys.exit(errors.run(main))
