"""--shard: which part of the images a process predicts. Loads no TensorFlow."""

import argparse
import os

# The variables of a task in a job array of Slurm and of Grid Engine: its number, the first number, the step between
# numbers, the last number. PBS and Kubernetes do not tell a task how many there are.
SCHEDULERS = (
  ('SLURM_ARRAY_TASK_ID', 'SLURM_ARRAY_TASK_MIN', 'SLURM_ARRAY_TASK_STEP', 'SLURM_ARRAY_TASK_MAX'),
  ('SGE_TASK_ID', 'SGE_TASK_FIRST', 'SGE_TASK_STEPSIZE', 'SGE_TASK_LAST'),
)
COUNT = 'SLURM_ARRAY_TASK_COUNT'  # fewer than from first to last where the array has gaps, as --array=1,3,7 has


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
    ArgumentTypeError: it is not a task of an array of Slurm or Grid Engine, or one with gaps between its numbers.
  """
  for names in SCHEDULERS:
    values = [environment.get(name, 'undefined') for name in names]  # Grid Engine's word outside an array
    if values[0] != 'undefined':
      break
  else:
    raise argparse.ArgumentTypeError(
      'auto: neither SLURM_ARRAY_TASK_ID nor SGE_TASK_ID is set, so this is not a task of a job array; give I/N'
    )
  shown = ', '.join(f'{name}={value}' for name, value in zip(names, values, strict=True))
  try:
    task, first, step, last = (int(value) for value in values)
    parts = (last - first) // step + 1
    gaps = (task - first) % step or int(environment.get(COUNT, parts)) != parts
  except (ValueError, ZeroDivisionError):
    raise argparse.ArgumentTypeError(f'auto: {shown} do not describe a job array; give I/N') from None
  if gaps or not first <= task <= last:
    raise argparse.ArgumentTypeError(f'auto: {shown}: the numbers of the array have gaps; give I/N')
  return (task - first) // step + 1, parts
