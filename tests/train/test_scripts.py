"""Each training script takes a step, and its flags reach the run. (`tests/test_recipes.py` trains real networks.)"""

import json

import numpy as np
import pytest

from tests import tiny
from tests.tiny import CLASSES, last_checkpoint, train

data = tiny.data


@pytest.mark.parametrize(
  ('script', 'model', 'objective', 'sizes'),
  [
    ('train', {'model': 'pspnet', 'input_size': '48,48'}, 'CrossEntropy', None),
    ('train_affinity', {'model': 'deeplab', 'input_size': '40,32'}, 'Affinity', [1]),
    ('train_aaf', {'model': 'deeplabv3plus', 'input_size': '48,32', 'kld_sizes': '1,2'}, 'AdaptiveAffinity', [1, 2]),
  ],
)
def test_one_step(data, tmp_path, script, model, objective, sizes):
  train(data, tmp_path, script, num_steps=1, val_list=data / 'list.txt', **model)
  got, config = last_checkpoint(tmp_path), json.loads((tmp_path / 'config').read_text())
  assert (config['objective'], config.get('kld_sizes')) == (objective, sizes)
  moved = [name for name in got if name.endswith('/Momentum') and np.any(got[name])]
  assert len(moved) == sum(name.endswith('/Momentum') for name in got)
  assert all(np.all(np.isfinite(value)) for name, value in got.items() if name != 'training/best_miou')
  if script == 'train_aaf':
    for weights in (got['edge_w'], got['nonedge_w']):
      assert np.any(weights) and weights.shape == (1, 1, 1, CLASSES, 1, 2)
