"""The models: names, recorded values, heads, sizes, precision."""

import re

import numpy as np
import pytest
import tensorflow as tf

from seg_models.models.deeplab import deeplab_resnet101
from seg_models.models.fcn import fcn8s_resnet101
from seg_models.models.pspnet import pspnet_resnet101
from seg_models.names import BACKBONES, MODELS, build, build_backbone, size_problem
from tests import recorded
from utils.checkpoint import name_of as name

SMALL = 'resnet_v1_14'


def normal(*shape, scale=50):
  return np.random.default_rng(0).normal(scale=scale, size=shape).astype(np.float32)


def listed(network):
  return {name(v): (tuple(v.shape), v.trainable) for v in network.variables}


@pytest.mark.parametrize('backbone', BACKBONES)
def test_every_backbone_is_what_its_entry_says(backbone):
  network = build_backbone(backbone, output_stride=16)
  assert network.channels.keys() == {2, 4, 8, 16} and network.auxiliary_stride == 16
  assert all(name(v).startswith(f'{backbone}/') for v in network.variables)


@pytest.mark.parametrize(('backbone', 'output_stride'), [(SMALL, None), (SMALL, 8), ('efficientnet_lite0', 16)])
@pytest.mark.parametrize('model', MODELS)
def test_every_model_is_what_its_entry_says(model, backbone, output_stride):
  """Its head is all that is not the backbone; an auxiliary head is more of it, and changes nothing else."""
  plain, network = (build(model, backbone, 3, 0, output_stride, auxiliary) for auxiliary in (False, True))
  entry, stride = MODELS[model], output_stride or MODELS[model].output_stride
  assert (network.name_of_model, network.output_stride) == (model, stride)
  assert network.logits_stride == (entry.logits_stride or stride)
  side = 2 * entry.bins * stride
  sides = (side, side if entry.square else side + stride)
  image = normal(1, *sides, 3)
  logits, auxiliary_logits = network.with_auxiliary(image)
  for at_stride, map_of_logits in ((network.logits_stride, logits), (network.auxiliary_stride, auxiliary_logits)):
    assert map_of_logits.shape == (1, *(s // at_stride for s in sides), 3) and map_of_logits.dtype == tf.float32
  np.testing.assert_array_equal(logits, plain(image))
  np.testing.assert_array_equal(network(image), logits)
  assert plain.with_auxiliary(image)[1] is None
  names, plain_names = ({name(v) for v in each.variables} for each in (network, plain))
  added = {name(v) for v in network.auxiliary_head.variables}
  assert names - plain_names == added == {v for v in names if v.startswith(f'{backbone}/aux/')} and len(added) == 7
  heads = {name(v) for v in network.head_variables}
  assert heads == added | {v for v in names if '/block5/' in v or '/fc1_c' in v}
  assert heads == names - {name(v) for v in network.backbone.variables}


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
  image = normal(1, 24, 32, 3)
  weights, biases = network.classifier.weights[0, 0], network.classifier.biases
  np.testing.assert_allclose(network(image), network.backbone(image)[0][8] @ weights + biases, 1e-3, 1e-3)


def test_atrous_convolutions_of_deeplabv3plus_reach_as_far_at_output_stride_8():
  coarse, fine = (build('deeplabv3plus', SMALL, 2, output_stride=stride) for stride in (16, 8))
  image = normal(1, 64, 96, 3)
  for branch, fine_branch in zip(coarse.branches, fine.branches, strict=True):
    expected = branch(coarse.backbone(image)[0][16])
    np.testing.assert_allclose(fine_branch(fine.backbone(image)[0][8])[:, ::2, ::2], expected, 1e-3, 1e-3)


def test_deeplabv3plus_sees_the_whole_image_and_details_at_stride_4():
  network = build('deeplabv3plus', SMALL, 2)
  channels = network.backbone.channels
  deep, low_level = normal(1, 8, 8, channels[16], scale=1), normal(1, 32, 32, channels[4], scale=1)

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
  pattern = rf'^{model} .*{size[0]},{size[1]}.*nearest.* {nearest}$'
  assert re.search(pattern, size_problem(model, *size))
  if model == 'fcn8s':
    with pytest.raises(ValueError, match=pattern):
      build(model, SMALL, 3)(tf.zeros([1, *size, 3]))


def test_the_seed_decides_the_weights():
  one, other = (build('fcn8s', SMALL, 3, seed).variables for seed in (5, 6))
  assert all(np.any(a != b) == name(a).endswith('/weights') for a, b in zip(one, other, strict=True))
