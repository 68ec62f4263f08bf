"""The affinity losses: equal to the reference and to the recorded values, and sound where it is hard."""

import numpy as np
import pytest
import tensorflow as tf

from network.aaf import losses, reference
from network.aaf.layers import IGNORED, classes_only, valid_labels
from network.aaf.losses import adaptive_affinity_loss, affinity_counts, affinity_loss, affinity_sums
from tests import recorded
from tests.network.drawn import SHAPE, draw, relative_error, softmax, value_and_gradient

GOLDEN = np.load(recorded.GOLDEN / 'losses.npz')
SIZES, MARGIN = (1, 2, 3), 1.0  # of most cases here, as SHAPE: every new one is compiled anew


def total_and_gradient(labels, probs, weights):
  """Of the sum over the sizes of edge and non-edge loss, as training has it."""

  def total(probs):
    edge, nonedge = adaptive_affinity_loss(labels, probs, SHAPE[-1], MARGIN, *tf.unstack(weights))
    return tf.reduce_sum(edge) + tf.reduce_sum(nonedge)

  return value_and_gradient(total, probs)


@pytest.mark.parametrize(
  ('shape', 'margin', 'sizes', 'sharpness'),
  [
    (SHAPE, MARGIN, None, 2),
    (SHAPE, MARGIN, SIZES, 2),
    ((1, 9, 8, 3), 3.0, (1, 4), 12),  # so sharp that probabilities are clipped
    ((3, 1, 8, 2), 0.2, (3, 1, 2), 2),  # one row of pixels; sizes in any order
    ((1, 2, 3, 5), 3.0, SIZES, 2),  # smaller than the sizes
  ],
)
def test_equals_the_reference(shape, margin, sizes, sharpness):
  """Values, gradients and counts; the reference in float64. Without sizes: the affinity loss."""
  labels, logits, _ = draw(shape, sharpness=sharpness)
  distances = sizes or (1,)
  probs, weights = tf.nn.softmax(logits), np.random.default_rng(1).random((2, shape[-1], len(distances)))

  def of(module, dtype):
    x, w = tf.cast(probs, dtype), tf.constant(weights, dtype)
    with tf.GradientTape() as tape:
      tape.watch([x, w])
      if sizes:
        terms = module.adaptive_affinity_loss(labels, x, shape[-1], margin, w[0], w[1], sizes)
      else:
        terms = module.affinity_loss(labels, x, shape[-1], margin)
      loss = 2 * tf.reduce_sum(terms[0]) + 3 * tf.reduce_sum(terms[1])
    return *terms, *tape.gradient(loss, [x, w], unconnected_gradients='zero')

  for got, want in zip(of(losses, tf.float32), of(reference, tf.float64), strict=True):
    np.testing.assert_allclose(got, want, 1e-5, 1e-5)
  for s, size in enumerate(distances):
    both = reference.entries(labels, probs, shape[-1], margin, size)
    for counts, (_, counted) in zip(affinity_counts(labels, shape[-1], distances), both, strict=True):
      assert counts[s] == np.sum(counted)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype):
  limits = np.iinfo(dtype)
  labels = np.array([[[0, 2, 3, 4, limits.max, limits.min]]], dtype)
  lowest = 0 if limits.min == 0 else IGNORED
  np.testing.assert_array_equal(classes_only(labels, 4)[0, 0], [0, 2, 3, IGNORED, IGNORED, lowest])
  assert classes_only(labels, 4).dtype == tf.int32


def test_labels_do_not_wrap_and_classes_may_exceed_their_type():
  assert not np.any(valid_labels(np.array([2**32 + 1, -(2**32) + 1]), 4))
  np.testing.assert_array_equal(valid_labels(np.array([0, 255], np.uint8), 300), [True, True])


def test_settings_may_be_numpy_scalars():
  labels, logits, _ = draw()
  probs = softmax(logits)
  want = affinity_sums(labels, probs, SHAPE[-1], MARGIN, SIZES)
  margins = (np.float64(MARGIN), np.float32(MARGIN), np.array(MARGIN), tf.constant(MARGIN))
  for margin in margins:
    got = affinity_sums(labels, probs, np.int64(SHAPE[-1]), margin, np.array(SIZES))
    np.testing.assert_allclose(got, want, 1e-6)
  np.testing.assert_array_equal(affinity_counts(labels, np.int64(SHAPE[-1])), affinity_counts(labels, SHAPE[-1]))


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float16', 2e-3), ('bfloat16', 2e-2), ('float64', 1e-5)])
def test_probabilities_of_any_float_type(dtype, tolerance):
  labels, logits, weights = draw()
  probs, weights = tf.nn.softmax(logits), tf.nn.softmax(weights)
  loss, gradient = total_and_gradient(labels, probs, weights)
  low, low_gradient = total_and_gradient(labels, tf.cast(probs, dtype), weights)
  assert low.dtype == tf.float32 and low_gradient.dtype == dtype
  np.testing.assert_allclose(low, loss, tolerance)
  assert relative_error(tf.cast(low_gradient, tf.float32), gradient) < 5 * tolerance


@pytest.mark.parametrize(('jit_compile', 'batches'), [(False, (2, 1)), (True, (2,))])
def test_inside_a_function_with_any_batch_size(jit_compile, batches):
  labels, logits, weights = draw()
  probs, weights = tf.nn.softmax(logits), tf.nn.softmax(weights)
  signature = [tf.TensorSpec([None, None, None], tf.int32), tf.TensorSpec([None] * 4), tf.TensorSpec([2, 4, 3])]
  graph = tf.function(total_and_gradient, input_signature=signature, jit_compile=jit_compile)
  for batch in batches:
    got = graph(labels[:batch], probs[:batch], weights)
    labels[batch:] = 255  # means of the batch, and compiled for both images before
    loss, gradient = total_and_gradient(labels, probs, weights)
    np.testing.assert_allclose(got[0], loss, 1e-5)
    np.testing.assert_allclose(got[1], gradient[:batch], 1e-5, 1e-7)


def test_shapes_that_do_not_fit_are_refused():
  with pytest.raises(ValueError):
    affinity_loss(np.zeros([1, 4, 4], np.int32), np.zeros([1, 4, 5, 3], np.float32), 3, MARGIN)
  with pytest.raises(ValueError):
    affinity_loss(np.zeros([1, 4, 4], np.int32), np.zeros([1, 4, 4, 3], np.float32), 4, MARGIN)
  right = np.ones([3, 3])
  for weights, name in (((np.ones([3, 1]), right), 'w_edge'), ((right, np.float32(1)), 'w_nonedge')):
    with pytest.raises(ValueError, match=f'{name} has shape'):
      adaptive_affinity_loss(np.zeros([1, 4, 4], np.int32), np.zeros([1, 4, 4, 3], np.float32), 3, MARGIN, *weights)


@pytest.mark.parametrize('module', [losses, reference])
@pytest.mark.parametrize('case', ['soft', 'voc'])
def test_recorded_values(case, module):
  values = {name.split('/')[1]: GOLDEN[name] for name in GOLDEN.files if name.startswith(f'{case}/')}
  labels, logits = values['labels'], tf.constant(values['logits'])
  classes, margin = logits.shape[-1], float(values['kld_margin'])
  lambdas = values['lambda_edge'], values['lambda_nonedge']

  def check(kind, name, got):
    recorded.assert_close(kind, f'{name}, {case}, {module.__name__}', got, values[name])

  with tf.GradientTape() as tape:
    tape.watch(logits)
    terms = module.affinity_loss(labels, tf.nn.softmax(logits), classes, margin)
    loss = lambdas[0] * terms[0] + lambdas[1] * terms[1]
  check('loss', 'affinity_edge_nonedge', terms)
  check('gradient', 'affinity_grad_logits', tape.gradient(loss, logits))

  variables = {'logits': logits, **{name: tf.constant(values[name]) for name in ('edge_w', 'nonedge_w')}}
  with tf.GradientTape() as tape:
    tape.watch(variables)
    weights = [tf.nn.softmax(variables[name]) for name in ('edge_w', 'nonedge_w')]
    terms = module.adaptive_affinity_loss(labels, tf.nn.softmax(logits), classes, margin, *weights)
    loss = tf.reduce_sum(lambdas[0] * terms[0] + lambdas[1] * terms[1])
  check('loss', 'aaf_edge_nonedge_by_size', np.transpose(terms))
  for name, gradient in tape.gradient(loss, variables).items():
    check('gradient', f'aaf_grad_{name}', gradient)

  counts = np.concatenate([affinity_counts(labels, classes, sizes) for sizes in ((1,), SIZES)], 1)
  np.testing.assert_array_equal(counts.T, values['counts'])
