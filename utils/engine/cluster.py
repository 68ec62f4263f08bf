"""Which machines take part in a run, from TF_CONFIG or from Slurm, and how they wait for each other at the start."""

import contextlib
import json
import os
import socket
import time
from typing import NamedTuple

from utils.errors import InputError, RunError

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
GREETING = {'worker': 0}
PATIENCE = 5  # seconds for a connection that is open to say something


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
  """None where it names no machines."""
  try:
    config = json.loads(text)
    roles, task = config.get('cluster') or {}, config.get('task') or {}
    if not roles:
      return None
    others = sorted(set(roles) - {'chief', 'worker'})
    if others:
      raise ValueError(f'there is no work for the role {others[0]!r}, only for "chief" and "worker"')
    workers = [*roles.get('chief', []), *roles.get('worker', [])]
    for address in workers:
      host_and_port(address)
    if len(set(workers)) < len(workers):
      raise ValueError('an address stands there twice')
    if task.get('type') not in roles or 'index' not in task:
      raise ValueError(f'its task needs a type, one of {sorted(roles)}, and an index')
    index, number = int(task['index']), len(roles[task['type']])
    if not 0 <= index < number:
      raise ValueError(f'the task has index {index}, but there are {number} of its type, counted from 0')
  except (ValueError, AttributeError, TypeError) as e:
    raise InputError(f'TF_CONFIG={text}: {e}; write {EXAMPLE}') from None
  return Cluster(workers, index + (len(roles.get('chief', [])) if task['type'] == 'worker' else 0))


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


def meet(cluster: Cluster, facts: dict, seconds: float) -> None:
  """Returns when all workers of the cluster have called it, with the same `facts` (JSON values by name).

  TensorFlow itself waits an hour, deaf to signals, for a worker that never starts. So the workers first gather here, at
  the chief's port, before its TensorFlow takes that port over.

  Raises:
    InputError: the facts differ, a port is taken, or a host is unknown.
    RunError: `seconds` have passed and somebody is missing.
  """
  deadline = time.monotonic() + seconds
  number, here = len(cluster.workers), cluster.workers[cluster.index]
  print(f'worker {cluster.index} of {number}, {here}: waiting up to {seconds:g} s for the others', flush=True)
  facts = json.loads(json.dumps(facts))
  try:
    server = socket.create_server(('', cluster.port), backlog=number)
  except OSError as e:
    raise InputError(f'{here}: cannot listen on port {cluster.port} here ({e.strerror}); give another') from None
  with server:
    if cluster.index == 0:
      gather(server, cluster, facts, seconds, deadline)
  if cluster.index:
    report(cluster, facts, seconds, deadline)


def gather(server, cluster, facts, seconds, deadline) -> None:
  """The chief's part: waits for every other worker, compares facts, and tells all of them."""
  connections, answer = {}, {}
  try:
    while len(connections) + 1 < len(cluster.workers):
      server.settimeout(max(deadline - time.monotonic(), 0.01))
      try:
        connection, _ = server.accept()
      except TimeoutError:
        missing = [f'{i} ({w})' for i, w in enumerate(cluster.workers) if i and i not in connections]
        raise RunError(f'worker {", ".join(missing)} has not come within {seconds:g} s; start all of them') from None
      say(connection, GREETING)
      connection.settimeout(PATIENCE)
      with connection.makefile('rb') as lines:
        told = hear(lines)
      index = told.get('index')
      if index not in range(1, len(cluster.workers)):
        connection.close()  # somebody else's
        continue
      if index in connections:  # it was started again
        connections[index].close()
      connections[index] = connection
      compare(told.get('facts', {}), facts, index)
    answer = {'error': ''}
  except (InputError, RunError) as e:
    answer = {'error': str(e), 'exit_code': e.exit_code}
    raise
  finally:
    for connection in connections.values():
      say(connection, answer)
      with connection, contextlib.suppress(OSError):
        connection.recv(1)  # until the other side has hung up: so this port is free at once


def compare(theirs: dict, ours: dict, index: int) -> None:
  for name in sorted(set(theirs) | set(ours)):
    if theirs.get(name) != ours.get(name):
      raise InputError(
        f'worker {index} was started with {name} {theirs.get(name)}, worker 0 with {ours.get(name)}; '
        'start all workers with the same command'
      )


def report(cluster, facts, seconds, deadline) -> None:
  """Another worker's part: tells the chief that it is there, and waits for its answer."""
  chief = cluster.workers[0]
  while True:
    try:
      connection = socket.create_connection(host_and_port(chief), timeout=PATIENCE)
      with connection, connection.makefile('rb') as lines:
        if hear(lines) == GREETING:  # and not a TensorFlow that has not ended yet, say
          say(connection, {'index': cluster.index, 'facts': facts})
          connection.settimeout(max(deadline - time.monotonic(), 0) + PATIENCE)
          answer = hear(lines)
          break
      reason = 'another program answers there'
    except socket.gaierror as e:
      raise InputError(f'worker 0, {chief}: no such host ({e.strerror}); check the addresses') from None
    except OSError as e:
      reason = e
    if time.monotonic() > deadline:
      raise RunError(f'worker 0, {chief}, cannot be reached for {seconds:g} s ({reason}); start all workers')
    time.sleep(0.2)
  if answer.get('error'):
    raise (InputError if answer.get('exit_code') == InputError.exit_code else RunError)(answer['error'])
  if 'error' not in answer:
    raise RunError(f'worker 0, {chief}, has gone; start all workers again')


def hear(lines) -> dict:
  """The line of JSON that the other side says; {} if it says none."""
  try:
    told = json.loads(lines.readline(1 << 20))
  except (OSError, ValueError):
    return {}
  return told if isinstance(told, dict) else {}


def say(connection, told: dict) -> None:
  with contextlib.suppress(OSError):
    connection.sendall(json.dumps(told).encode() + b'\n')
