"""The training run, from the flags to the last checkpoint.

Update s is followed, where it is due, by validation and checkpoint s. Everything that a step sees, data included, is a
function of the flags and s, so a run resumed at s + 1 is the unbroken run.
"""

import os
import signal
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models.image_reader import file_index, training_dataset
from seg_models.models import build
from utils import checkpoint, distribute, precision
from utils.check_data import check_pairs
from utils.errors import InputError, RunError, Stopped, one_line
from utils.general import read_list
from utils.run_folder import RunFolder, StopRequest
from utils.run_log import RunLog
from utils.start import Validations, initial_state
from utils.training import Trainee, make_step
from utils.validation import Validator

LOST_WORKER = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.DeadlineExceededError,
  tf.errors.InternalError,
)


def train(args, make_objective) -> None:
  """Runs a training script: `args` from train_flags.parse, `make_objective()` from utils.objectives."""
  pairs = read_list(args.data_list, args.data_dir, need_label=True)
  val_pairs = read_list(args.val_list, args.data_dir, need_label=True) if args.val_list else []
  check_pairs(pairs + val_pairs, args.num_classes, args.ignore_label)
  strategy = distribute.choose(args)
  precision.check(args.precision)
  if args.deterministic:
    tf.config.experimental.enable_op_determinism()
  with strategy.scope():
    model = build(args.model, args.backbone, args.num_classes, args.random_seed)
    objective = make_objective()
    trainee = Trainee(model, objective, args.weight_decay, args.use_global_status)
  precision.apply(model, args.precision)
  with RunFolder(args, type(objective).__name__, chief=distribute.is_chief(strategy)) as folder:
    if folder.writes:
      print(*(f'{key}: {value}' for key, value in sorted(vars(args).items())), sep='\n')
    validations = Validations()
    said = initial_state(trainee, validations, folder, args)
    if folder.writes:
      print(said)
    agree_on_start(strategy, folder)
    log = RunLog(folder, args, objective, quiet=not folder.writes)
    validator = Validator(strategy, model, val_pairs, args) if val_pairs else None
    try:
      with StopRequest() as stop:
        run(strategy, trainee, pairs, folder, log, validator, validations, stop, args)
    except tf.errors.OpError as e:
      raise fault(e, strategy, folder) from None
    finally:
      log.close()


def fault(error, strategy, folder) -> RunError:
  """What to say when TensorFlow fails in the middle of a run."""
  reason = one_line(error)[:300]
  if distribute.is_multi_worker(strategy) and isinstance(error, LOST_WORKER):
    return RunError(
      f'another worker has died or cannot be reached; the checkpoints in {folder.folder} are whole: start all workers '
      f'again with --resume ({reason})'
    )
  if isinstance(error, tf.errors.ResourceExhaustedError):
    return RunError(f'out of memory; give a smaller --batch-size (and a larger --iter-size) or --input-size ({reason})')
  return RunError(f'TensorFlow failed; go on with --resume once the cause is gone ({reason})')


def agree_on_start(strategy, folder) -> None:
  """Every worker must go on from the same step: the snapshot folder is one that all machines share."""
  rank, workers = distribute.worker(strategy)
  starts = distribute.sum_over_workers(strategy, np.eye(workers)[rank] * folder.start)
  if workers > 1 and len(set(starts)) > 1:
    raise InputError(
      f'--snapshot-dir {folder.folder}: worker {rank} would start at step {folder.start} and the others at '
      f'{sorted(map(int, starts))}; it must be a folder that all machines share'
    )


def batches_of(strategy, pairs, folder, args):
  """An endless iterator of global batches (images, labels), from step `folder.start` on."""

  def dataset(context):
    share = (context.input_pipeline_id, context.num_input_pipelines)
    examples = training_dataset(
      pairs,
      args.batch_size,
      args.input_size,
      args.ignore_label,
      args.random_seed,
      args.random_scale,
      args.random_mirror,
      args.random_crop,
      folder.start * args.iter_size,
      share,
    )
    return examples.batch(args.batch_size // context.num_replicas_in_sync, drop_remainder=True).prefetch(2)

  return iter(strategy.distribute_datasets_from_function(dataset))


def run(strategy, trainee, pairs, folder, log, validator, validations, stop, args) -> None:
  """The loop. Returns after the last step.

  Raises:
    Stopped: after a signal, once the step is finished and saved.
    RunError: a loss or a variable is not finite; the data cannot be read any more.
  """
  batches = batches_of(strategy, pairs, folder, args)
  step = make_step(strategy, trainee, args)
  last_save, prefix = time.time(), folder.resumed
  last = args.num_steps - 1

  def validate(s):
    """True if the model after step s is the best so far. A validation that a signal cuts off is left to --resume."""
    if not validator or not (s == last or (s > 0 and s % args.val_every == 0)) or validations.last == s:
      return False
    begun = time.time()
    scores = validator(stop)
    if scores is None:
      return False
    if folder.writes:
      log.validation(s, *scores, time.time() - begun)
    return validations.add(s, scores[0])

  def save(s):
    tensors = {**trainee.saved(), **validations.saved()}
    return folder.save(s, tensors, (validations.best_step, validations.best_miou))

  if folder.resumed and validate(folder.start - 1) and folder.writes:
    prefix = save(folder.start - 1)
  for s in range(folder.start, args.num_steps):
    log.profile(s)
    begun = time.time()
    batch = next_batches(batches, s, args)
    waited = time.time() - begun
    metrics = {name: float(value) for name, value in step(batch, tf.constant(s)).items()}
    log.step(s, metrics, time.time() - begun, waited)
    if not np.isfinite(metrics['loss']):
      stop_at_nonfinite(s, metrics, trainee, pairs, folder, args)
    if folder.writes and s % args.update_tb_every == 0:
      log.pictures(s, trainee.model, [strategy.experimental_local_results(x)[0] for x in batch[0]])
    due = validate(s)
    signum = stop_signal(strategy, stop)
    due |= s == last or (s > 0 and s % args.save_pred_every == 0) or bool(signum)
    due |= bool(args.save_minutes) and time.time() - last_save > 60 * args.save_minutes
    if due and folder.writes:
      prefix = save(s)
      last_save = time.time()
    if signum and s < last:
      name = 'Ctrl-C' if signum == signal.SIGINT else 'SIGTERM'
      raise Stopped(f'stopped by {name} after step {s}; saved {prefix}; go on with --resume', signum)
  best = validations.best_step
  log.summary(
    last_checkpoint=prefix,
    best_checkpoint=checkpoint.path_of(folder.folder, best) if best >= 0 else None,
    best_miou=round(validations.best_miou, 6) if best >= 0 else None,
  )


def next_batches(batches, s: int, args) -> list:
  """The --iter-size global batches of step s."""
  try:
    return [next(batches) for _ in range(args.iter_size)]
  except tf.errors.OpError as e:
    raise RunError(
      f'step {s}: an image or label that was there at the start cannot be read any more; mend it and go on with '
      f'--resume ({one_line(e)[:400]})'
    ) from None


def stop_signal(strategy, stop) -> int:
  """The signal that asks this run to stop, on whichever worker it came in; 0 for none."""
  rank, workers = distribute.worker(strategy)
  return int(max(distribute.sum_over_workers(strategy, np.eye(workers)[rank] * stop.signum)))


def stop_at_nonfinite(s: int, metrics, trainee, pairs, folder, args) -> None:
  """Names the step, the losses and the batch's files, saves the state in a folder of its own, and raises RunError."""
  first = s * args.iter_size * args.batch_size
  positions = range(first, first + args.iter_size * args.batch_size)
  files = [pairs[int(file_index(p, len(pairs), args.random_seed))].image for p in positions]
  terms = ', '.join(f'{name} {value}' for name, value in metrics.items() if not np.isfinite(value) and name != 'loss')
  where = os.path.join(folder.folder, 'nonfinite', f'{checkpoint.PREFIX}-{s}')
  if folder.writes:
    checkpoint.save(where, trainee.saved())
  tqdm.write(f'files of step {s}: ' + ' '.join(files))
  raise RunError(
    f'step {s}: the loss is not finite ({terms}); update not made, weights kept in {where}; files: '
    f'{", ".join(files[:8])}{" ..." if len(files) > 8 else ""}; start again with a lower --learning-rate or --clip-norm'
  )
