"""Measures a training step on 1, 2, ... replicas, with the same number of images each, and what their communication
costs: its all-reduces alone, one after the other. On a CPU the replicas share the cores: only the mechanism shows."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.profile import figures, training_step


def main(argv=None):
  parser = training_step.parser(__doc__)
  parser.add_argument('--num-gpu', type=arguments.whole(1), default=2, help='the largest number of replicas')
  args = parser.parse_args(argv)
  from utils.profile import timing

  print(f'{args.model} on {args.backbone}, {args.precision}, {args.batch_size} images of {args.input_size} a replica')
  print('replicas  step s  of 1 replica  images/s  all-reduces  MB  all-reduces alone s  of the step')
  step_alone, rows = None, []
  for replicas in range(1, args.num_gpu + 1):
    # In a process of its own: TensorFlow divides the processor into replicas once.
    kind, step, communication, number, megabytes = timing.in_fresh_process(measure, args, replicas)
    step_alone = step_alone or step
    print(
      f'{replicas:8}  {step:6.3f}  {step / step_alone:12.3f}  {replicas * args.batch_size / step:8.2f}  {number:11}  '
      f'{megabytes:.0f}  {communication:19.4f}  {communication / step:11.1%}',
      flush=True,
    )
    row = {'replicas': replicas, 'device': kind, 'step s': step, 'of 1 replica': step / step_alone}
    rows.append(
      {**row, 'images/s': replicas * args.batch_size / step, 'all-reduces alone of step': communication / step}
    )
  figures.write(args.json, rows)
  if kind == 'CPU':
    print('no GPU here: the replicas shared the cores; GPU figures have to be measured on a machine that has them')


def measure(args, replicas: int):
  """(GPU or CPU, seconds a step, seconds of its all-reduces alone, their number, their megabytes)."""
  import tensorflow as tf

  from network.common.layers import BatchNorm
  from utils import devices
  from utils.profile import timing

  args.num_gpu, args.cluster, images_a_replica = replicas, None, args.batch_size
  args.batch_size *= replicas
  strategy = devices.choose(args)
  with strategy.scope():
    model = training_step.network(args)
    state = training_step.training_state(args, model, 'AdaptiveAffinity')
  images_and_labels = training_step.random_batch(args, images_a_replica)
  batch = strategy.experimental_distribute_values_from_function(lambda _: images_and_labels)
  step = training_step.step_call(args, state, strategy, batch)

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

  seconds = timing.interleaved_seconds({'step': step, 'communication': communicate}, args.repeat)
  kind = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
  return kind, seconds['step'], seconds['communication'], len(sizes), 4e-6 * sum(sizes)


if __name__ == '__main__':
  sys.exit(errors.run(main))
