"""--shard: which part of the images a process predicts. Loads no TensorFlow."""

import argparse
import os

# The variables of a task in a job array of Slurm and of Grid Engine: its number, the first number, the step between
# numbers, and how many there are or the last number. PBS and Kubernetes do not say how many.
SCHEDULERS = (
  ('SLURM_ARRAY_TASK_ID', 'SLURM_ARRAY_TASK_MIN', 'SLURM_ARRAY_TASK_STEP', 'SLURM_ARRAY_TASK_COUNT'),
  ('SGE_TASK_ID', 'SGE_TASK_FIRST', 'SGE_TASK_STEPSIZE', 'SGE_TASK_LAST'),
)


def shard(text: str) -> tuple[int, int]:
  """An argparse type: `I/N` or `auto` -> (I, N), I from 1 to N."""
  if text == 'auto':
    return shard_of_job_array(os.environ)
  try:
    part, parts = (int(number) for number in text.split('/'))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not I/N, for example 1/4, nor auto') from None
  if not 1 <= part <= parts:
    raise argparse.ArgumentTypeError(f'{text!r}: I must be from 1 to N')
  return part, parts


def shard_of_job_array(environment) -> tuple[int, int]:
  """(I, N) of the job array's task that this process is.

  Raises:
    ArgumentTypeError: it is no task of an array of Slurm or Grid Engine, or one with gaps between its numbers.
  """
  for names in SCHEDULERS:
    values = [environment.get(name, 'undefined') for name in names]  # Grid Engine's word outside an array
    if values[0] != 'undefined':
      break
  else:
    raise argparse.ArgumentTypeError(
      'auto: neither SLURM_ARRAY_TASK_ID nor SGE_TASK_ID is set, so this is no task of a job array; give I/N'
    )
  shown = ', '.join(f'{name}={value}' for name, value in zip(names, values, strict=True))
  try:
    task, first, step, end = (int(value) for value in values)
    parts = end if names[3].endswith('COUNT') else (end - first) // step + 1
    part, remainder = divmod(task - first, step)
  except (ValueError, ZeroDivisionError):
    raise argparse.ArgumentTypeError(f'auto: {shown} do not describe a job array; give I/N') from None
  if remainder or not 0 <= part < parts:
    raise argparse.ArgumentTypeError(f'auto: {shown}: the numbers of the array have gaps; give I/N')
  return part + 1, parts
