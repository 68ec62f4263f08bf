"""Precision, several devices and several machines: N replicas are one device, workers wait for each other, and stop
together."""

import json
import os
import pathlib
import signal
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf

from network.common import cpu_gradients
from network.losses.cross_entropy import Options
from seg_models.names import MODELS, build
from tests import tiny
from tests.tiny import CLASSES, arguments, toy
from utils import devices, errors, runs
from utils.predict.windows import probability_function
from utils.train import optimizers
from utils.train.objectives import AdaptiveAffinity, CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data

HARD = Options(ohem_threshold=0.3, ohem_min_kept=3, class_weights=(0.5, 1.0, 2.0))
OBJECTIVES = {
  'cross-entropy': lambda: CrossEntropy(CLASSES),
  'adaptive affinity': lambda: AdaptiveAffinity(CLASSES, 3.0, 1.0, 1.0),
  'hard pixels': lambda: CrossEntropy(CLASSES, HARD),
  'active boundary loss': lambda: CrossEntropy(CLASSES, extra_loss='abl'),
}


# Two images all void, two all labelled, two nearly void.
VERY_UNEQUAL = tiny.batch(0, [1, 1, 0, 0, 0.97, 0.9], size=6, side=48)
EQUAL = tiny.batch(1, 0.1, size=6, side=48)


def deal(strategy, whole):
  """A global batch as training gives it: every replica its consecutive part."""
  part = len(whole[0]) // strategy.num_replicas_in_sync

  def share(context):
    first = context.replica_id_in_sync_group * part
    return tuple(tf.constant(x[first : first + part]) for x in whole)

  return strategy.experimental_distribute_values_from_function(share)


def outcome(strategy, make_objective, steps, make_model=toy, **changes):
  """({metric: value} of the last step, {variable's name: value}) after `steps`, each a list of global batches."""
  args = arguments(pathlib.Path(), 'none', num_steps=10, weight_decay=0.1, iter_size=len(steps[0]), **changes)
  with strategy.scope():
    state = TrainingState(make_model(), make_objective(), args)
  step = make_step(strategy, state, args)
  for s, batches in enumerate(steps):
    metrics = step([deal(strategy, whole) for whole in batches], tf.constant(s))
  return {k: float(v) for k, v in metrics.items()}, {k: np.asarray(v) for k, v in state.saved().items()}


def assert_close(one, other):
  for before, after in zip(one, other, strict=True):
    assert before.keys() == after.keys()
    for name, value in before.items():
      np.testing.assert_allclose(after[name], value, 2e-3, 1e-4 * (np.abs(value).max() + 1e-3), err_msg=name)


ONE, TWO = [[VERY_UNEQUAL], [EQUAL]], [[VERY_UNEQUAL, EQUAL], [EQUAL, EQUAL]]  # two updates of one batch, of two


@pytest.mark.parametrize(
  ('name', 'replicas', 'steps', 'changes'),
  [
    ('cross-entropy', 2, ONE, {'ema_decay': 0.5}),
    ('adaptive affinity', 2, ONE, {}),
    ('hard pixels', 3, ONE, {}),
    ('active boundary loss', 2, ONE, {}),
    ('hard pixels', 2, TWO, {}),
    ('cross-entropy', 2, [[VERY_UNEQUAL]], {'clip_norm': 0.01}),
    ('adaptive affinity', 2, TWO, {'optimizer': 'adamw'}),
    ('cross-entropy', 2, [[VERY_UNEQUAL, EQUAL]], {'aux_weight': 0.4, 'make_model': lambda: toy(auxiliary=True)}),
  ],
)
def test_replicas_are_one_device(mirrored, name, replicas, steps, changes):
  strategies = tf.distribute.get_strategy(), mirrored(replicas)
  one, several = (outcome(strategy, OBJECTIVES[name], steps, **changes) for strategy in strategies)
  assert_close(one, several)
  assert np.any(one[1]['toy/conv1/BatchNorm/moving_mean'])


# What is refused.


def test_more_gpus_than_there_are(data, tmp_path, monkeypatch):
  line = tiny.refusal(data, tmp_path, 'train_mgpu', num_gpu=2, batch_size=2, xla=True)
  assert line == '--xla compiles for one GPU, and here are 2 replicas; leave it out'
  monkeypatch.setattr(devices, 'grow_memory', lambda: None)
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: ['one', 'two'])
  line = tiny.refusal(data, tmp_path, 'train_mgpu', num_gpu=4, batch_size=4)
  assert line == '--num-gpu 4: this machine has 2; give at most that'


def tf_config(index, workers=('a:1', 'b:2')):
  return json.dumps({'cluster': {'worker': workers}, 'task': {'type': 'worker', 'index': index}})


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    ('{', 'TF_CONFIG={: '),
    (tf_config(2), "its task (type, index) is ('worker', 2), none of ('worker', 0), ('worker', 1)"),
    (tf_config('x'), "'x'"),
    (tf_config(0, ['a:1', 'b']), "'b' is not HOST:PORT"),
    ('{"cluster": {"ps": ["a:1"]}}', "the role 'ps' is not supported"),
  ],
)
def test_a_tf_config_that_is_none(data, tmp_path, monkeypatch, text, says):
  monkeypatch.setenv('TF_CONFIG', text)
  line = tiny.refusal(data, tmp_path, 'train_mgpu')
  assert says in line and line.endswith(f'; write {devices.EXAMPLE}')


def test_clusters_from_tf_config(monkeypatch):
  chief = {'cluster': {'worker': ['b:1', 'c:1'], 'chief': ['a:1']}, 'task': {'type': 'worker', 'index': '1'}}
  assert devices.from_tf_config(json.dumps(chief)) == (['a:1', 'b:1', 'c:1'], 2)
  monkeypatch.setenv('TF_CONFIG', tf_config(0, ['a:1']))
  assert devices.find(None) is None  # one machine
  monkeypatch.delenv('TF_CONFIG')
  assert devices.find(None) is None
  with pytest.raises(errors.InputError, match='TF_CONFIG is not set'):
    devices.find('tf_config')


SLURM = {
  'SLURM_JOB_ID': '15042',
  'SLURM_PROCID': '2',
  'SLURM_STEP_NODELIST': 'n[9-10],m3',
  'SLURM_STEP_TASKS_PER_NODE': '1(x2),2',
}


def test_clusters_from_slurm():
  workers = ['n9:15042', 'n10:15042', 'm3:15042', 'm3:15043']  # in Slurm's order, which is the tasks'
  assert devices.from_slurm(SLURM) == (workers, 2)
  for change, says in (
    ({'SLURM_PROCID': '4'}, 'SLURM_PROCID=4'),
    ({'SLURM_STEP_NODELIST': 'n[9'}, 'SLURM_STEP_NODELIST=n'),
    ({'SLURM_STEP_TASKS_PER_NODE': '1'}, 'SLURM_STEP_TASKS_PER_NODE=1'),
  ):
    with pytest.raises(errors.InputError, match='cannot read .*' + says.replace('[', r'\[')):
      devices.from_slurm({**SLURM, **change})


def test_outside_slurm(data, tmp_path, monkeypatch):
  monkeypatch.delenv('SLURM_JOB_ID', raising=False)
  line = tiny.refusal(data, tmp_path, 'train_mgpu', cluster='slurm')
  assert line == '--cluster slurm: no Slurm job step here (SLURM_JOB_ID is not set); start the script by srun'


# How workers find each other.


def free_ports(number) -> list[int]:
  sockets = [socket.create_server(('', 0)) for _ in range(number)]
  ports = [s.getsockname()[1] for s in sockets]
  for s in sockets:
    s.close()
  return ports


def meeting(number, seconds=600, absent=(), in_between=lambda workers: None) -> dict[int, str]:
  """What `meet` raised in the workers; `in_between(workers)` is called before the chief comes."""
  workers, raised = [f'127.0.0.1:{port}' for port in free_ports(number)], {}

  def attend(i):
    try:
      devices.meet(devices.Cluster(workers, i), seconds)
    except errors.RunError as e:
      raised[i] = str(e)

  threads = [threading.Thread(target=attend, args=(i,)) for i in reversed(range(number)) if i not in absent]
  for thread in threads[:-1]:
    thread.start()
  in_between(workers)
  threads[-1].start()
  for thread in threads:
    thread.join()
  return raised


def call(workers, message):
  """Of a strange program, to worker 1, as soon as that listens."""
  while True:
    try:
      with socket.create_connection(devices.host_and_port(workers[1])) as connection:
        return connection.sendall(message)
    except ConnectionRefusedError:
      pass


def test_workers_meet_and_strange_callers_do_no_harm():
  def strangers(workers):
    for message in (b'GET / HTTP/1.0\r\n\r\n', b'', b'\xff'):
      call(workers, message)

  assert meeting(4, in_between=strangers) == {}


def test_a_missing_worker_is_named():
  raised = meeting(3, 1, absent=[2])
  assert raised.keys() == {0, 1}
  assert all('within --worker-timeout; start all workers' in line for line in raised.values())
  assert raised[0].startswith('worker 2 (127.0.0.1:') and raised[1].startswith('worker 0, 127.0.0.1:')


def test_a_taken_port_and_an_unknown_host():
  with socket.create_server(('', 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(errors.InputError, match=f'cannot listen on port {port} here'):
      devices.meet(devices.Cluster([f'127.0.0.1:{port}', 'b:1'], 0), 1)
  here = f'127.0.0.1:{free_ports(1)[0]}'
  with pytest.raises(errors.InputError, match=r'1 \(nowhere.invalid:1\): no such host'):
    devices.meet(devices.Cluster([here, 'nowhere.invalid:1'], 0), 600)


@pytest.mark.parametrize('index', [0, 1])
def test_a_signal_ends_the_waiting_for_workers(index):
  """Sent again after a while: where the first arrives in code whose exceptions Python drops, it is lost."""

  def stop(signum, frame):
    raise errors.Stopped('stopped', signum)

  before = signal.signal(signal.SIGALRM, stop)
  try:
    with pytest.raises(errors.Stopped):
      signal.setitimer(signal.ITIMER_REAL, 0.1, 5)
      devices.meet(devices.Cluster([f'127.0.0.1:{port}' for port in free_ports(2)], index), 600)
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# Two real processes.

PREPARED = """
import multiprocessing.pool, os, signal, time
multiprocessing.pool.ThreadPool = None  # one that a failure leaves open writes a trace when Python ends
from utils.train import loop
os.environ.update({environment!r})
check = loop.check_losses
def check_losses(s, *args):
  check(s, *args)
  if s == {step}:
    {action}
loop.check_losses = check_losses
"""


def pair(data, snapshot, kind='tf_config', action='pass', step=3, of_second=None, **changes) -> list[tuple[int, str]]:
  """(exit code, output) of two workers on loopback; worker 1 does `action` (Python) at `step`."""
  ports = free_ports(2)
  processes = []
  for i in range(2):
    environment = {'TF_CONFIG': tf_config(i, [f'127.0.0.1:{port}' for port in ports])}
    if kind == 'slurm':
      environment = dict(zip(SLURM, (str(ports[0] % 15000), str(i), '127.0.0.1', '2'), strict=True))
    before = PREPARED.format(environment=environment, step=step, action=action if i else 'pass')
    flags = {'cluster': kind, 'val_list': data / 'list.txt', 'val_every': 2, 'batch_size': 4, **changes}
    flags |= (of_second or {}) if i else {}
    processes.append(tiny.start(data, snapshot, 'train_mgpu', before, **flags))
  try:
    out = [''] * 2
    out[0] = processes[0].communicate(timeout=400)[0]
    if 'worker_timeout' in changes:  # the second one is not expected to end by itself
      processes[1].kill()
    out[1] = processes[1].communicate(timeout=100)[0]
  finally:
    for process in processes:
      process.kill()
      process.wait()
  return [(process.returncode, said) for process, said in zip(processes, out, strict=True)]


def last_line(said) -> str:
  return said.replace('\r', '\n').strip().splitlines()[-1]


def test_two_workers_are_one_process(data, tmp_path):
  """A fake Slurm job, whose second worker gets a SIGTERM; the run goes on by TF_CONFIG, and is as one process'."""
  folder = tmp_path / 'two'
  averaged = {'ema_decay': 0.5}
  stopped = pair(data, folder, 'slurm', 'os.kill(os.getpid(), signal.SIGTERM)', **averaged)
  step = runs.steps_in(str(folder))[-1]
  assert step in (3, 4)  # a signal is noted between two steps, or in the next one
  line = f'error: stopped by SIGTERM after step {step}; saved {folder}/model.ckpt-{step}; go on with --resume'
  assert [(code, last_line(said)) for code, said in stopped] == [(143, line)] * 2, stopped

  done = pair(data, folder, resume=True, **averaged)
  assert [code for code, _ in done] == [0, 0], done
  assert 'validation mIoU' in done[0][1] and 'validation mIoU' not in done[1][1]  # only the chief speaks and writes
  assert len(list(folder.glob('events.out.tfevents.*'))) == 2  # the chief's, of each part of the run
  assert not list(folder.glob('.writing*'))

  one = tmp_path / 'one'
  tiny.train(data, one, val_list=data / 'list.txt', val_every=2, batch_size=4, **averaged)
  assert_close([tiny.last_checkpoint(one)], [tiny.last_checkpoint(folder)])
  assert (one / 'validation.csv').read_text() == (folder / 'validation.csv').read_text()


COUNT = """loop.before = len(os.listdir('/proc/self/task'))
  elif s == 30:
    print('threads more:', len(os.listdir('/proc/self/task')) - loop.before)"""


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='threads are counted by /proc')
def test_sums_over_workers_leave_no_threads(data, tmp_path):
  """A timeout of TensorFlow's own would keep two of each sum."""
  _, (code, said) = pair(data, tmp_path / 'run', action=COUNT, num_steps=32, val_list=None)
  assert code == 0 and int(said.partition('threads more: ')[2].split()[0]) < 10, said


def test_gpus_are_shared_by_the_workers_of_a_machine():
  workers = ['a:1', 'a:2', 'b:1', 'a:3']
  found = [devices.own_gpus([*'0123456'], 2, devices.Cluster(workers, i)) for i in range(4)]
  assert found == [['0', '1'], ['2', '3'], ['0', '1'], ['4', '5']]
  assert devices.own_gpus(['0', '1'], 2, devices.Cluster(workers, 3)) == ['0', '1']  # shared out by the scheduler


def test_workers_with_other_flags_are_told(data, tmp_path):
  line = 'error: worker 1 has another --clip-norm than worker 0; start all workers with the same command'
  ended = pair(data, tmp_path / 'run', of_second={'clip_norm': 1, 'update_tb_every': 7})
  assert [(code, last_line(said)) for code, said in ended] == [(2, line)] * 2, ended


@pytest.mark.parametrize(
  ('action', 'timeout'),
  [
    ('os.kill(os.getpid(), signal.SIGKILL)', 600),
    pytest.param('os.kill(os.getpid(), signal.SIGSTOP)', 60, marks=tiny.slow),
    pytest.param('time.sleep(200)', 60, marks=tiny.slow),
  ],
)
def test_a_lost_worker_ends_the_others(data, tmp_path, action, timeout):
  (code, said), _ = pair(data, tmp_path / 'run', action=action, num_steps=1000, val_list=None, worker_timeout=timeout)
  assert code == 1, said
  assert last_line(said).startswith('error: another worker has died or cannot be reached; the checkpoints in ')
  assert last_line(said).endswith(')') and 'File' not in last_line(said)
  assert runs.steps_in(str(tmp_path / 'run')) == [2]
  read = tiny.last_checkpoint(tmp_path / 'run')
  assert all(np.all(np.isfinite(v)) for name, v in read.items() if name != 'training/best_miou')


# What the convolutions compute in.

SIDE = 48


def network_input(count=2):
  return tf.constant(np.random.default_rng(0).normal(0, 50, [count, SIDE, SIDE, 3]), tf.float32)


def operations(function, *args):
  """(type, dtype of the first input) of every operation in the function's graph, nested ones included."""
  graph = tf.function(function).get_concrete_function(*args).graph
  graphs = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, 'graph'))]
  return [(op.type, op.inputs[0].dtype) for g in graphs for op in g.get_operations() if op.inputs]


@pytest.mark.parametrize(
  ('name', 'half', 'error'), [*((name, 'bfloat16', 0.05) for name in MODELS), ('pspnet', 'float16', 0.01)]
)
def test_convolutions_compute_in_half_precision_and_logits_are_float32(name, half, error, monkeypatch):
  monkeypatch.setattr(cpu_gradients, 'has_bfloat16', lambda: True)
  model = build(name, 'resnet_v1_14', 3)
  full = model(network_input())
  devices.apply(model, half)
  logits = model(network_input())
  assert logits.dtype == tf.float32
  assert {v.dtype for v in model.variables} == {tf.float32}
  assert 0 < np.linalg.norm(logits - full) < error * np.linalg.norm(full)
  used = operations(probability_function(model, (SIDE, SIDE)), network_input())
  convolutions = [dtype for kind, dtype in used if kind == 'Conv2D']
  assert len(convolutions) > 15 and set(convolutions) == {tf.as_dtype(half)}
  assert [dtype for kind, dtype in used if kind == 'Softmax'] == [tf.float32]


def test_a_run_in_half_precision_keeps_float32_variables_and_nears_the_float32_run(data, tmp_path, monkeypatch):
  monkeypatch.setattr(optimizers, 'FIRST_LOSS_SCALE', 16.0)  # float16's own first one skips steps here, by overflow
  results = []
  for kind in ('float32', 'bfloat16', 'float16'):
    tiny.train(data, tmp_path / kind, precision=kind, num_steps=20, use_global_status=True, learning_rate=1e-4)
    results.append(tiny.last_checkpoint(tmp_path / kind))
  full, *halves = results
  for name in full:
    if name.endswith(('weights', 'biases', 'Momentum')):
      for half in halves:
        assert half[name].dtype == np.float32
        assert 0 < np.linalg.norm(half[name] - full[name]) < 0.1 * np.linalg.norm(full[name]), name


@pytest.mark.parametrize(
  ('kind', 'gpus', 'tf32'), [('float32', 1, True), ('float32', 0, False), ('bfloat16', 1, False)]
)
def test_tf32_is_said_where_float32_would_be_cut(monkeypatch, kind, gpus, tf32):
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda device: gpus * ['a GPU'])
  said = devices.described(kind)
  assert ('TF32' in said) == tf32 and f'convolutions in {kind}' in said
