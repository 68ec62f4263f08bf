"""The training run, from the flags to the last checkpoint.

Update s is followed, where it is due, by validation and checkpoint s. Everything that a step sees, data included, is a
function of the flags and s, so a run resumed at s + 1 is the unbroken run.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import signal
import threading
import time
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models.augmentation import Augmentation
from seg_models.image_reader import file_index, training_dataset
from seg_models.names import build
from utils import checkpoint, devices, runs
from utils.arguments import Role
from utils.checks import check_pairs
from utils.errors import InputError, RunError, Stopped
from utils.files import claim
from utils.lists import Pair, read_list
from utils.train import class_weights, flags
from utils.train.optimizers import REVERSED_SLOTS, TrainingState
from utils.train.run_folder import RunFolder, RunLog
from utils.train.step import make_step
from utils.train.validation import ValidationHistory, Validator

# The default lock is one between processes, for which Python starts a helper process. Only this process draws bars.
tqdm.set_lock(threading.RLock())


class Run(NamedTuple):
  """Everything that the functions of the loop work on."""

  args: argparse.Namespace
  strategy: tf.distribute.Strategy
  state: TrainingState
  pairs: list[Pair]
  folder: RunFolder
  log: RunLog
  validator: Validator | None
  history: ValidationHistory
  stop: StopRequest


def train(args, make_objective) -> None:
  """Runs a training script: `args` from flags.parse, `make_objective(args, class_weights)` as `from_flags`."""
  pairs = read_list(args.data_list, args.data_dir, need_label=True)
  val_pairs = read_list(args.val_list, args.data_dir, need_label=True) if args.val_list else []
  weights = class_weights.of_run(args, *check_pairs(pairs, args.num_classes, args.ignore_label))
  check_pairs(val_pairs, args.num_classes, args.ignore_label)
  strategy = devices.choose(args, flags.names(Role.DECISIVE | Role.WORKERS))
  if args.deterministic:
    tf.config.experimental.enable_op_determinism()
  try:
    train_on(strategy, args, lambda: make_objective(args, weights), pairs, val_pairs)
  except tf.errors.OpError as e:
    raise run_error(e, strategy, args.snapshot_dir) from None


def train_on(strategy, args, make_objective, pairs, val_pairs) -> None:
  """Builds the model and the objective, sets their initial values, and trains them."""
  with strategy.scope(), devices.not_silent(strategy, compiles=True):
    model = build_model(args, args.num_classes)
    model.set_batch_norm_decay(args.batch_norm_decay)
    objective = make_objective()
    state = TrainingState(model, objective, args)
  devices.apply(model, args.precision)
  chief = devices.worker(strategy)[0] == 0
  with claim(args.snapshot_dir, 'lock') if chief else contextlib.nullcontext():
    folder, history = RunFolder(args, objective, chief), ValidationHistory()
    origin = set_initial_values(state, history, folder, args)
    if folder.writes:
      print(*flags.warnings(args), flags.described(args), sep='\n')
      print(origin)
      print(devices.described(args.precision))
      if objective.options.class_weights:
        print(class_weights.described(objective.options.class_weights, folder.classes.names))
    weights = digest(model)
    check_equal_starts(strategy, folder, weights, objective.options.class_weights)
    folder.begin(f'CRC {weights:08x}')
    log = RunLog(folder, args, objective, history.last, quiet=not folder.writes)
    validator = Validator(strategy, model, val_pairs, args) if val_pairs else None
    try:
      with StopRequest() as stop, devices.exit_together(strategy):
        loop(Run(args, strategy, state, pairs, folder, log, validator, history, stop))
    finally:
      log.close()


def build_model(args, num_classes: int):
  """The network that the flags ask for, with initial weights."""
  return build(args.model, args.backbone, num_classes, args.random_seed, args.output_stride, args.aux_weight > 0)


def check_equal_starts(strategy, folder, weights: int, class_weights) -> None:
  """Raises InputError unless all workers start alike: at the same step (all must see the same snapshot folder), from
  the same weights (each keeps a copy, and no step would make them equal), and with the same class weights."""
  own = folder.start, weights, zlib.crc32(repr(class_weights).encode())
  faults = (
    f'--snapshot-dir {folder.folder}: the workers would start at different steps; give one that all machines share',
    '--restore-from: the workers start from different weights; give all of them the same checkpoint',
    '--class-weights: the workers have different ones; give all of them the same file or labels',
  )
  for fault, *of_workers in zip(faults, *devices.of_all_workers(strategy, own), strict=True):
    if len(set(of_workers)) > 1:
      raise InputError(f'{fault} (theirs: {of_workers})')


def loop(run: Run) -> None:
  """Returns after the last step.

  Raises:
    Stopped: after a signal, once the step is finished and saved.
    RunError: a loss or a variable is not finite; the data cannot be read any more.
  """
  args, folder, log = run.args, run.folder, run.log
  batches, step = batches_of(run), make_step(run.strategy, run.state, args)
  save_time, saved = time.monotonic(), folder.resumed
  if folder.resumed:
    saved = finish_step(run)
  for s in range(folder.start, args.num_steps):
    if has_stalled(run):
      break
    log.profile(s)
    begun = time.monotonic()
    with saved_on_failure(run, s - 1):
      batch = next_batches(batches, s, run)
    waited = time.monotonic() - begun
    number = tf.constant(np.int32(s))  # of a Python number TensorFlow would keep the tensor for ever
    with devices.not_silent(run.strategy, compiles=s == folder.start):
      metrics = {name: float(value) for name, value in step(batch, number).items()}
    log.step(s, metrics, time.monotonic() - begun, waited)
    check_losses(s, metrics, run)
    if folder.writes and s % args.update_tb_every == 0:
      log.pictures(s, run.state.model, [run.strategy.experimental_local_results(x)[0] for x in batch[0]])
    with saved_on_failure(run, s):
      best = validate(run, s)
    signum = stop_signal(run)
    due = best or signum or s == args.num_steps - 1 or (s > 0 and s % args.save_pred_every == 0)
    if due or has_stalled(run) or (args.save_minutes and time.monotonic() - save_time > 60 * args.save_minutes):
      save_time, saved = time.monotonic(), save(run, s)
    stop_after(s, signum, saved, run)
  log.summary(saved, run.history, stopped_early=has_stalled(run) and run.history.last < args.num_steps - 1)


def finish_step(run: Run) -> str:
  """Does what is still due after the step of checkpoint `folder.resumed`: tidying up and validation. A run that was
  stopped between the checkpoint and its validation has left both. Returns the checkpoint."""
  folder, s = run.folder, run.folder.start - 1
  if folder.writes:
    folder.tidy(run.history)
  if validate(run, s):
    save(run, s)
  stop_after(s, stop_signal(run), folder.resumed, run)
  return folder.resumed


def validate(run: Run, s: int) -> bool:
  """Validates the model after step s if that is due; True if it is the best so far.

  A validation that a signal cuts off is done when the run goes on.
  """
  due = s == run.args.num_steps - 1 or (s > 0 and s % run.args.val_every == 0)
  if not (run.validator and due) or run.history.last == s:
    return False
  begun = time.monotonic()
  with run.state.averages.in_use() if run.state.averages else contextlib.nullcontext():
    found = run.validator(run.stop)
  if found is None:
    return False
  if run.folder.writes:
    run.log.validation(s, found, time.monotonic() - begun)
  return run.history.add(s, found.miou)


def has_stalled(run: Run) -> bool:
  """Whether as many validations as --early-stop says have brought no gain. The history alone decides, so a run that
  has stopped for this does not go on when it is resumed, unless with a larger number."""
  patience = run.args.early_stop
  return bool(patience) and run.history.without_gain(run.args.val_every) >= patience


def save(run: Run, s: int) -> str:
  """Writes checkpoint s, on the worker that writes, and returns its prefix."""
  prefix = runs.path_of(run.folder.folder, s)
  if run.folder.writes:
    tensors = {name: np.asarray(v) for name, v in run.state.saved().items()}
    check_variables(s, tensors, run)
    checkpoint.save(prefix, {**tensors, **run.history.saved()})
    run.folder.tidy(run.history)
  return prefix


@contextlib.contextmanager
def saved_on_failure(run: Run, s: int):
  """Saves checkpoint s if files that cannot be read any more end the run here, so that none of its steps is lost."""
  try:
    yield
  except RunError:
    if s >= run.folder.start and s not in runs.steps_in(run.folder.folder):
      save(run, s)
    raise


def stop_after(s: int, signum: int, saved: str, run: Run) -> None:
  """Raises Stopped if a signal asked for it and step s, saved as `saved`, is not the last."""
  if signum and s < run.args.num_steps - 1:
    name = 'Ctrl-C' if signum == signal.SIGINT else 'SIGTERM'
    raise Stopped(f'stopped by {name} after step {s}; saved {saved}; go on with --resume', signum)


def stop_signal(run: Run) -> int:
  """The signal that asks this run to stop, on whichever worker it arrived; 0 for none."""
  return max(devices.of_all_workers(run.strategy, run.stop.signum))


def batches_of(run):
  """An endless iterator of this worker's batches (images, labels), replica by replica, from step `folder.start` on."""
  args, replicas = run.args, run.strategy.num_replicas_in_sync
  examples = training_dataset(
    run.pairs,
    args.batch_size,
    args.input_size,
    args.ignore_label,
    args.random_seed,
    Augmentation.from_flags(args),
    run.folder.start * args.iter_size,
    devices.worker(run.strategy),
  )
  return iter(examples.batch(args.batch_size // replicas, drop_remainder=True).prefetch(2 * replicas))


def next_batches(batches, s: int, run) -> list:
  """The --iter-size global batches of step s, this worker's part of each."""
  try:
    deal = run.strategy.experimental_distribute_values_from_function
    return [deal(lambda replica: next(batches)) for _ in range(run.args.iter_size)]
  except tf.errors.OpError as e:
    fault = short_message(e)
  try:  # which pair cannot be decoded: the start checked headers and ends only
    check_pairs(run.pairs, run.args.num_classes, run.args.ignore_label, thorough=True)
  except InputError as e:
    fault = e
  raise RunError(f'step {s}: {fault}; go on with --resume once it is mended')


def set_initial_values(state, history, folder, args) -> str:
  """Sets the variables from the run's own checkpoint, else from --restore-from, else leaves them as initialised. An
  auxiliary head that the checkpoint of --restore-from lacks is left as initialised.

  Returns a line for the log that says which.

  Raises:
    InputError: the checkpoint lacks a variable, or holds it in another shape.
  """
  model = state.model
  if folder.resumed:
    variables = state.saved()
    held = checkpoint.Reader(folder.resumed).shapes
    has_training_state = any(name.startswith(checkpoint.STATE) for name in held)
    if not has_training_state:  # a checkpoint of the 2018 code: the variables and their momentum alone
      variables = {name: variable for name, variable in variables.items() if not name.startswith(checkpoint.STATE)}
    to_turn = REVERSED_SLOTS in variables and REVERSED_SLOTS not in held
    if to_turn:
      del variables[REVERSED_SLOTS]
    checkpoint.restore(folder.resumed, variables, 'it belongs to another run; name another --snapshot-dir')
    if to_turn:
      state.turn_slots()
    if has_training_state:
      history.restore(folder.resumed)
    source = f'all {len(variables)} variables from {folder.resumed}, going on at step {folder.start}'
  elif args.restore_from:
    held = checkpoint.Reader(args.restore_from).shapes
    ema = any(name.endswith(checkpoint.AVERAGE) for name in held)  # they were validated, not the weights
    left_out = checkpoint.by_name(model.auxiliary_variables).keys() - held.keys()
    left_out |= shaped_by_classes(model, args) if args.not_restore_logits else set()
    left_out |= checkpoint.by_name(model.head_variables).keys() if args.not_restore_classifier else set()
    variables = {name: v for name, v in checkpoint.by_name(model.variables).items() if name not in left_out}
    advice = f'check --backbone {args.backbone}; for the head check --model and --num-classes, or leave its layers to '
    advice += 'classes as initialised by --not-restore-logits, all of it by --not-restore-classifier'
    checkpoint.restore(args.restore_from, variables, advice, ema)
    kind, rest = 'averages of weights' if ema else 'variables', len(state.saved()) - len(variables)
    source = f'{len(variables)} {kind} from {args.restore_from}, the other {rest} (momentum included) as initialised'
  else:
    source = f'all {len(state.saved())} variables as initialised (seed {args.random_seed})'
  if state.averages and not folder.resumed:
    state.averages.begin()
  return f'start (own checkpoint, else --restore-from, else initial weights): {source}'


def shaped_by_classes(model, args) -> set[str]:
  """The names of the variables whose shapes depend on the number of classes. A model of one class more has them in
  other shapes; it is described in a graph that never runs, so it takes no memory."""
  with tf.Graph().as_default():
    other = build_model(args, args.num_classes + 1)
    shapes = {name: v.shape for name, v in checkpoint.by_name(other.variables).items()}
  return {name for name, v in checkpoint.by_name(model.variables).items() if v.shape != shapes[name]}


def digest(model) -> int:
  """A checksum of the model's variables, without an auxiliary head: runs with and without one have equal starts."""
  crc, auxiliary = 0, {id(v) for v in model.auxiliary_variables}
  for name, variable in sorted(checkpoint.by_name(v for v in model.variables if id(v) not in auxiliary).items()):
    crc = zlib.crc32(np.asarray(variable).tobytes(), zlib.crc32(name.encode(), crc))
  return crc


DISK_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]


LOST_WORKER = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.DeadlineExceededError,
  tf.errors.InternalError,
)


def run_error(error, strategy, folder: str) -> RunError:
  """The error for a user whose run has `folder` for its snapshots: one line with the cause and the advice."""
  reason = short_message(error)
  if devices.is_multi_worker(strategy) and isinstance(error, LOST_WORKER):
    return RunError(
      f'another worker has died or cannot be reached; the checkpoints in {folder} are whole: start all workers '
      f'again with --resume ({reason})'
    )
  if any(words in reason for words in DISK_FULL):
    return RunError(f'{folder}: no room there; its checkpoints are whole, go on with --resume ({reason})')
  if isinstance(error, tf.errors.ResourceExhaustedError):
    return RunError(f'out of memory; give a smaller --batch-size (and a larger --iter-size) or --input-size ({reason})')
  if isinstance(error, tf.errors.UnimplementedError):
    return RunError(f'TensorFlow cannot compute this here; leave --deterministic out if you gave it ({reason})')
  return RunError(f'TensorFlow failed; go on with --resume once the cause is gone ({reason})')


def short_message(error: tf.errors.OpError) -> str:
  """TensorFlow's message in one line, without names of operations and places in the code."""
  text = str(error).split('Traceback (most recent call last)')[0]  # of Python that read a file
  lines = [line for line in text.splitlines() if not re.match(r'Graph execution|Detected at node|  File "', line)]
  return ' '.join(re.sub(r'\[\[.*?]]|\[Op:.*?]|{{.*?}}', '', ' '.join(lines)).split())[:300]


def check_losses(s: int, metrics: dict, run) -> None:
  """Raises RunError (see `fail_as_not_finite`) if a loss of step s is not finite; its update has not been made then."""
  if bad := [f'{name} {value}' for name, value in metrics.items() if not np.isfinite(value)]:
    fail_as_not_finite(s, f'the loss is not finite ({bad[0]}); update not made', run.state.saved(), run)


def check_variables(s: int, tensors: dict, run) -> None:
  """Raises RunError (see `fail_as_not_finite`) if a variable is not finite after step s: a gradient overflowed."""
  if bad := [name for name, array in tensors.items() if not np.all(np.isfinite(array))]:
    more = f' and {len(bad) - 1} more' if len(bad) > 1 else ''
    fail_as_not_finite(s, f'{bad[0]}{more} is not finite after the update', tensors, run)


def fail_as_not_finite(s: int, what: str, tensors: dict, run) -> None:
  """Saves the state in a folder of its own, names the files of the step, and raises RunError."""
  args, pairs, folder = run.args, run.pairs, run.folder
  first = s * args.iter_size * args.batch_size
  positions = range(first, first + args.iter_size * args.batch_size)
  files = [pairs[int(file_index(p, len(pairs), args.random_seed))].image for p in positions]
  where = runs.path_of(folder.path('nonfinite'), s)
  if folder.writes:
    checkpoint.save(where, tensors)
  tqdm.write(f'files of step {s}: ' + ' '.join(files))
  raise RunError(
    f'step {s}: {what}; state kept in {where}; files: {", ".join(files[:8])}{" ..." if len(files) > 8 else ""}; '
    'start again with a lower --learning-rate or with --clip-norm'
  )


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
  """A context in which the first SIGINT or SIGTERM only sets `signum`, so that the step can be finished and saved; a
  second one ends the process at once.

  Python runs signal handlers between two of its own instructions, and a training step is one long call into
  TensorFlow. So the signals are read from the pipe that the system's handler writes to, by a thread.
  """

  def __init__(self):
    self.signum = 0

  def __enter__(self):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    self._writer = writer
    self._thread = threading.Thread(target=self._listen, args=(reader,), daemon=True)
    self._thread.start()
    self._wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    self._before = {s: signal.signal(s, lambda signum, frame: None) for s in SIGNALS}
    return self

  def __exit__(self, *exception):
    for signum, handler in self._before.items():
      signal.signal(signum, handler)
    signal.set_wakeup_fd(self._wakeup)
    os.close(self._writer)
    self._thread.join()

  def _listen(self, reader):
    with open(reader, 'rb', buffering=0) as pipe:
      while byte := pipe.read(1):  # empty once the writer is closed
        if byte[0] in SIGNALS:
          if self.signum:
            os._exit(128 + byte[0])
          self.signum = byte[0]
