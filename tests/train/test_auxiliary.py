"""The auxiliary head's loss, its variables' start, and that prediction does without them."""

import numpy as np
import pytest
import tensorflow as tf

from seg_models.models import build
from tests import tiny
from tests.tiny import CLASSES, arguments, contents, last_checkpoint, train
from utils import checkpoint
from utils.train.loop import named
from utils.train.objectives import AdaptiveAffinity, CrossEntropy
from utils.train.optimizers import TrainingState
from utils.train.step import make_step

data = tiny.data
WEIGHT = 0.4


def slow_cross_entropy(logits, labels):
  """The mean over all pixels of all batches that are not void."""
  losses = []
  for batch_logits, batch_labels in zip(logits, labels, strict=True):
    batch_logits = batch_logits - batch_logits.max(-1, keepdims=True)
    log_probs = batch_logits - np.log(np.exp(batch_logits).sum(-1, keepdims=True))
    losses += [log_probs[i][batch_labels[i]] for i in np.ndindex(batch_labels.shape) if batch_labels[i] < CLASSES]
  return -np.mean(losses)


@pytest.mark.parametrize('make_objective', [CrossEntropy, lambda classes: AdaptiveAffinity(classes, 3.0, 1.0, 1.0)])
def test_the_term_is_the_weighted_cross_entropy_at_the_stride_of_the_head(data, make_objective):
  """Of DeepLabv3+, whose logits have another stride; over both batches of an update, one of them nearly void."""
  model = build('deeplabv3plus', 'resnet_v1_14', CLASSES, auxiliary=True)
  args = arguments(data, 'unused', iter_size=2, use_global_status=True, aux_weight=WEIGHT)
  state = TrainingState(model, make_objective(CLASSES), 0.0, True)
  random = np.random.default_rng(0)
  images = random.normal(scale=50, size=(2, 2, 64, 64, 3)).astype(np.float32)
  labels = random.integers(0, CLASSES, (2, 2, 64, 64)).astype(np.int32)
  labels[1, :, 17:] = 255
  logits = [model.with_auxiliary(tf.constant(x))[1].numpy() for x in images]
  expected = WEIGHT * slow_cross_entropy(logits, labels[:, :, ::16, ::16])
  batches = [(tf.constant(x), tf.constant(y)) for x, y in zip(images, labels, strict=True)]
  metrics = make_step(tf.distribute.get_strategy(), state, args)(batches, tf.constant(0))
  np.testing.assert_allclose(metrics['aux_loss'], expected, 1e-4)
  others = [metrics[name] for name in ('seg_loss', 'aaf_loss') if name in metrics]
  np.testing.assert_allclose(metrics['loss'], metrics['aux_loss'] + sum(others), 1e-6)
  rates = {checkpoint.name_of(v): rate for v, rate in zip(state.trained, state.rates, strict=True)}
  assert {rate for name, rate in rates.items() if '/aux/' in name} == {10.0}


def test_restoring_a_checkpoint_with_and_without_the_head(data, tmp_path, capsys):
  train(data, tmp_path / 'with', aux_weight=WEIGHT, num_steps=1)
  train(data, tmp_path / 'without', num_steps=1)
  assert (tmp_path / 'with/start').read_text() == (tmp_path / 'without/start').read_text()
  starts = {}
  for name in ('with', 'without'):
    folder = tmp_path / f'from {name}'
    train(
      data, folder, aux_weight=WEIGHT, restore_from=tmp_path / name / 'model.ckpt-0', learning_rate=1e-30, num_steps=1
    )
    starts[name] = {k: v for k, v in last_checkpoint(folder).items() if '/aux/' in k and not k.endswith('/Momentum')}
  initial = {checkpoint.name_of(v): v.numpy() for v in tiny.toy(seed=1234, auxiliary=True).auxiliary_head.variables}
  trained = last_checkpoint(tmp_path / 'with')
  assert initial.keys() == starts['with'].keys()
  weights = 'toy/aux/classifier/weights'
  np.testing.assert_array_equal(starts['with'][weights], trained[weights])
  np.testing.assert_array_equal(starts['without'][weights], initial[weights])
  assert np.any(trained[weights] != initial[weights])
  train(data, tmp_path / 'without again', restore_from=tmp_path / 'with/model.ckpt-0', num_steps=1)
  assert not any('/aux/' in name for name in last_checkpoint(tmp_path / 'without again'))


def test_prediction_takes_a_checkpoint_with_the_head(data, tmp_path):
  train(data, tmp_path, num_steps=1, aux_weight=WEIGHT)
  model = build('fcn8s', 'toy', CLASSES)
  assert not any('/aux/' in checkpoint.name_of(v) for v in model.variables)
  prefix = str(tmp_path / 'model.ckpt-0')
  checkpoint.restore(prefix, named(model.variables), 'no')
  assert any('/aux/' in name for name in contents(prefix))
