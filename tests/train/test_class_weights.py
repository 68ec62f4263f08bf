"""Weights of the classes: counted by each rule, read from a file, shown, and kept by a run that goes on."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.tiny import CLASSES, assert_same, last_checkpoint, refusal, train
from utils import lists
from utils.errors import InputError
from utils.train import class_weights

data, deterministic = tiny.data, tiny.deterministic


def test_counts_are_those_of_the_labels(data):
  pairs = lists.read_list(str(data / 'list.txt'), str(data), need_label=True)
  labels = [np.asarray(Image.open(pair.label)) for pair in pairs]
  of_images = np.array([[np.sum(label == c) for c in range(CLASSES)] for label in labels])
  pixels, around = class_weights.count(pairs, CLASSES)
  np.testing.assert_array_equal(pixels, of_images.sum(0))
  np.testing.assert_array_equal(around, [of_images[of_images[:, c] > 0].sum() for c in range(CLASSES)])


@pytest.mark.parametrize(
  ('rule', 'weights'),
  [
    ('balanced', [100 / (3 * 50), 100 / (3 * 40), 0, 100 / (3 * 10)]),
    ('median', [0.5 / 0.5, 0.5 / 0.8, 0, 0.5 / 0.1]),
    ('enet', [1 / math.log(1.52), 1 / math.log(1.42), 0, 1 / math.log(1.12)]),
  ],
)
def test_rules(rule, weights):
  pixels, around = np.array([50.0, 40, 0, 10]), np.array([100.0, 50, 0, 100])
  np.testing.assert_allclose(class_weights.by_rule(rule, pixels, around), weights, 1e-5)


def test_balanced_classes_weigh_the_same(data):
  pairs = lists.read_list(str(data / 'list.txt'), str(data), need_label=True)
  pixels, around = class_weights.count(pairs, CLASSES)
  total = pixels * class_weights.by_rule('balanced', pixels, around)
  np.testing.assert_allclose(total, total.mean(), 1e-5)


def test_a_file_of_weights(tmp_path):
  path = tmp_path / 'weights.txt'
  path.write_text('sky 0.5\n\ntraffic light 2\n3e-1\n')
  assert class_weights.read(str(path), 3) == (0.5, 2, 0.3)
  for text, words in {
    '1\n2': 'has 2 class weights',
    '1\n2\nsky': "'sky' is not a finite",
    '1\n2\n-1': "'-1'",
    '0\n0\n0': 'every class weight is 0',
  }.items():
    path.write_text(text)
    with pytest.raises(InputError, match=words):
      class_weights.read(str(path), 3)
  with pytest.raises(InputError, match='balanced, median, enet'):
    class_weights.read('balancd', 3)


@pytest.mark.usefixtures('deterministic')
def test_a_run_that_goes_on_has_the_weights_that_it_was_started_with(data, tmp_path, capsys, monkeypatch):
  flags = {'deterministic': True, 'class_weights': 'balanced', 'ohem_threshold': 0.5, 'label_smoothing': 0.1}
  train(data, tmp_path / 'unbroken', **flags)
  assert 'class weights: class 0 ' in capsys.readouterr().out
  config = json.loads((tmp_path / 'unbroken/config').read_text())
  assert len(config['class_weight_values']) == CLASSES and min(config['class_weight_values']) > 0
  (tmp_path / 'resumed').mkdir()
  for path in [*(tmp_path / 'unbroken').glob('model.ckpt-2.*'), tmp_path / 'unbroken/config']:
    shutil.copy(path, tmp_path / 'resumed')
  with monkeypatch.context() as patch:
    patch.setattr(class_weights, 'count', None)  # nothing is counted again
    train(data, tmp_path / 'resumed', resume=True, **flags)
  assert_same(*(last_checkpoint(tmp_path / name) for name in ('unbroken', 'resumed')))
  changed = {**flags, 'label_smoothing': None}
  assert '--label-smoothing 0.1, not 0.0' in refusal(data, tmp_path / 'resumed', resume=True, **changed)


def test_a_file_of_weights_that_changed_is_refused(data, tmp_path):
  flags = {'class_weights': tmp_path / 'weights', 'num_steps': 3}
  (tmp_path / 'weights').write_text('1\n2\n3\n')
  train(data, tmp_path / 'run', **flags)
  (tmp_path / 'weights').write_text('1\n2\n4\n')
  line = refusal(data, tmp_path / 'run', resume=True, **flags)
  assert 'the run to resume has class weight values [1.0, 2.0, 3.0], not [1.0, 2.0, 4.0]' in line
