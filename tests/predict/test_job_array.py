"""--shard auto: which part the task of a job array predicts."""

import argparse

import pytest

from utils.predict.job_array import shard_of_job_array


def slurm(task, first, step, last, count):
  names = ('TASK_ID', 'TASK_MIN', 'TASK_STEP', 'TASK_MAX', 'TASK_COUNT')
  values = (task, first, step, last, count)
  return {f'SLURM_ARRAY_{name}': str(value) for name, value in zip(names, values, strict=True)}


def grid_engine(task, first, step, last):
  names = ('ID', 'FIRST', 'STEPSIZE', 'LAST')
  return {f'SGE_TASK_{name}': str(value) for name, value in zip(names, (task, first, step, last), strict=True)}


@pytest.mark.parametrize('numbers', [range(8), range(1, 9), range(3, 4), range(5, 20, 7), range(0, 10, 3)])
def test_tasks_of_an_array_are_its_parts(numbers):
  """Every part once, whatever number the array starts at and whatever the step."""
  parts = [(i, len(numbers)) for i in range(1, len(numbers) + 1)]
  first, step, last = numbers.start, numbers.step, numbers[-1]
  assert [shard_of_job_array(slurm(n, first, step, last, len(numbers))) for n in numbers] == parts
  assert [shard_of_job_array(grid_engine(n, first, step, last)) for n in numbers] == parts


@pytest.mark.parametrize(
  ('environment', 'words'),
  [
    ({}, 'neither SLURM_ARRAY_TASK_ID nor SGE_TASK_ID is set'),
    ({'SLURM_JOB_ID': '7', 'PBS_ARRAY_INDEX': '1', 'SGE_TASK_ID': 'undefined'}, 'give I/N'),
    ({'SLURM_ARRAY_TASK_ID': '3'}, 'SLURM_ARRAY_TASK_MAX=undefined'),
    (slurm(3, 1, 1, 7, 3), 'SLURM_ARRAY_TASK_ID=3.*gaps'),  # --array=1,3,7
    (slurm(2, 1, 2, 5, 3), 'gaps'),
    (slurm(9, 1, 1, 5, 5), 'gaps'),
    (grid_engine(1, 1, 0, 3), 'SGE_TASK_STEPSIZE=0'),
  ],
)
def test_what_is_no_array_is_refused(environment, words):
  with pytest.raises(argparse.ArgumentTypeError, match=words):
    shard_of_job_array(environment)
