"""The settings of the affinity losses: distances, uniform against adaptive weights, decay."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.tiny import CLASSES, arguments, toy, train
from utils.train.objectives import AdaptiveAffinity, Affinity
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data
SETTINGS = (CLASSES, 3.0, 0.7, 1.3)


def loss(objective, decay=1.0) -> float:
  rng = np.random.default_rng(0)
  labels = tf.constant(rng.integers(0, CLASSES + 1, [2, 9, 8]), tf.int32)
  logits = tf.constant(rng.normal(0, 2, [2, 9, 8, CLASSES]), tf.float32)
  terms = objective.terms(labels, logits, objective.counts(labels), decay)
  return float(terms[objective.term])


@pytest.mark.parametrize('sizes', [(1,), (2,), (1, 2, 3)])
def test_uniform_weights_are_the_affinity_loss_with_lambdas_divided_by_the_distances(sizes):
  classes, margin, *lambdas = SETTINGS
  uniform = Affinity(classes, margin, *(x / len(sizes) for x in lambdas), sizes=sizes)
  assert loss(AdaptiveAffinity(*SETTINGS, sizes=sizes)) == pytest.approx(loss(uniform), rel=1e-6)


def test_distances_add_up():
  alone = [loss(Affinity(*SETTINGS, sizes=(size,))) for size in (1, 2, 3)]
  assert loss(Affinity(*SETTINGS, sizes=(1, 2, 3))) == pytest.approx(sum(alone), rel=1e-6)
  assert len({round(value, 3) for value in alone}) == 3


@pytest.mark.parametrize(('decay', 'share'), [(10.0, 10**-0.5), (4.0, 0.5), (1.0, 1.0)])
def test_both_terms_shrink_by_the_decay_over_the_run(data, decay, share):
  """At a rate of almost 0, so that the first of both steps changes nothing for the second."""
  args = arguments(data, 'unused', affinity=True, num_steps=10, kld_decay=decay, learning_rate=1e-30)
  state = TrainingState(toy(), Affinity(*SETTINGS, decay=args.kld_decay), args)
  step, batch = make_step(tf.distribute.get_strategy(), state, args), tiny.batch(seed=1, size=2)
  first, middle = (float(step([batch], tf.constant(s))['aff_loss']) for s in (0, 5))
  assert middle / first == pytest.approx(share, rel=1e-5)


def test_methods_of_a_seed_see_equal_data_from_equal_weights(data, tmp_path):
  """At a rate of almost 0 nothing is learned, and every step's cross-entropy is that of the data alone."""
  curves = {}
  for seed, script in ((1, 'train'), (1, 'train_affinity'), (1, 'train_aaf'), (2, 'train')):
    folder = tmp_path / f'{script}-{seed}'
    train(data, folder, script, random_seed=seed, learning_rate=1e-30)
    curves[seed, script] = [float(row['seg_loss']) for row in tiny.rows(folder / 'log.csv')]
  for script in ('train_affinity', 'train_aaf'):
    assert curves[1, script] == pytest.approx(curves[1, 'train'], rel=1e-5)
  assert abs(curves[1, 'train'][0] - curves[2, 'train'][0]) > 1e-3
  assert len({round(loss, 4) for loss in curves[1, 'train']}) == 6
