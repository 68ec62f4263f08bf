"""The training run, from the flags to the last checkpoint.

Update s is followed, where it is due, by validation and checkpoint s. Everything that a step sees, data included, is a
function of the flags and s, so a run resumed at s + 1 is the unbroken run.
"""

import os
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from seg_models.image_reader import file_index, training_dataset
from seg_models.models import build
from utils import checkpoint, distribute, precision
from utils.check_data import check_pairs
from utils.errors import RunError, Stopped
from utils.general import read_list
from utils.run_folder import RunFolder, StopRequest
from utils.run_log import RunLog
from utils.training import Trainee, make_step
from utils.validation import Validator

WRONG_MODEL = 'check --model, --backbone and --num-classes, or give --not-restore-classifier to leave the head out'


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
    print(*(f'{key}: {value}' for key, value in sorted(vars(args).items())), sep='\n')
    state = initial_state(trainee, folder, args)
    log = RunLog(folder, args, objective, quiet=not folder.writes)
    validator = Validator(model, val_pairs, args) if val_pairs and folder.writes else None
    try:
      with StopRequest() as stop:
        run(strategy, trainee, pairs, folder, log, validator, stop, state, args)
    finally:
      log.close()


def initial_state(trainee, folder, args) -> dict:
  """Sets the variables: from the run's own checkpoint, else from --restore-from, else as initialised; says which.

  Returns the state besides the variables: the best validation so far.
  """
  model, everything = trainee.model, trainee.saved()
  state = {'training/best_step': np.int64(-1), 'training/best_miou': np.float32(-1)}
  if folder.resumed:
    checkpoint.restore(folder.resumed, everything, 'it is of another run; name another --snapshot-dir')
    reader = checkpoint.Reader(folder.resumed)
    state = {name: reader.get(name) for name in state}
    said = f'{len(everything)} of {len(everything)} variables from {folder.resumed}; going on at step {folder.start}'
  elif args.restore_from:
    left_out = {id(v) for v in model.head_variables} if args.not_restore_classifier else set()
    wanted = {checkpoint.name_of(v): v for v in model.variables if id(v) not in left_out}
    checkpoint.restore(args.restore_from, wanted, WRONG_MODEL)
    said = (
      f'{len(wanted)} of {len(model.variables)} model variables from {args.restore_from}, the others as initialised'
    )
  else:
    said = f'{len(model.variables)} model variables as initialised (seed {args.random_seed})'
  print(f'start (own checkpoint, else --restore-from, else initial weights): {said}')
  return state


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


def run(strategy, trainee, pairs, folder, log, validator, stop, state, args) -> None:
  """The loop. Returns after the last step.

  Raises:
    Stopped: after a signal, once the step is finished and saved.
    RunError: a loss is not finite.
  """
  batches = batches_of(strategy, pairs, folder, args)
  step = make_step(strategy, trainee, args)
  last_save, prefix = time.time(), folder.resumed
  last = args.num_steps - 1

  for s in range(folder.start, args.num_steps):
    profile(s, folder, args)
    begun = time.time()
    batch = [next(batches) for _ in range(args.iter_size)]
    waited = time.time() - begun
    metrics = {name: float(value) for name, value in step(batch, tf.constant(s)).items()}
    log.step(s, metrics, time.time() - begun, waited)
    if not np.isfinite(metrics['loss']):
      stop_at_nonfinite(s, metrics, trainee, pairs, folder, args)
    if folder.writes and s % args.update_tb_every == 0:
      log.pictures(s, trainee.model, [strategy.experimental_local_results(x)[0] for x in batch[0]])
    if validator and (s == last or (s > 0 and s % args.val_every == 0)):
      best = validate(s, validator, log, folder, state)
      due = best
    else:
      due = False
    due |= s == last or (s > 0 and s % args.save_pred_every == 0) or bool(stop.signum)
    due |= bool(args.save_minutes) and time.time() - last_save > 60 * args.save_minutes
    if due and folder.writes:
      prefix = folder.save(s, {**trainee.saved(), **state}, int(state['training/best_step']))
      last_save = time.time()
    if stop.signum and s < last:
      name = 'Ctrl-C' if stop.signum == 2 else 'SIGTERM'
      raise Stopped(f'stopped by {name} after step {s}; saved {prefix}; go on with --resume', stop.signum)
  best = int(state['training/best_step'])
  log.summary(
    last_checkpoint=prefix,
    best_checkpoint=checkpoint.path_of(folder.folder, best) if best >= 0 else None,
    best_miou=round(float(state['training/best_miou']), 6) if best >= 0 else None,
  )


def validate(s: int, validator, log, folder, state) -> bool:
  """Scores the model after step s; True if it is the best so far, which `state` then remembers."""
  begun = time.time()
  miou, iou = validator()
  log.validation(s, miou, iou, time.time() - begun)
  if not miou > state['training/best_miou']:
    return False
  state.update({'training/best_step': np.int64(s), 'training/best_miou': np.float32(miou)})
  folder.write_best(s, miou)
  return True


def profile(s: int, folder, args) -> None:
  """Starts and stops TensorBoard's profiler around the steps of --profile-steps."""
  if args.profile_steps and folder.writes:
    first, last = args.profile_steps
    if s == first:
      tf.profiler.experimental.start(folder.folder)
    elif s == last + 1:
      tf.profiler.experimental.stop()


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
    f'{", ".join(files[:8])}{" ..." if len(files) > 8 else ""}; lower --learning-rate or give --clip-norm'
  )
