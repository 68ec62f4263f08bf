"""The one place where devices are chosen. One device is the default strategy, not another code path.

Several devices of one machine: MirroredStrategy. Several machines (TF_CONFIG, or --cluster slurm): a
MultiWorkerMirroredStrategy; then every machine runs the same command, reads its own share of each global batch, and the
chief (the first worker) alone writes.
"""

import contextlib
import os
import sys
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from utils.engine import cluster
from utils.errors import InputError, RunError, Stopped, one_line
from utils.list_file import list_digest

# Workers that differ in one of these would wait for each other for ever.
EQUAL_ON_WORKERS = ('num_gpu', 'not_restore_classifier', 'val_every', 'val_strides', 'early_stop', 'worker_timeout')


def choose(args, decisive: Collection[str] = ()) -> tf.distribute.Strategy:
  """The strategy that the flags and the environment ask for. To be called before TensorFlow runs anything.

  Only the scripts with --num-gpu train on more than one device; the others do not look at TF_CONFIG. `decisive` names
  the flags that decide the result of a run: all workers must agree on them.

  Raises:
    InputError: too few GPUs, a batch that does not divide evenly, or an environment that does not describe a cluster.
    RunError: another worker is missing.
  """
  grow_memory()
  if not hasattr(args, 'num_gpu'):
    return tf.distribute.get_strategy()
  gpus = tf.config.list_physical_devices('GPU')
  if gpus and args.num_gpu > len(gpus):
    raise InputError(f'--num-gpu {args.num_gpu}: this machine has {len(gpus)}; give at most that')
  workers = cluster.find(args.cluster)
  if workers:
    check_batch(args.batch_size, len(workers.workers) * (args.num_gpu if gpus else 1))
    return multi_worker_strategy(args, workers, gpus, decisive)
  check_batch(args.batch_size, args.num_gpu)
  # On CPUs sums are made on one device: in TensorFlow 2.21 each all-reduce by its collectives keeps 1.3 KB for ever.
  reduction = None if gpus else tf.distribute.ReductionToOneDevice()
  return tf.distribute.MirroredStrategy(_devices(args.num_gpu), cross_device_ops=reduction)


def check_batch(batch_size: int, replicas: int) -> None:
  if batch_size % replicas:
    raise InputError(
      f'--batch-size {batch_size} does not divide evenly among {replicas} replicas; '
      f'give {max(1, batch_size // replicas) * replicas}, for example'
    )


def grow_memory() -> None:
  """Lets TensorFlow take GPU memory as it needs it, not all at once."""
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _devices(number: int) -> list[str]:
  """Names of `number` GPUs, or, on a machine without any, of as many logical CPU devices."""
  if tf.config.list_physical_devices('GPU'):
    return [f'/gpu:{i}' for i in range(number)]
  print(f'no GPU here: --num-gpu {number} runs on {number} logical CPU devices')
  try:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
  except RuntimeError:  # TensorFlow runs already; then there must be enough of them
    have = len(tf.config.list_logical_devices('CPU'))
    if number > have:
      raise InputError(f'--num-gpu {number}: TensorFlow was started with {have} CPU devices') from None
  return [f'/cpu:{i}' for i in range(number)]


def multi_worker_strategy(args, workers: cluster.Cluster, gpus, decisive) -> tf.distribute.Strategy:
  """Waits for the other workers and joins them."""
  if gpus:
    tf.config.set_visible_devices(gpus[: args.num_gpu], 'GPU')
  else:
    print('no GPU here: one replica a machine, on its CPU')
  cluster.wait_for_workers(workers, common_settings(args, decisive), args.worker_timeout)
  os.environ['TF_CONFIG'] = workers.tf_config()
  options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=args.worker_timeout)
  try:
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
  except tf.errors.OpError as e:
    raise RunError(f'the workers could not be joined; start all of them again ({one_line(e)[:300]})') from None


def common_settings(args, decisive) -> dict:
  """The flags that must be equal on all workers."""
  flags = {name: value for name, value in vars(args).items() if name in (*decisive, *EQUAL_ON_WORKERS)}
  flags |= {name: list_digest(path) for name in ('data_list', 'val_list') if (path := getattr(args, name))}
  settings = {f'--{name.replace("_", "-")}': value for name, value in flags.items()}
  return {'script': os.path.basename(sys.argv[0]), **settings}


def is_multi_worker(strategy) -> bool:
  return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def worker(strategy) -> tuple[int, int]:
  """(index of this worker, number of workers): (0, 1) on one machine."""
  if not is_multi_worker(strategy):
    return 0, 1
  resolver = strategy.cluster_resolver
  return resolver.task_id, resolver.cluster_spec().num_tasks('worker')


def is_chief(strategy) -> bool:
  """Whether this process writes checkpoints, summaries and the progress bar."""
  return worker(strategy)[0] == 0


def sum_over_workers(strategy, value):
  """Adds up an array of which every worker has its own; on one machine: the array itself."""
  if not is_multi_worker(strategy):
    return value
  value = tf.convert_to_tensor(value)
  replicas = strategy.num_replicas_in_sync // worker(strategy)[1]  # of one worker: its first one brings the value
  mine = strategy.experimental_distribute_values_from_function(
    lambda context: value if context.replica_id_in_sync_group % replicas == 0 else tf.zeros_like(value)
  )
  return strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None).numpy()


def of_all_workers(strategy, number: int) -> list[int]:
  """The whole numbers that the workers have, in the workers' order; all must call it."""
  rank, workers = worker(strategy)
  return sum_over_workers(strategy, np.eye(workers, dtype=np.int64)[rank] * number).tolist()


@contextlib.contextmanager
def exit_together(strategy):
  """No worker exits before the chief has saved the last checkpoint, after the last step or after a stop that all make.

  A worker that exits earlier would make the others fail, the chief among them while it saves.
  """
  stopped = None
  try:
    yield
  except Stopped as e:
    stopped = e
  sum_over_workers(strategy, np.zeros(1))
  with contextlib.suppress(tf.errors.OpError):  # another worker got past the first wait and has exited: all is saved
    sum_over_workers(strategy, np.zeros(1))
  if stopped:
    raise stopped
