"""The one place where devices are chosen. One device is the default strategy, not another code path.

Several devices of one machine: MirroredStrategy. Several machines (TF_CONFIG, or --cluster slurm): a
MultiWorkerMirroredStrategy; then every machine runs the same command, reads its own share of each global batch, and the
chief (the first worker) alone writes.
"""

import json
import os

import tensorflow as tf

from utils.errors import InputError

# A collective operation that waits longer than this for another worker fails: the other one is taken for dead. It is
# longer than what workers may lawfully wait for each other (start-up, a checkpoint on a slow disk).
TIMEOUT_SECONDS = 600


def choose(args) -> tf.distribute.Strategy:
  """The strategy that the flags and the environment ask for. To be called before TensorFlow runs anything.

  Raises:
    InputError: more GPUs than there are, a batch that does not divide evenly, or a TF_CONFIG that is none.
  """
  grow_memory()
  wanted = getattr(args, 'num_gpu', 1)
  if several_machines(args):
    strategy = _several_machines(args, wanted)
  elif hasattr(args, 'num_gpu'):
    strategy = tf.distribute.MirroredStrategy(_devices(wanted))
  else:
    strategy = tf.distribute.get_strategy()
  replicas = strategy.num_replicas_in_sync
  if args.batch_size % replicas:
    raise InputError(
      f'--batch-size {args.batch_size} does not divide evenly among {replicas} replicas; '
      f'give {max(1, args.batch_size // replicas) * replicas}, say'
    )
  return strategy


def grow_memory() -> None:
  """Lets TensorFlow take GPU memory as it needs it, not all at once."""
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _devices(number: int) -> list[str]:
  """Names of `number` GPUs, or, on a machine without any, of as many logical CPU devices."""
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    if number > len(gpus):
      raise InputError(f'--num-gpu {number}: this machine has {len(gpus)}; give at most that')
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


def several_machines(args) -> bool:
  if getattr(args, 'cluster', None) == 'slurm':
    return True
  text = os.environ.get('TF_CONFIG', '')
  if not text:
    return False
  try:
    config = json.loads(text)
    cluster = config.get('cluster', {})
    number = sum(len(cluster.get(role, [])) for role in ('chief', 'worker'))
    if number and not {'type', 'index'} <= set(config.get('task', {})):
      raise ValueError('no task type and index')
  except (ValueError, AttributeError, TypeError) as e:
    raise InputError(
      f'TF_CONFIG: {text!r} is not what TensorFlow wants ({e}); '
      'write {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    ) from None
  return number > 1


def _several_machines(args, num_gpu: int):
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    if num_gpu > len(gpus):
      raise InputError(f'--num-gpu {num_gpu}: this machine has {len(gpus)}; give at most that')
    tf.config.set_visible_devices(gpus[:num_gpu], 'GPU')
  else:
    print('no GPU here: one replica a machine, on its CPU')
  resolver = None
  if getattr(args, 'cluster', None) == 'slurm':
    try:
      resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(gpus_per_node=len(gpus) and num_gpu)
      resolver.cluster_spec()
    except (RuntimeError, ValueError, KeyError, OSError) as e:
      raise InputError(f'--cluster slurm: no Slurm job step here ({e}); start the script by srun') from None
  options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT_SECONDS)
  return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver, communication_options=options)


def is_multi_worker(strategy) -> bool:
  return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def worker(strategy) -> tuple[int, int]:
  """(index of this worker, number of workers): (0, 1) on one machine."""
  if not is_multi_worker(strategy):
    return 0, 1
  resolver = strategy.cluster_resolver
  tasks = [
    (role, i) for role in ('chief', 'worker') for i in range(len(resolver.cluster_spec().as_dict().get(role, [])))
  ]
  return tasks.index((resolver.task_type, resolver.task_id)), len(tasks)


def is_chief(strategy) -> bool:
  """Whether this process writes checkpoints, summaries and the progress bar."""
  return worker(strategy)[0] == 0


def sum_over_workers(strategy, value):
  """Adds up an array of which every worker has its own; on one machine it is returned as it is."""
  if not is_multi_worker(strategy):
    return value
  value = tf.convert_to_tensor(value)
  replicas = strategy.num_replicas_in_sync // worker(strategy)[1]  # of one worker: its first one brings the value
  mine = strategy.experimental_distribute_values_from_function(
    lambda context: value if context.replica_id_in_sync_group % replicas == 0 else tf.zeros_like(value)
  )
  return strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None).numpy()
