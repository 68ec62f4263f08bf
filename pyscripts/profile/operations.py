"""Measures where the time of a training step goes, by kind of operation, with TensorFlow's profiler. Operations run one
after the other for this (each on all cores), so that their times add up to the step's. For CPUs."""

import collections
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from utils import errors
from utils.profile import figures, training_step

KINDS = {  # kind -> TensorFlow's operations, without oneDNN's prefix `_MklNative` or `_Mkl`
  'convolutions': ('Conv2D', 'FusedConv2D', 'PadWithConv2D', 'PadWithFusedConv2D'),
  'their gradients for the input': ('Conv2DBackpropInput',),
  'their gradients for the weights': (
    'Conv2DBackpropFilter',
    'Conv2DBackpropFilterWithBias',
    'MatMul',
    'BatchMatMulV2',
    'Pack',
    'StridedSlice',
    'Pad',
    'Transpose',
  ),
  'batch norm and its gradients': ('FusedBatchNormV3', 'FusedBatchNormEx', 'FusedBatchNormGradV3'),
  'ReLU and its gradient': ('Relu', 'ReluGrad'),
  'sums of shortcuts and of gradients': ('AddV2', 'AddN'),
  'weight decay and update': ('Mul', 'ResourceApplyMomentum'),
  'casts': ('Cast',),
}
OTHER = 'other'


def main(argv=None) -> None:
  args = training_step.parser(__doc__).parse_args(argv)
  import tensorflow as tf

  from utils.profile import timing

  tf.config.threading.set_inter_op_parallelism_threads(1)
  model, batch = training_step.network(args), training_step.random_batch(args, args.batch_size)
  state = training_step.training_state(args, model, 'CrossEntropy')
  step = training_step.step_call(args, state, tf.distribute.get_strategy(), batch)
  seconds = timing.median_seconds(step, 2)
  of_operation = seconds_of_operations(step, args.repeat)
  rows = by_kind(of_operation)
  print(f'{args.model} on {args.backbone}, {args.precision}: {seconds:.3f} s a step without the profiler')
  print(figures.markdown(rows))
  largest = sorted(of_operation.items(), key=lambda item: -item[1])[:12]
  print('the largest:', ', '.join(f'{name} {1e3 * value:.0f} ms' for name, value in largest))
  figures.write(args.json, rows)


def seconds_of_operations(step, repeat: int) -> dict[str, float]:
  """{type of operation: seconds a step}."""
  import tensorflow as tf
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

  from utils.profile import timing

  with tempfile.TemporaryDirectory() as folder:
    with tf.profiler.experimental.Profile(folder):
      for _ in range(repeat):
        timing.wait_for(step())
    (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
  seconds = collections.Counter()
  for plane in space.planes:
    for event in (event for line in plane.lines for event in line.events):
      name, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(':')
      if name.strip(':') == name != '' and operation.isidentifier():  # operations: `where/in/the/graph:Type`
        seconds[operation] += event.duration_ps / 1e12 / repeat
  return dict(seconds)


def by_kind(of_operation: dict[str, float]) -> list[dict]:
  """The rows of the table: time of each of KINDS, and of the rest."""
  kind_of = {operation: kind for kind, operations in KINDS.items() for operation in operations}
  seconds = dict.fromkeys([*KINDS, OTHER], 0.0)
  for operation, value in of_operation.items():
    plain = operation.removeprefix('_Mkl').removeprefix('Native')
    seconds[kind_of.get(plain, OTHER)] += value
  total = sum(seconds.values())
  return [{'kind': kind, 'ms': 1e3 * value, 'of all': f'{value / total:.1%}'} for kind, value in seconds.items()]


if __name__ == '__main__':
  sys.exit(errors.run(main))
