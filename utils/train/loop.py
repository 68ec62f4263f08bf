"""The training run, from the flags to the last checkpoint.

Update s is followed, where it is due, by validation and checkpoint s. Everything that a step sees, data included, is a
function of the flags and s, so a run resumed at s + 1 is the unbroken run.
"""

import argparse
import contextlib
import signal
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seg_models.models import build
from utils.data.check import check_pairs
from utils.engine import checkpoint, distribute, precision
from utils.errors import InputError, RunError, Stopped
from utils.list_file import Pair, read_list
from utils.optim.state import TrainingState
from utils.optim.step import make_step
from utils.train import class_weights, flags, nonfinite
from utils.train.batches import batches_of, next_batches
from utils.train.failures import run_error
from utils.train.initial_values import digest, set_initial_values
from utils.train.run_folder import RunFolder
from utils.train.run_log import RunLog
from utils.train.stop_request import StopRequest
from utils.train.validation import ValidationHistory, Validator


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
  """Runs a training script: `args` from train_flags.parse, `make_objective(args, class_weights)` as `from_flags`."""
  pairs = read_list(args.data_list, args.data_dir, need_label=True)
  val_pairs = read_list(args.val_list, args.data_dir, need_label=True) if args.val_list else []
  check_pairs(pairs + val_pairs, args.num_classes, args.ignore_label)
  weights = class_weights.of_run(args, pairs)
  strategy = distribute.choose(args, vars(args).keys() - flags.MAY_CHANGE)
  if args.deterministic:
    tf.config.experimental.enable_op_determinism()
  try:
    train_on(strategy, args, lambda: make_objective(args, weights), pairs, val_pairs)
  except tf.errors.OpError as e:
    raise run_error(e, strategy, args.snapshot_dir) from None


def train_on(strategy, args, make_objective, pairs, val_pairs) -> None:
  """Builds the model and the objective, sets their initial values, and trains them."""
  with strategy.scope():
    auxiliary = args.aux_weight > 0
    model = build(args.model, args.backbone, args.num_classes, args.random_seed, args.output_stride, auxiliary)
    model.set_batch_norm_decay(args.batch_norm_decay)
    objective = make_objective()
    state = TrainingState.of_flags(model, objective, args)
  precision.apply(model, args.precision)
  with RunFolder(args, objective, chief=distribute.is_chief(strategy)) as folder:
    if folder.writes:
      print(*(f'{key}: {value}' for key, value in sorted(vars(args).items())), sep='\n')
    history = ValidationHistory()
    origin = set_initial_values(state, history, folder, args)
    if folder.writes:
      print(origin)
      print(precision.described(args.precision))
      if objective.options.class_weights:
        print(class_weights.described(objective.options.class_weights))
    check_equal_starts(strategy, folder)
    folder.begin(lambda: digest(model))
    log = RunLog(folder, args, objective, history.last, quiet=not folder.writes)
    validator = Validator(strategy, model, val_pairs, args) if val_pairs else None
    try:
      with StopRequest() as stop, distribute.exit_together(strategy):
        loop(Run(args, strategy, state, pairs, folder, log, validator, history, stop))
    finally:
      log.close()


def check_equal_starts(strategy, folder) -> None:
  """Checks that all workers start at the same step; they do not if each sees a snapshot folder of its own."""
  starts = distribute.of_all_workers(strategy, folder.start)
  if len(set(starts)) > 1:
    raise InputError(
      f'--snapshot-dir {folder.folder}: the workers would start at steps {starts}; it must be a folder that all '
      'machines share'
    )


def loop(run: Run) -> None:
  """Returns after the last step.

  Raises:
    Stopped: after a signal, once the step is finished and saved.
    RunError: a loss or a variable is not finite; the data cannot be read any more.
  """
  args, folder, log = run.args, run.folder, run.log
  batches, step = batches_of(run), make_step(run.strategy, run.state, args)
  last_save, saved = time.time(), folder.resumed
  if folder.resumed:
    saved = finish_step(run)
  for s in range(folder.start, args.num_steps):
    if has_stalled(run):
      log.stopped_early(run.history.last, run.history.best_step)
      break
    log.profile(s)
    begun = time.time()
    with saved_on_failure(run, s - 1):
      batch = next_batches(batches, s, run)
    waited = time.time() - begun
    number = tf.constant(np.int32(s))  # of a Python number TensorFlow would keep the tensor for ever
    metrics = {name: float(value) for name, value in step(batch, number).items()}
    log.step(s, metrics, time.time() - begun, waited)
    nonfinite.check_losses(s, metrics, run)
    if folder.writes and s % args.update_tb_every == 0:
      log.pictures(s, run.state.model, [run.strategy.experimental_local_results(x)[0] for x in batch[0]])
    with saved_on_failure(run, s):
      best = validate(run, s)
    signum = stop_signal(run)
    due = best or signum or s == args.num_steps - 1 or (s > 0 and s % args.save_pred_every == 0)
    if due or has_stalled(run) or (args.save_minutes and time.time() - last_save > 60 * args.save_minutes):
      last_save, saved = time.time(), save(run, s)
    stop_after(s, signum, saved, run)
  log.summary(last_checkpoint=saved, **run.history.summary(folder))


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
  begun = time.time()
  with run.state.averages.in_use() if run.state.averages else contextlib.nullcontext():
    scores = run.validator(run.stop)
  if scores is None:
    return False
  if run.folder.writes:
    run.log.validation(s, *scores, time.time() - begun)
  return run.history.add(s, scores[0])


def has_stalled(run: Run) -> bool:
  """Whether as many validations as --early-stop says have brought no gain. The history alone decides, so a run that
  has stopped for this does not go on when it is resumed, unless with a larger number."""
  patience = run.args.early_stop
  return bool(patience) and run.history.without_gain(run.args.val_every) >= patience


def save(run: Run, s: int) -> str:
  """Writes checkpoint s, on the worker that writes, and returns its prefix."""
  if not run.folder.writes:
    return checkpoint.path_of(run.folder.folder, s)
  tensors = nonfinite.arrays(run.state.saved())
  nonfinite.check_variables(s, tensors, run)
  return run.folder.save(s, {**tensors, **run.history.saved()}, run.history)


@contextlib.contextmanager
def saved_on_failure(run: Run, s: int):
  """Saves checkpoint s if files that cannot be read any more end the run here, so that none of its steps is lost."""
  try:
    yield
  except RunError:
    if s >= run.folder.start and s not in checkpoint.steps_in(run.folder.folder):
      save(run, s)
    raise


def stop_after(s: int, signum: int, saved: str, run: Run) -> None:
  """Raises Stopped if a signal asked for it and step s, saved as `saved`, is not the last."""
  if signum and s < run.args.num_steps - 1:
    name = 'Ctrl-C' if signum == signal.SIGINT else 'SIGTERM'
    raise Stopped(f'stopped by {name} after step {s}; saved {saved}; go on with --resume', signum)


def stop_signal(run: Run) -> int:
  """The signal that asks this run to stop, on whichever worker it arrived; 0 for none."""
  return max(distribute.of_all_workers(run.strategy, run.stop.signum))
