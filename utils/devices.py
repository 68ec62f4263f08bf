"""The one place where devices, machines and precision are chosen. One device is the default strategy.

Several devices of one machine: MirroredStrategy. Several machines (TF_CONFIG, or --cluster slurm): a
MultiWorkerMirroredStrategy; then every machine runs the same command, reads its own share of each global batch, and the
chief (the first worker) alone writes. Convolutions compute in --precision; weights, momentum, statistics, softmax and
losses are float32 always.
"""

import contextlib
import functools
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm
from tensorflow.python.eager import context as eager

from utils.errors import InputError, RunError, Stopped, one_line
from utils.lists import list_digest

TRACING = 600  # seconds that TensorFlow may take to build a network or to compile its first step


def choose(args, equal: Collection[str] = ()) -> tf.distribute.Strategy:
  """The strategy that the flags and the environment ask for. To be called before TensorFlow runs anything.

  Only the scripts with --num-gpu train on more than one device; the others do not look at TF_CONFIG. `equal` names
  the flags that must be equal on all workers.

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
  workers = find(args.cluster)
  replicas = len(workers.workers) * (args.num_gpu if gpus else 1) if workers else args.num_gpu
  if args.batch_size % replicas:
    raise InputError(
      f'--batch-size {args.batch_size} does not divide evenly among {replicas} replicas; '
      f'give {max(1, args.batch_size // replicas) * replicas}, for example'
    )
  if replicas > 1 and getattr(args, 'xla', False):
    raise InputError(f'--xla compiles for one GPU, and here are {replicas} replicas; leave it out')
  if workers:
    return multi_worker_strategy(args, workers, gpus, equal)
  # On CPUs sums are made on one device: in TensorFlow 2.21 each all-reduce by its collectives keeps 1.3 KB for ever.
  reduction = None if gpus else tf.distribute.ReductionToOneDevice()
  return tf.distribute.MirroredStrategy(_devices(args.num_gpu), cross_device_ops=reduction)


def grow_memory() -> None:
  """Lets TensorFlow take GPU memory as it needs it, not all at once."""
  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)


def _devices(number: int) -> list[str]:
  """Names of `number` GPUs, or, on a machine without any, of as many logical CPU devices."""
  if tf.config.list_physical_devices('GPU'):
    return [f'/gpu:{i}' for i in range(number)]
  print(f'no GPU here: --num-gpu {number} runs on {number} logical CPU devices')
  cpu = tf.config.list_physical_devices('CPU')[0]
  with contextlib.suppress(RuntimeError):  # TensorFlow runs already, and has them, as in the tests
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
  return [f'/cpu:{i}' for i in range(number)]


def multi_worker_strategy(args, workers: 'Cluster', gpus, equal) -> tf.distribute.Strategy:
  """Waits for the other workers, joins them, and checks that all have the same flags."""
  if gpus:
    tf.config.set_visible_devices(own_gpus(gpus, args.num_gpu, workers), 'GPU')
  else:
    print('no GPU here: one replica per machine, on its CPU')
  meet(workers, args.worker_timeout)
  task = {'type': 'worker', 'index': workers.index}
  os.environ['TF_CONFIG'] = json.dumps({'cluster': {'worker': workers.workers}, 'task': task})
  try:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    strategy.silence = args.worker_timeout  # of `not_silent`
    compare_flags(strategy, args, equal)
  except tf.errors.OpError as e:
    raise RunError(f'the workers could not be joined; start all of them again ({one_line(e)[:300]})') from None
  return strategy


def own_gpus(gpus: list, number: int, workers: 'Cluster') -> list:
  """The `number` GPUs of this worker. Workers of one machine take theirs in turn, unless the scheduler has shared them
  out: then each sees fewer than all need."""
  hosts = [host_and_port(address)[0] for address in workers.workers]
  here = hosts[workers.index]
  first = hosts[: workers.index].count(here) * number if len(gpus) >= hosts.count(here) * number else 0
  return gpus[first : first + number]


@contextlib.contextmanager
def not_silent(strategy, compiles: bool = False):
  """Aborts what the block waits for from other workers after --worker-timeout; the block then raises an OpError.

  `compiles`: TRACING seconds more, for a block that TensorFlow compiles. Its own timeout keeps two threads of every sum
  until it would end: thousands in a few steps through batch norm (2.21).
  """
  if not is_multi_worker(strategy):
    yield
    return

  def abort():
    eager.context().abort_collective_ops(tf.errors.DEADLINE_EXCEEDED, 'a worker is silent')

  timer = threading.Timer(strategy.silence + TRACING * compiles, abort)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def compare_flags(strategy, args, equal: Collection[str]) -> None:
  """Raises InputError, on all workers, if one has another value of a flag in `equal` or lists of other contents."""
  values = {name: getattr(args, name, None) for name in equal}
  values |= {name: list_digest(path) if (path := getattr(args, name)) else '' for name in ('data_list', 'val_list')}
  checksums = np.array([zlib.crc32(json.dumps(value).encode()) for value in values.values()])
  table = np.array(of_all_workers(strategy, checksums))
  for worker_index, column in np.argwhere(table != table[0])[:1]:
    wait_for_all(strategy)
    flag = '--' + list(values)[column].replace('_', '-')
    raise InputError(f'worker {worker_index} has another {flag} than worker 0; start all workers with the same command')


def is_multi_worker(strategy) -> bool:
  return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def worker(strategy) -> tuple[int, int]:
  """(index of this worker, number of workers): (0, 1) on one machine. Worker 0, the chief, alone writes."""
  if not is_multi_worker(strategy):
    return 0, 1
  resolver = strategy.cluster_resolver
  return resolver.task_id, resolver.cluster_spec().num_tasks('worker')


def sum_over_workers(strategy, value):
  """Adds up an array of which every worker has its own; on one machine: the array itself."""
  if not is_multi_worker(strategy):
    return value
  value = tf.convert_to_tensor(value)
  replicas = strategy.num_replicas_in_sync // worker(strategy)[1]  # of one worker: its first one brings the value
  mine = strategy.experimental_distribute_values_from_function(
    lambda context: value if context.replica_id_in_sync_group % replicas == 0 else tf.zeros_like(value)
  )
  with not_silent(strategy):
    return _sum(strategy)(mine).numpy()


@functools.cache
def _sum(strategy):
  """A graph: an eager sum starts a thread pool each time, and one that fails writes a trace when Python ends (2.21)."""
  return tf.function(lambda mine: strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None), autograph=False)


def of_all_workers(strategy, numbers) -> list:
  """The whole number (or list of them) that each worker has, in the workers' order; all must call it."""
  rank, workers = worker(strategy)
  return sum_over_workers(strategy, np.multiply.outer(np.eye(workers, dtype=np.int64)[rank], numbers)).tolist()


def wait_for_all(strategy) -> None:
  """Returns when every worker has called it. One that exits earlier would make the others fail."""
  sum_over_workers(strategy, np.zeros(1))
  with contextlib.suppress(tf.errors.OpError):  # another worker got past the first wait and has exited
    sum_over_workers(strategy, np.zeros(1))


@contextlib.contextmanager
def exit_together(strategy):
  """No worker exits before the chief has saved the last checkpoint, after the last step or a stop that all make."""
  try:
    yield
  except Stopped:
    wait_for_all(strategy)
    raise
  wait_for_all(strategy)


ACCEPT_SECONDS, ANSWER_SECONDS = 1, 5  # no wait is longer: a signal that comes just before one is noted after it
HERE, GO = b'here', b'go'  # what workers say to each other before TensorFlow does
EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'


class Cluster(NamedTuple):
  """`workers` are HOST:PORT, the chief first; this process is number `index` of them."""

  workers: list[str]
  index: int


def find(kind: str | None) -> Cluster | None:
  """The cluster that --cluster `kind` (None: TF_CONFIG, if set) and the environment describe; None for one machine.

  Raises:
    InputError: the environment does not describe one.
  """
  if kind == 'slurm':
    cluster = from_slurm(os.environ)
  else:
    text = os.environ.get('TF_CONFIG', '')
    if kind and not text:
      raise InputError(f'--cluster {kind}: the environment variable TF_CONFIG is not set; write {EXAMPLE}')
    cluster = from_tf_config(text) if text else None
  return cluster if cluster and len(cluster.workers) > 1 else None


def from_tf_config(text: str) -> Cluster | None:
  """None if it names no machines."""
  try:
    config = json.loads(text)
    roles, task = config.get('cluster') or {}, config.get('task') or {}
    if not roles:
      return None
    others = sorted(set(roles) - {'chief', 'worker'})
    if others:
      raise ValueError(f'the role {others[0]!r} is not supported, only "chief" and "worker"')
    tasks = {(role, i): address for role in ('chief', 'worker') for i, address in enumerate(roles.get(role, []))}
    for address in tasks.values():
      host_and_port(address)
    this = task.get('type'), int(task.get('index', -1))
    if this not in tasks:
      raise ValueError(f'its task (type, index) is {this}, none of {", ".join(map(str, tasks))}')
  except (ValueError, AttributeError, TypeError) as e:
    raise InputError(f'TF_CONFIG={text}: {e}; write {EXAMPLE}') from None
  return Cluster(list(tasks.values()), list(tasks).index(this))


def host_and_port(address: str) -> tuple[str, int]:
  host, _, port = address.rpartition(':')
  if not host or not port.isdigit() or not 0 < int(port) < 65536:
    raise ValueError(f'{address!r} is not HOST:PORT')
  return host.strip('[]'), int(port)


def from_slurm(environment) -> Cluster:
  """One worker per task of a Slurm job step. Its port follows from the job's number, so that jobs can share a machine.

  Slurm's lists are read as TensorFlow's SlurmClusterResolver reads them. That class itself fails where there are no
  GPUs, and sorts hosts by name, node10 before node9, while Slurm numbers its tasks in the order of its own list.
  """
  names = ('SLURM_JOB_ID', 'SLURM_PROCID', 'SLURM_STEP_NODELIST', 'SLURM_STEP_TASKS_PER_NODE')
  try:
    job, index, hosts, tasks = (environment[name] for name in names)
    first_port = 15000 + int(job) % 15000
    nodes = zip(slurm.expand_hostlist(hosts), slurm.expand_tasks_per_node(tasks), strict=True)
    workers = [f'{host}:{first_port + i}' for host, number in nodes for i in range(number)]
    return Cluster(workers, range(len(workers))[int(index)])
  except KeyError as e:
    raise InputError(
      f'--cluster slurm: no Slurm job step here ({e.args[0]} is not set); start the script by srun'
    ) from None
  except (ValueError, IndexError) as e:
    values = ', '.join(f'{name}={environment[name]}' for name in names)
    raise InputError(f'--cluster slurm: cannot read {values} ({e})') from None


def meet(cluster: Cluster, seconds: float) -> None:
  """Returns when every worker of the cluster has called it: the chief calls the ports of the others until all answer,
  and tells them to go on.

  TensorFlow itself waits an hour, and ignores Ctrl-C, for a worker that never starts; the timeout of its coordination
  service does not shorten that (2.21).

  Raises:
    InputError: a port is taken, or a host is unknown.
    RunError: a worker is missing after `seconds`.
  """
  here, deadline = cluster.workers[cluster.index], time.monotonic() + seconds
  print(f'{here}, of {len(cluster.workers)} workers: waiting up to {seconds:g} s for the others', flush=True)
  port = host_and_port(here)[1]
  try:
    server = socket.create_server(('', port), backlog=len(cluster.workers))
  except OSError as e:
    raise InputError(f'{here}: cannot listen on port {port} here ({e.strerror}); give another') from None
  with server:
    if cluster.index:
      answer_chief(server, cluster.workers[0], deadline)
    else:
      for message in (HERE, GO):
        call_workers(cluster.workers, message, deadline)


def call_workers(workers: list[str], message: bytes, deadline: float) -> None:
  missing = {address: f'{i} ({address})' for i, address in enumerate(workers) if i}
  while missing:
    for address in list(missing):
      try:
        with socket.create_connection(host_and_port(address), timeout=ANSWER_SECONDS) as connection:
          connection.sendall(message)
          if connection.recv(8) == HERE:  # not another program, for example a TensorFlow of the run before
            del missing[address]
      except socket.gaierror as e:
        raise InputError(f'worker {missing[address]}: no such host ({e.strerror}); check the addresses') from None
      except OSError:
        pass  # not there yet
    if missing and time.monotonic() > deadline:
      raise RunError(f'worker {", ".join(missing.values())} did not answer within --worker-timeout; start all workers')
    time.sleep(0.1 * bool(missing))


def answer_chief(server, chief: str, deadline: float) -> None:
  server.settimeout(ACCEPT_SECONDS)
  said = b''
  while said != GO:
    if time.monotonic() > deadline:
      raise RunError(f'worker 0, {chief}, did not call within --worker-timeout; start all workers')
    with contextlib.suppress(OSError), server.accept()[0] as connection:  # other programs may call too
      connection.settimeout(ANSWER_SECONDS)
      said = connection.recv(8)
      connection.sendall(HERE)
      connection.recv(1)  # until the chief has closed: then this port is free at once


def apply(model, precision: str) -> None:
  """Makes `model` compute in float32, bfloat16 or float16."""
  obey_tf32_override()
  model.compute_dtype = tf.as_dtype(precision)


def obey_tf32_override() -> None:
  """NVIDIA_TF32_OVERRIDE=0, which NVIDIA's libraries read, for XLA's own kernels too."""
  if os.environ.get('NVIDIA_TF32_OVERRIDE') == '0':
    tf.config.experimental.enable_tensor_float_32_execution(False)


def cuts_float32() -> bool:
  """Whether products of float32 may be computed as TF32, with 10 bits of mantissa: on a GPU, unless forbidden."""
  gpus = tf.config.list_physical_devices('GPU')
  return bool(gpus) and tf.config.experimental.tensor_float_32_execution_enabled()


def described(precision: str) -> str:
  """A line for the log on what the convolutions compute in."""
  cut = ''
  if precision == 'float32' and cuts_float32():
    cut = ', as TF32 (10 bits of mantissa) where the GPU has it; NVIDIA_TF32_OVERRIDE=0 forbids that'
  return f'convolutions in {precision}{cut}; everything else in float32'
