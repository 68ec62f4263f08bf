"""--precision: convolutions may be bfloat16; weights, statistics, softmax and losses stay float32."""

import numpy as np
import pytest
import tensorflow as tf

from network.common import cpu_gradients
from seg_models.models import MODELS, build
from tests import tiny
from tests.tiny import last_checkpoint, train
from utils import devices
from utils.predict.windows import probability_function
from utils.train import optimizers

data = tiny.data
SIDE = 48


def images(count=2):
  return tf.constant(np.random.default_rng(0).normal(0, 50, [count, SIDE, SIDE, 3]), tf.float32)


def operations(function, *args):
  """(type, dtype of the first input) of every operation in the function's graph, nested ones included."""
  graph = tf.function(function).get_concrete_function(*args).graph
  graphs = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, 'graph'))]
  return [(op.type, op.inputs[0].dtype) for g in graphs for op in g.get_operations() if op.inputs]


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize(('half', 'error'), [('bfloat16', 0.05), ('float16', 0.01)])
def test_convolutions_compute_in_half_precision_and_logits_are_float32(name, half, error, monkeypatch):
  monkeypatch.setattr(cpu_gradients, 'has_bfloat16', lambda: True)
  model = build(name, 'resnet_v1_14', 3)
  full = model(images())
  devices.apply(model, half)
  logits = model(images())
  assert logits.dtype == tf.float32
  assert {v.dtype for v in model.variables} == {tf.float32}
  assert 0 < np.linalg.norm(logits - full) < error * np.linalg.norm(full)
  convolutions = [dtype for kind, dtype in operations(model, images()) if kind == 'Conv2D']
  assert len(convolutions) > 15 and set(convolutions) == {tf.as_dtype(half)}


def test_statistics_and_softmax_are_float32():
  """The moving averages of a bfloat16 step differ from float32's by rounding of the data, not of the sums."""
  averages = {}
  for kind in ('float32', 'bfloat16'):
    model = build('fcn8s', 'resnet_v1_14', 3)
    devices.apply(model, kind)
    model(images(), training=True)
    norm = model.backbone.conv1.batch_norm
    averages[kind] = np.stack([norm.moving_mean, norm.moving_variance - 0.9997])
    bfloat16s = tf.cast(tf.cast(averages[kind], tf.bfloat16), tf.float32)
    assert not np.array_equal(bfloat16s, averages[kind])
  np.testing.assert_allclose(averages['bfloat16'], averages['float32'], rtol=0.02, atol=2e-3)
  softmaxes = [
    dtype for kind, dtype in operations(probability_function(model, (SIDE, SIDE)), images()) if kind == 'Softmax'
  ]
  assert softmaxes == [tf.float32]


@pytest.mark.parametrize('half', ['bfloat16', 'float16'])
def test_a_run_in_half_precision_keeps_float32_variables_and_nears_the_float32_run(half, data, tmp_path, monkeypatch):
  monkeypatch.setattr(optimizers, 'FIRST_LOSS_SCALE', 16.0)  # float16's own first one skips steps here, by overflow
  results = {}
  for kind in ('float32', half):
    train(data, tmp_path / kind, precision=kind, num_steps=20, use_global_status=True, learning_rate=1e-4)
    results[kind] = last_checkpoint(tmp_path / kind)
  full, short = results['float32'], results[half]
  trained = [name for name in full if name.endswith(('weights', 'biases', 'Momentum'))]
  assert {short[name].dtype for name in trained} == {np.dtype(np.float32)}
  for name in trained:
    assert 0 < np.linalg.norm(short[name] - full[name]) < 0.1 * np.linalg.norm(full[name]), name


@pytest.mark.parametrize(
  ('kind', 'gpus', 'tf32'), [('float32', 1, True), ('float32', 0, False), ('bfloat16', 1, False)]
)
def test_tf32_is_said_where_float32_would_be_cut(monkeypatch, kind, gpus, tf32):
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda device: gpus * ['a GPU'])
  said = devices.described(kind)
  assert ('TF32' in said) == tf32 and f'convolutions in {kind}' in said
