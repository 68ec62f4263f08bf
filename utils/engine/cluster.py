"""Which machines take part in a run, from TF_CONFIG or Slurm, and how they wait for each other at the start."""

import contextlib
import json
import os
import socket
import time
from typing import NamedTuple

from utils.errors import InputError, RunError

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
ANSWER_SECONDS = 5  # that an open connection may take to send a line


class Cluster(NamedTuple):
  """`workers` are HOST:PORT, the chief first; this process is number `index` of them."""

  workers: list[str]
  index: int

  def tf_config(self) -> str:
    task = {'type': 'worker', 'index': self.index}
    return json.dumps({'cluster': {'worker': self.workers}, 'task': task})

  @property
  def port(self) -> int:
    return host_and_port(self.workers[self.index])[1]


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
    if len(set(tasks.values())) < len(tasks):
      raise ValueError('an address occurs twice')
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
  """One worker a task of a Slurm job step. Its port follows from the job's number, so that jobs can share a machine.

  Slurm's lists are read as TensorFlow's SlurmClusterResolver reads them. That class itself fails where there are no
  GPUs, and sorts hosts by name, node10 before node9, while Slurm numbers its tasks in the order of its own list.
  """
  from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

  names = ('SLURM_JOB_ID', 'SLURM_PROCID', 'SLURM_STEP_NODELIST', 'SLURM_STEP_TASKS_PER_NODE')
  missing = [name for name in names if name not in environment]
  if missing:
    raise InputError(f'--cluster slurm: no Slurm job step here ({missing[0]} is not set); start the script by srun')
  job, index, hosts, tasks = (environment[name] for name in names)
  try:
    first_port = 15000 + int(job) % 15000
    nodes = zip(slurm.expand_hostlist(hosts), slurm.expand_tasks_per_node(tasks), strict=True)
    workers = [f'{host}:{first_port + i}' for host, number in nodes for i in range(number)]
    return Cluster(workers, range(len(workers))[int(index)])
  except (ValueError, IndexError) as e:
    values = ', '.join(f'{name}={environment[name]}' for name in names)
    raise InputError(f'--cluster slurm: cannot read {values} ({e})') from None


def wait_for_workers(cluster: Cluster, settings: dict, seconds: float) -> None:
  """Returns when all workers of the cluster have called it with equal `settings` (JSON values by name).

  This protects hours of many machines: TensorFlow itself waits an hour, and ignores Ctrl-C, for a worker that never
  starts, and hangs in the first step if one has other flags. So the workers first connect to the chief's port here,
  before its TensorFlow listens there. Each sends one line of JSON and gets one, when all have come or something is
  wrong.

  Raises:
    InputError: the settings differ, a port is taken, or a host is unknown.
    RunError: a worker is missing after `seconds`.
  """
  number, here = len(cluster.workers), cluster.workers[cluster.index]
  print(f'worker {cluster.index} of {number}, {here}: waiting up to {seconds:g} s for the others', flush=True)
  deadline = time.monotonic() + seconds
  try:
    server = socket.create_server(('', cluster.port), backlog=number)
  except OSError as e:
    raise InputError(f'{here}: cannot listen on port {cluster.port} here ({e.strerror}); give another') from None
  with server:
    if cluster.index == 0:
      gather_workers(server, cluster.workers, settings, deadline)
  if cluster.index:
    report_to_chief(cluster, settings, deadline)


def gather_workers(server, workers: list[str], settings: dict, deadline: float) -> None:
  """The chief's part: waits for every other worker, compares the settings, and sends the outcome to all."""
  connections, outcome = {}, {}
  with contextlib.ExitStack() as opened:
    try:
      while len(connections) + 1 < len(workers):
        server.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
          connection = opened.enter_context(server.accept()[0])
        except TimeoutError:
          missing = ', '.join(f'{i} ({address})' for i, address in enumerate(workers) if i and i not in connections)
          raise RunError(f'worker {missing} did not connect within --worker-timeout; start all workers') from None
        connection.settimeout(ANSWER_SECONDS)
        message = receive(connection)
        if message.get('index') in range(1, len(workers)):  # other programs may connect too
          connections[message['index']] = connection  # of a worker that was restarted: the latest
          compare(message.get('settings', {}), settings, message['index'])
      outcome = {'exit_code': 0}
    except (InputError, RunError) as e:
      outcome = {'exit_code': e.exit_code, 'error': str(e)}
      raise
    finally:
      for connection in connections.values():
        with contextlib.suppress(OSError):  # it has ended: TensorFlow's own waiting reports it
          send(connection, outcome)
          connection.recv(1)  # until the other side has closed: then this port is free at once


def compare(theirs: dict, ours: dict, index: int) -> None:
  ours = json.loads(json.dumps(ours))
  for name in sorted(theirs.keys() | ours.keys()):
    if theirs.get(name) != ours.get(name):
      raise InputError(
        f'worker {index} was started with {name} {theirs.get(name)}, worker 0 with {ours.get(name)}; '
        'start all workers with the same command'
      )


def report_to_chief(cluster: Cluster, settings: dict, deadline: float) -> None:
  """The part of the other workers: sends its settings to the chief and waits for the outcome."""
  chief, outcome, reason = cluster.workers[0], {}, 'another program answers there'
  while 'exit_code' not in outcome:
    try:
      with socket.create_connection(host_and_port(chief), timeout=ANSWER_SECONDS) as connection:
        send(connection, {'index': cluster.index, 'settings': settings})
        connection.settimeout(max(deadline - time.monotonic(), 0) + ANSWER_SECONDS)
        outcome = receive(connection)  # {} from another program, for example a TensorFlow of the run before
    except socket.gaierror as e:
      raise InputError(f'worker 0, {chief}: no such host ({e.strerror}); check the addresses') from None
    except OSError as e:
      reason = e
    if time.monotonic() > deadline and not outcome:
      raise RunError(f'worker 0, {chief}, cannot be reached within --worker-timeout ({reason}); start all workers')
    time.sleep(0.2)
  if outcome['exit_code']:
    raise (InputError if outcome['exit_code'] == InputError.exit_code else RunError)(outcome['error'])


def receive(connection) -> dict:
  """A line of JSON from the other side; {} if something else or nothing comes."""
  try:
    with connection.makefile('rb') as lines:
      message = json.loads(lines.readline(1 << 20))
  except (OSError, ValueError):
    return {}
  return message if isinstance(message, dict) else {}


def send(connection, message: dict) -> None:
  connection.sendall(json.dumps(message).encode() + b'\n')
