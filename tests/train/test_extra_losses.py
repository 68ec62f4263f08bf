"""Runs with a loss beside the cross-entropy."""

import csv
import shutil

import numpy as np
import pytest

from network.losses import EXTRA_LOSSES
from tests import tiny
from tests.tiny import assert_same, last_checkpoint, train
from utils.train import flags

data, deterministic = tiny.data, tiny.deterministic


def column(folder, name):
  with open(folder / 'log.csv', newline='') as f:
    return np.array([float(row[name]) for row in csv.DictReader(f)])


def test_flags_name_every_loss():
  assert tuple(EXTRA_LOSSES) == flags.EXTRA_LOSSES


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_each_is_a_term_of_its_own_times_its_weight(data, tmp_path, name):
  flags = {'extra_loss': name, 'num_steps': 2, 'input_size': '64,64', 'precision': 'bfloat16'}
  for weight in (1, 3):
    train(data, tmp_path / str(weight), extra_weight=weight, **flags)
  once, thrice = (column(tmp_path / folder, f'{name}_loss') for folder in '13')
  assert np.all(np.isfinite(once)) and np.all(once != 0)
  np.testing.assert_allclose(thrice[0], 3 * once[0], 1e-5)
  for folder in '13':
    terms = column(tmp_path / folder, f'{name}_loss') + column(tmp_path / folder, 'seg_loss')
    np.testing.assert_allclose(column(tmp_path / folder, 'loss'), terms, 1e-5)


@pytest.mark.usefixtures('deterministic')
def test_a_run_that_goes_on_is_the_unbroken_run(data, tmp_path):
  flags = {'extra_loss': 'abl', 'ohem_threshold': 0.6, 'iter_size': 2, 'deterministic': True}
  train(data, tmp_path / 'unbroken', **flags)
  (tmp_path / 'resumed').mkdir()
  for path in (tmp_path / 'unbroken').glob('model.ckpt-2.*'):
    shutil.copy(path, tmp_path / 'resumed')
  train(data, tmp_path / 'resumed', resume=True, **flags)
  assert_same(*(last_checkpoint(tmp_path / name) for name in ('unbroken', 'resumed')))
