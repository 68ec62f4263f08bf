"""Holds three steps on two replicas of one GPU, which is split into two logical ones, against the same steps on one:
the same images, global batch norm, adaptive affinity loss. Without a GPU the CPU is split. Exit code 1 if they
differ."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import arguments, errors
from utils.profile import figures, training_step

TOLERANCE = 1e-2  # of the norm of an update: sums are added in another order, which batch norm and the steps enlarge


def main(argv=None) -> int:
  parser = training_step.parser(__doc__)
  parser.add_argument('--memory-mb', type=arguments.whole(256), default=6000, help='of the GPU, for each replica')
  parser.set_defaults(backbone='resnet_v1_50', batch_size=8, input_size=(96, 96))
  args = parser.parse_args(argv)
  if args.batch_size % 2:
    raise errors.InputError(f'--batch-size {args.batch_size}: two replicas need an even one')
  kind, difference = compare(args)
  within = difference <= TOLERANCE
  row = {'replicas': f'2 on one {kind}', 'update differs by': difference, 'tolerance': TOLERANCE, 'within': within}
  print(*(f'{name}: {figures.shown(value)}' for name, value in row.items()), sep='\n')
  figures.write(args.json, [row])
  return 0 if within else 1


def compare(args) -> tuple[str, float]:
  """GPU or CPU, and the relative difference of what the steps changed, over all variables of the model."""
  import numpy as np
  import tensorflow as tf

  kind = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
  half = tf.config.LogicalDeviceConfiguration(args.memory_mb if kind == 'GPU' else None)
  tf.config.set_logical_device_configuration(tf.config.list_physical_devices(kind)[0], [half, half])
  # NCCL takes a card once only, so the sums are made on one of the two.
  devices = [f'/{kind.lower()}:{i}' for i in range(2)]
  two = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
  one_change, two_change = (change(args, strategy) for strategy in (tf.distribute.get_strategy(), two))
  return kind, float(np.linalg.norm(two_change - one_change) / np.linalg.norm(one_change))


def change(args, strategy):
  """By how much each number in the model's variables changed, as one array."""
  import numpy as np

  with strategy.scope():
    model = training_step.network(args)
    state = training_step.training_state(args, model, 'AdaptiveAffinity')
  images, labels = training_step.random_batch(args, args.batch_size)
  each = args.batch_size // strategy.num_replicas_in_sync

  def part(context):
    first = context.replica_id_in_sync_group * each
    return images[first : first + each], labels[first : first + each]

  batch = strategy.experimental_distribute_values_from_function(part)
  step = training_step.step_call(args, state, strategy, batch)
  before = [variable.numpy() for variable in model.variables]
  for _ in range(3):
    step()
  return np.concatenate([(v.numpy() - old).ravel() for v, old in zip(model.variables, before, strict=True)])


if __name__ == '__main__':
  sys.exit(errors.run(main))
