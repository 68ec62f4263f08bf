"""What a run minimises: the step of each script, an auxiliary head, another loss, weights of the classes, the settings
of the affinity losses."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from network.losses import EXTRA_LOSSES
from network.losses.cross_entropy import Options
from seg_models.names import build
from tests import tiny
from tests.network import slow_pixel_losses
from tests.tiny import CLASSES, arguments, last_checkpoint, toy, train
from utils import checkpoint, checks, lists
from utils.errors import InputError
from utils.train import class_weights
from utils.train.objectives import AdaptiveAffinity, Affinity, CrossEntropy
from utils.train.optimizers import TrainingState, affinity_decay
from utils.train.step import make_step

data = tiny.data
WEIGHT = 0.4


@pytest.mark.parametrize(
  ('script', 'model', 'objective', 'sizes'),
  [
    ('train', {'model': 'pspnet', 'input_size': '48,48'}, 'CrossEntropy', None),
    ('train_affinity', {'model': 'deeplab', 'input_size': '40,32'}, 'Affinity', [1]),
    ('train_aaf', {'model': 'deeplabv3plus', 'input_size': '48,32', 'kld_sizes': '1,2'}, 'AdaptiveAffinity', [1, 2]),
  ],
)
def test_one_step_of_each_script(data, tmp_path, script, model, objective, sizes):
  train(data, tmp_path, script, num_steps=1, val_list=data / 'list.txt', **model)
  got, config = last_checkpoint(tmp_path), json.loads((tmp_path / 'config').read_text())
  assert (config['objective'], config.get('kld_sizes')) == (objective, sizes)
  moved = [name for name in got if name.endswith('/Momentum') and np.any(got[name])]
  assert len(moved) == sum(name.endswith('/Momentum') for name in got)
  assert all(np.all(np.isfinite(value)) for name, value in got.items() if name != 'training/best_miou')
  if script == 'train_aaf':
    for weights in (got['edge_w'], got['nonedge_w']):
      assert np.any(weights) and weights.shape == (1, 1, 1, CLASSES, 1, 2)


# An auxiliary head.


def test_the_term_is_the_weighted_cross_entropy_at_the_stride_of_the_head(data):
  """Of DeepLabv3+, whose logits have another stride; over both batches of an update, one of them nearly void."""
  model = build('deeplabv3plus', 'resnet_v1_14', CLASSES, auxiliary=True)
  args = arguments(data, 'unused', iter_size=2, use_global_status=True, aux_weight=WEIGHT)
  state = TrainingState(model, CrossEntropy(CLASSES), args)
  random = np.random.default_rng(0)
  images = random.normal(scale=5, size=(2, 2, 64, 64, 3)).astype(np.float32)
  labels = random.integers(0, CLASSES, (2, 2, 64, 64)).astype(np.int32)
  labels[1, :, 17:] = 255
  logits = [model.with_auxiliary(tf.constant(x))[1].numpy() for x in images]
  pairs = zip(labels[:, :, ::16, ::16], logits, strict=True)
  total, number = np.sum([slow_pixel_losses.cross_entropy(y, x, Options()) for y, x in pairs], 0)
  batches = [(tf.constant(x), tf.constant(y)) for x, y in zip(images, labels, strict=True)]
  metrics = make_step(tf.distribute.get_strategy(), state, args)(batches, tf.constant(0))
  np.testing.assert_allclose(metrics['aux_loss'], WEIGHT * total / number, 1e-4)
  np.testing.assert_allclose(metrics['loss'], metrics['aux_loss'] + metrics['seg_loss'], 1e-6)
  rates = {checkpoint.name_of(v): rate for v, rate in zip(state.trained, state.rates, strict=True)}
  assert {rate for name, rate in rates.items() if '/aux/' in name} == {10.0}


def test_restoring_a_checkpoint_with_and_without_the_head(data, tmp_path, capsys):
  flags = {'aux_weight': WEIGHT, 'num_steps': 1}
  train(data, tmp_path / 'with', **flags)
  train(data, tmp_path / 'without', num_steps=1)
  assert (tmp_path / 'with/start').read_text() == (tmp_path / 'without/start').read_text()
  starts = {}
  for name in ('with', 'without'):
    folder = tmp_path / f'from {name}'
    train(data, folder, restore_from=tmp_path / name / 'model.ckpt-0', learning_rate=1e-30, **flags)
    starts[name] = {k: v for k, v in last_checkpoint(folder).items() if '/aux/' in k and not k.endswith('/Momentum')}
  initial = {checkpoint.name_of(v): v.numpy() for v in toy(seed=1234, auxiliary=True).auxiliary_head.variables}
  trained = last_checkpoint(tmp_path / 'with')
  assert initial.keys() == starts['with'].keys()
  weights = 'toy/aux/classifier/weights'
  np.testing.assert_array_equal(starts['with'][weights], trained[weights])
  np.testing.assert_array_equal(starts['without'][weights], initial[weights])
  assert np.any(trained[weights] != initial[weights])
  train(data, tmp_path / 'without again', restore_from=tmp_path / 'with/model.ckpt-0', num_steps=1)
  assert not any('/aux/' in name for name in last_checkpoint(tmp_path / 'without again'))


# Losses beside the cross-entropy.


@pytest.mark.parametrize('name', EXTRA_LOSSES)
def test_each_is_a_term_of_its_own_times_its_weight(data, tmp_path, name):
  random = np.random.default_rng(0)
  labels = tf.constant(random.integers(0, CLASSES, (1, 24, 24)), tf.int32)
  logits = tf.constant(random.normal(size=(1, 24, 24, CLASSES)), tf.float32)
  losses = []
  for weight in (1, 3):
    objective = CrossEntropy(CLASSES, extra_loss=name, extra_weight=weight)
    counts = {**objective.counts(labels), **objective.counts_by_logits(labels, logits)}
    losses.append(float(objective.terms(labels, logits, counts, 1.0)[f'{name}_loss']))
  assert losses[0] != 0 and losses[1] == pytest.approx(3 * losses[0], 1e-5)
  train(data, tmp_path, extra_weight=3, extra_loss=name, num_steps=2, input_size='64,64', precision='bfloat16')
  rows = tiny.rows(tmp_path / 'log.csv')
  loss, *terms = (np.array([float(row[term]) for row in rows]) for term in ('loss', f'{name}_loss', 'seg_loss'))
  assert np.all(np.isfinite(loss))
  np.testing.assert_allclose(loss, sum(terms), 1e-5)


# Weights of the classes.


def test_counts_are_those_of_the_labels(data):
  pairs = lists.read_list(str(data / 'list.txt'), str(data), need_label=True)
  labels = [np.asarray(Image.open(pair.label)) for pair in pairs]
  of_images = np.array([[np.sum(label == c) for c in range(CLASSES)] for label in labels])
  pixels, around = checks.check_pairs(pairs, CLASSES, 255)
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


def test_a_file_of_weights(tmp_path):
  path = tmp_path / 'weights.txt'
  names = ['sky', 'car', 'traffic light']
  path.write_text('sky 0.5\n\n2\ntraffic light 3e-1\n')
  assert class_weights.read(str(path), names) == (0.5, 2, 0.3)
  assert class_weights.read(str(path), ['sky', *['traffic light'] * 2]) == (0.5, 2, 0.3)
  for text, words in {
    '1\n2': 'has 2 class weights',
    '1\n2\nsky': "the class weight 'sky': give a finite number at least 0",
    '1\n2\n-1': "the class weight '-1': give",
    'traffic light 1\nsky 2\ncar 3': 'traffic light is line 1 and class 2',
    '0\n0\n0': 'every class weight is 0',
  }.items():
    path.write_text(text)
    with pytest.raises(InputError, match=words):
      class_weights.read(str(path), names)


# Distances of the affinity losses, uniform against adaptive weights, decay.

SETTINGS = (CLASSES, 3.0, 0.7, 1.3)


def affinity_term(objective, decay=1.0) -> float:
  rng = np.random.default_rng(0)
  labels = tf.constant(rng.integers(0, CLASSES + 1, [2, 9, 8]), tf.int32)
  logits = tf.constant(rng.normal(0, 2, [2, 9, 8, CLASSES]), tf.float32)
  terms = objective.terms(labels, logits, objective.counts(labels), decay)
  return float(terms[objective.term])


@pytest.mark.parametrize('sizes', [(1,), (2,), (1, 2, 3)])
def test_uniform_weights_are_the_affinity_loss_with_lambdas_divided_by_the_distances(sizes):
  classes, margin, *lambdas = SETTINGS
  uniform = Affinity(classes, margin, *(x / len(sizes) for x in lambdas), sizes=sizes)
  assert affinity_term(AdaptiveAffinity(*SETTINGS, sizes=sizes)) == pytest.approx(affinity_term(uniform), rel=1e-6)


@pytest.mark.parametrize(('flag', 'share'), [(10.0, 10**-0.5), (4.0, 0.5), (1.0, 1.0)])
def test_both_terms_shrink_by_the_decay_over_the_run(data, flag, share):
  """That a step takes this factor: test_step.py."""
  objective = Affinity.from_flags(arguments(data, 'unused', affinity=True, kld_decay=flag))
  assert float(affinity_decay(tf.constant(5), 10, objective.decay)) == pytest.approx(share)
