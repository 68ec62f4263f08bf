"""The models: names, recorded values, heads, sizes, precision."""

import numpy as np
import pytest
import tensorflow as tf

from seg_models.models import build
from seg_models.models.deeplab import deeplab_resnet101
from seg_models.models.fcn import fcn8s_resnet101
from seg_models.models.pspnet import pspnet_resnet101
from seg_models.names import BACKBONES, MODELS, build_backbone
from tests import recorded
from utils.checkpoint import name_of as name

SMALL = 'resnet_v1_14'


def relative_error(a, b):
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  return np.linalg.norm(a - b) / np.linalg.norm(b)


def listed(network):
  return {name(v): (tuple(v.shape), v.trainable) for v in network.variables}


@pytest.mark.parametrize('backbone', BACKBONES)
def test_every_backbone_is_what_its_entry_says(backbone):
  network = build_backbone(backbone, output_stride=16)
  assert network.channels.keys() == {2, 4, 8, 16} and network.auxiliary_stride == 16
  assert all(name(v).startswith(f'{backbone}/') for v in network.variables)


@pytest.mark.parametrize('backbone', [SMALL, 'efficientnet_lite0'])
@pytest.mark.parametrize('output_stride', [None, 8, 16])
@pytest.mark.parametrize('model', MODELS)
def test_every_model_is_what_its_entry_says(model, output_stride, backbone):
  entry, network = MODELS[model], build(model, backbone, 3, output_stride=output_stride)
  stride = output_stride or entry.output_stride
  assert (network.name_of_model, network.output_stride) == (model, stride)
  assert network.logits_stride == (entry.logits_stride or stride)
  side = 2 * entry.bins * stride
  sides = (side, side if entry.square else side + stride)
  assert network(tf.zeros([1, *sides, 3])).shape == (1, *(s // network.logits_stride for s in sides), 3)


@pytest.mark.parametrize('builder', [deeplab_resnet101, fcn8s_resnet101])
def test_variables_are_the_recorded_ones(builder):
  network = builder(num_classes=21)
  assert listed(network) == recorded.variables(network.name_of_model)


def test_recorded_logits_and_averages_of_pspnet():
  network = pspnet_resnet101(num_classes=21)
  assert listed(network) == recorded.variables('pspnet')
  for variable in network.variables:
    variable.assign(recorded.weights(name(variable), tuple(variable.shape)))

  values = np.load(recorded.GOLDEN / 'forward_pspnet.npz')
  frozen = network(values['pspnet/frozen/images'], training=False)
  recorded.assert_close('logits, frozen', 'logits, frozen statistics', frozen, values['pspnet/frozen/logits'])
  batch = network(values['pspnet/batch/images'], training=True)
  recorded.assert_close('logits, batch', 'logits, batch statistics', batch, values['pspnet/batch/logits'])
  variables = {name(v): v for v in network.variables}
  averages = {key.split('/after/')[1]: values[key] for key in values.files if '/after/' in key}
  assert len(averages) == 6
  for key, value in averages.items():
    recorded.assert_close('moving average', key, variables[key], value)


def test_deeplab_sums_four_atrous_convolutions():
  """One feature of one channel is set: each convolution spreads its nine taps about it, at its rate."""
  network = build('deeplab', SMALL, 2)
  features = np.zeros([1, 49, 49, network.backbone.channels[8]], np.float32)
  features[0, 24, 24, 7] = 1
  expected = np.zeros([49, 49, 2], np.float32)
  for i, (branch, rate) in enumerate(zip(network.branches, (6, 12, 18, 24), strict=True)):
    branch.biases.assign([i, 2 * i])
    expected += branch.biases.numpy()
    for y, x in np.ndindex(3, 3):
      expected[24 - rate * (y - 1), 24 - rate * (x - 1)] += branch.weights.numpy()[y, x, 7]
  np.testing.assert_allclose(network.head({8: features}, training=False)[0], expected, 1e-4, 1e-4)


def test_fcn_classifies_each_feature_alone():
  network = build('fcn8s', SMALL, 3)
  image = np.random.default_rng(0).normal(scale=50, size=(1, 24, 32, 3)).astype(np.float32)
  weights, biases = network.classifier.weights[0, 0], network.classifier.biases
  np.testing.assert_allclose(network(image), network.backbone(image)[8] @ weights + biases, 1e-3, 1e-3)


def test_pspnet_sees_the_whole_image_everywhere():
  """The coarsest bin is the mean over all features, so a change in one corner reaches the logits of the other."""
  network = build('pspnet', SMALL, 3)
  features = np.random.default_rng(0).normal(size=(1, 12, 12, network.backbone.channels[8])).astype(np.float32)
  other = features.copy()
  other[:, :2, :2] += 5
  change = np.abs(network.head({8: tf.constant(other)}, False) - network.head({8: tf.constant(features)}, False))
  assert np.all(change.max(-1) > 0)


def test_atrous_convolutions_of_deeplabv3plus_reach_as_far_at_output_stride_8():
  coarse, fine = (build('deeplabv3plus', SMALL, 2, output_stride=stride) for stride in (16, 8))
  image = np.random.default_rng(0).normal(scale=50, size=(1, 64, 96, 3)).astype(np.float32)
  for branch, fine_branch in zip(coarse.branches, fine.branches, strict=True):
    expected = branch(coarse.backbone(image)[16])
    np.testing.assert_allclose(fine_branch(fine.backbone(image)[8])[:, ::2, ::2], expected, 1e-3, 1e-3)


def test_deeplabv3plus_sees_the_whole_image_and_details_at_stride_4():
  network = build('deeplabv3plus', SMALL, 2)
  random = np.random.default_rng(0)
  channels = network.backbone.channels
  deep = random.normal(size=(1, 8, 8, channels[16])).astype(np.float32)
  low_level = random.normal(size=(1, 32, 32, channels[4])).astype(np.float32)

  def logits(deep, low_level):
    return network.head({16: tf.constant(deep), 4: tf.constant(low_level)}, False).numpy()

  before = logits(deep, low_level)
  assert before.shape == (1, 32, 32, 2)
  other = deep.copy()
  other[:, :1, :1] += 5
  assert np.all(np.abs(logits(other, low_level) - before).max(-1) > 0)
  other = low_level.copy()
  other[:, 16, 16] += 5
  changed = np.abs(logits(deep, other) - before).max((0, -1)) > 0
  assert changed[14:19, 14:19].all() and changed.sum() == 25  # two 3x3 convolutions


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('backbone', [SMALL, 'efficientnet_lite0'])
def test_an_auxiliary_head_changes_nothing_else(model, backbone):
  image = np.random.default_rng(0).normal(scale=50, size=(1, 96, 96, 3)).astype(np.float32)
  plain, network = (build(model, backbone, 3, auxiliary=auxiliary) for auxiliary in (False, True))
  logits, auxiliary_logits = network.with_auxiliary(image)
  np.testing.assert_array_equal(logits, plain(image))
  np.testing.assert_array_equal(network(image), plain(image))
  assert plain.with_auxiliary(image)[1] is None
  side = 96 // network.auxiliary_stride
  assert auxiliary_logits.shape == (1, side, side, 3) and auxiliary_logits.dtype == tf.float32
  added = {name(v) for v in network.variables} - {name(v) for v in plain.variables}
  assert added == {name(v) for v in network.auxiliary_head.variables} and len(added) == 7
  assert all(v.startswith(f'{backbone}/aux/') for v in added)
  assert added <= {name(v) for v in network.head_variables}


@pytest.mark.parametrize('model', MODELS)
def test_head_is_all_that_is_not_the_backbone(model):
  network = build(model, SMALL, 3)
  heads = {name(v) for v in network.head_variables}
  assert heads == {name(v) for v in network.variables if '/block5/' in name(v) or '/fc1_c' in name(v)}
  assert len(heads) + len(network.backbone.variables) == len(network.variables)


@pytest.mark.parametrize(
  ('model', 'size', 'nearest'),
  [
    ('pspnet', (96, 48), '96,96'),
    ('pspnet', (100, 100), '96,96'),
    ('pspnet', (8, 8), '48,48'),
    ('deeplab', (100, 91), '96,88'),
    ('fcn8s', (3, 16), '8,16'),
    ('deeplabv3plus', (360, 480), '352,480'),
  ],
)
def test_other_sizes_are_refused_with_the_nearest_good_one(model, size, nearest):
  with pytest.raises(ValueError, match=rf'^{model} .*{size[0]},{size[1]}.*nearest.* {nearest}$'):
    build(model, SMALL, 3)(tf.zeros([1, *size, 3]))


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('training', [False, True])
def test_bfloat16_logits_are_close(model, training):
  network = build(model, SMALL, 3)
  image = np.random.default_rng(0).normal(scale=50, size=(2, 48, 48, 3)).astype(np.float32)
  full = network(image, training)
  network.compute_dtype = tf.bfloat16
  low = network(image, training)
  assert low.dtype == tf.float32
  # DeepLabv3+ normalises by batch statistics ten times more, once over the two images alone.
  assert relative_error(low, full) < (0.2 if model == 'deeplabv3plus' else 0.1)
  assert np.any(low != full)


def test_the_seed_alone_decides_the_weights():
  image = np.random.default_rng(0).normal(scale=50, size=(1, 16, 16, 3)).astype(np.float32)
  first, again, other = (build('fcn8s', SMALL, 3, seed)(image).numpy() for seed in (5, 5, 6))
  np.testing.assert_array_equal(first, again)
  assert not np.allclose(first, other)
