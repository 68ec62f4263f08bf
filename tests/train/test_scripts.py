"""Each training script takes a real step of a real network."""

import json
import shutil

import numpy as np
import pytest

from tests import tiny
from tests.tiny import last_checkpoint, train

data, deterministic = tiny.data, tiny.deterministic
RESNET = {'backbone': 'resnet_v1_14'}
LIGHT = {'model': 'deeplabv3plus', 'backbone': 'efficientnet_lite0'}


@pytest.mark.parametrize(
  ('script', 'model', 'objective', 'edge_weights'),
  [
    ('train', {**RESNET, 'model': 'pspnet', 'input_size': '48,48'}, 'CrossEntropy', 0),
    ('train_affinity', {**RESNET, 'model': 'deeplab', 'input_size': '40,32'}, 'Affinity', 0),
    ('train_aaf', {**RESNET, 'model': 'fcn8s', 'input_size': '40,48'}, 'AdaptiveAffinity', 2),
    ('train_aaf', {**LIGHT, 'input_size': '32,48'}, 'AdaptiveAffinity', 2),
  ],
)
def test_one_step(data, tmp_path, script, model, objective, edge_weights):
  train(data, tmp_path, script, num_steps=1, val_list=data / 'list.txt', **model)
  got = last_checkpoint(tmp_path)
  assert json.loads((tmp_path / 'config').read_text())['objective'] == objective
  assert [got[name].any() for name in ('edge_w', 'nonedge_w') if name in got] == [True] * edge_weights
  moved = [name for name in got if name.endswith('/Momentum') and np.any(got[name])]
  assert len(moved) == sum(name.endswith('/Momentum') for name in got)
  assert all(np.all(np.isfinite(value)) for name, value in got.items() if name != 'training/best_miou')


@tiny.slow
@pytest.mark.usefixtures('deterministic')
def test_the_light_network_resumes_bit_for_bit(data, tmp_path):
  flags = {**LIGHT, 'deterministic': True, 'num_steps': 3, 'save_pred_every': 1}
  train(data, tmp_path / 'unbroken', 'train_aaf', **flags)
  (tmp_path / 'resumed').mkdir()
  for path in (tmp_path / 'unbroken').glob('model.ckpt-1.*'):
    shutil.copy(path, tmp_path / 'resumed')
  train(data, tmp_path / 'resumed', 'train_aaf', resume=True, **flags)
  tiny.assert_same(*(last_checkpoint(tmp_path / name) for name in ('unbroken', 'resumed')))
