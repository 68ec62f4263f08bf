"""Checkpoints: both of TensorFlow's formats, in both directions, whole or absent, and what is refused.

Arbitrary names, shapes and bytes give the documented error or the right weights; FUZZ_EXAMPLES=20000 tries more.
"""

import itertools
import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from seg_models.names import build
from tests import tiny
from tests.fuzzed import fuzz
from tests.tiny import CLASSES, assert_same, contents, last_checkpoint, toy, train
from utils import checkpoint, errors, runs

data = tiny.data
v1 = tf.compat.v1


def write_with_tensorflow_1(path, arrays, version):
  """What TensorFlow 1's Saver writes."""
  with tf.Graph().as_default(), v1.Session() as session:
    variables = {name: v1.get_variable(name, initializer=array, use_resource=False) for name, array in arrays.items()}
    session.run(v1.global_variables_initializer())
    saver = v1.train.Saver(variables, write_version=version)
    return saver.save(session, str(path), write_meta_graph=False)


def randomised(network):
  rng = np.random.default_rng(0)
  for v in network.variables:
    v.assign(np.abs(rng.normal(size=v.shape)))
  return {name: v.numpy() for name, v in checkpoint.by_name(network.variables).items()}


@pytest.mark.parametrize('version', [v1.train.SaverDef.V1, v1.train.SaverDef.V2])
def test_ours_reads_tensorflow_1s(tmp_path, version):
  want = randomised(toy())
  extra = {'global_step': np.int64(7), 'mean_rgb': np.float32([1, 2, 3]), 'toy/logits/biases': np.ones(5, 'f')}
  prefix = write_with_tensorflow_1(tmp_path / 'slim.ckpt', {**want, **extra}, version)
  assert os.path.isfile(prefix) == (version == v1.train.SaverDef.V1)
  network = toy()
  checkpoint.restore(prefix, checkpoint.by_name(network.variables), 'advice')
  assert_same(want, {name: v.numpy() for name, v in checkpoint.by_name(network.variables).items()})


def test_tensorflow_1_reads_ours(tmp_path):
  network = toy()
  want = randomised(network)
  checkpoint.save(str(tmp_path / 'model.ckpt-3'), checkpoint.by_name(network.variables))
  with tf.Graph().as_default(), v1.Session() as session:
    variables = {name: v1.get_variable(name, shape=array.shape) for name, array in want.items()}
    v1.train.Saver(variables).restore(session, str(tmp_path / 'model.ckpt-3'))
    assert_same(want, session.run(variables))


def test_a_checkpoint_written_again_is_the_new_one(tmp_path):
  prefix = str(tmp_path / 'model.ckpt-1')
  for value in ([1.0, 2.0], [3.0]):
    checkpoint.save(prefix, {'v': np.float32(value)})
  for named_as in ('', '.meta', *checkpoint.PARTS):  # the shell completes names to those of files
    assert contents(prefix + named_as)['v'].tolist() == [3.0]
  assert sorted(os.listdir(tmp_path)) == ['model.ckpt-1.data-00000-of-00001', 'model.ckpt-1.index']


@pytest.mark.parametrize('moment', range(11))
def test_death_at_any_moment_of_a_save_leaves_whole_checkpoints(tmp_path, monkeypatch, moment):
  """Dies before the n-th call that changes the folder: what is there then can be read, and the old one is there."""
  folder, calls = str(tmp_path), itertools.count()

  def save(step):
    checkpoint.save(runs.path_of(folder, step), {'v': np.float32([step])})
    checkpoint.keep_newest(folder, 1, -1)

  class Death(BaseException):
    pass

  def dying(original):
    def call(*args, **kwargs):
      if next(calls) >= moment:
        raise Death
      return original(*args, **kwargs)

    return call

  save(1)
  save(2)
  with monkeypatch.context() as patch, pytest.raises(Death):
    for name in ('replace', 'remove', 'fsync'):
      patch.setattr(os, name, dying(getattr(os, name)))
    patch.setattr(checkpoint.shutil, 'rmtree', lambda *args, **kwargs: None)
    save(3)
  steps = runs.steps_in(folder)
  assert steps and all(contents(runs.path_of(folder, s))['v'] == [s] for s in steps)
  assert tf.train.latest_checkpoint(folder) in [runs.path_of(folder, s) for s in steps]
  checkpoint.remove_all_but(folder, steps)
  files = {name for name in os.listdir(folder) if re.match(r'model|\.writing', name)}
  assert files == {f'model.ckpt-{s}{part}' for s in steps for part in checkpoint.PARTS}


@pytest.mark.parametrize('flag', ['not_restore_classifier', 'not_restore_logits'])
def test_the_head_or_its_layers_to_classes_can_be_left_as_initialised(data, tmp_path, flag):
  """For another number of classes: the rest, in the second case PSPNet's pyramid too, is the checkpoint's."""
  other, network = build('pspnet', 'toy', 7, 5, auxiliary=True), build('pspnet', 'toy', CLASSES, 1234, auxiliary=True)
  want = {name: v.numpy() + ('BatchNorm' in name) for name, v in checkpoint.by_name(other.variables).items()}
  checkpoint.save(str(tmp_path / 'other'), want)
  settings = {'num_steps': 1, 'learning_rate': 1e-30, 'weight_decay': 0, 'use_global_status': True, 'aux_weight': 0.4}
  settings |= {'model': 'pspnet', 'input_size': '48,48', 'restore_from': tmp_path / 'other', flag: True}
  train(data, tmp_path / 'run', **settings)
  got = last_checkpoint(tmp_path / 'run')
  left = checkpoint.by_name(network.head_variables)
  if flag == 'not_restore_logits':
    left = {f'toy/{layer}/{part}' for layer in ('block5/fc1_voc12', 'aux/classifier') for part in ('weights', 'biases')}
  for name, initial in checkpoint.by_name(network.variables).items():
    np.testing.assert_allclose(got[name], initial if name in left else want[name], rtol=0, atol=1e-20, err_msg=name)


def test_where_a_run_starts_is_said_in_one_line(data, tmp_path, capsys):
  """Its own checkpoint comes first, then --restore-from, then initial weights."""
  order = 'start (own checkpoint, else --restore-from, else initial weights): '

  def said(**changes):
    train(data, tmp_path / 'run', **changes)
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith(order)).removeprefix(order)

  assert said() == 'all 14 variables as initialised (seed 1234)'
  randomly = tmp_path / 'other'
  checkpoint.save(str(randomly), randomised(toy()))
  from_other = f'7 variables from {randomly}, the other 7 (momentum included) as initialised'
  assert said(restore_from=randomly, overwrite=True) == from_other
  from_own = f'all 14 variables from {tmp_path}/run/model.ckpt-5, going on at step 6'
  assert said(restore_from=randomly, resume=True) == from_own


def test_text_in_the_place_of_weights_is_refused(tmp_path):
  checkpoint.save(str(tmp_path / 'text'), {'v': np.array(['a'], object)})
  with pytest.raises(errors.InputError, match='text: v holds values that are not finite'):
    checkpoint.restore(str(tmp_path / 'text'), {'v': tf.Variable([0.0])}, 'advice')


def test_a_full_disk_leaves_the_old_checkpoints_and_one_line(tmp_path, full_disk):
  first, second = (runs.path_of(str(tmp_path), step) for step in (1, 2))
  checkpoint.save(first, {'v': np.zeros(1000)})
  with pytest.raises(errors.RunError, match='ones are whole'):
    checkpoint.save(f'{first}.index/model.ckpt-3', {'v': np.zeros(1000)})  # below a file
  with (
    full_disk(1000),
    pytest.raises(errors.RunError, match=r'model.ckpt-2: the checkpoint could not be written .* ones are whole$'),
  ):
    checkpoint.save(second, {'v': np.zeros(1000)})
  assert runs.steps_in(str(tmp_path)) == [1] and checkpoint.readable(first)
  assert not list(tmp_path.glob('.writing*')) + list(tmp_path.glob('*ckpt-2*'))


# Arbitrary contents.

many = fuzz(100)
WANTED = {'resnet_v1_14/conv1/weights': (2, 3), 'fc1_voc12/biases': (3,), 'edge_w': ()}
NAMES = st.one_of(
  st.sampled_from([*WANTED, 'resnet_v1_14/conv1/weights/Momentum', 'resnet_v1_50/conv1/weights', 'global_step']),
  st.text(st.characters(codec='utf-8'), min_size=1, max_size=12),
)
SHAPES = st.sampled_from([*WANTED.values(), (3, 2), (6,), (1, 1, 2, 3), (0,)])


@many
@given(found=st.dictionaries(NAMES, SHAPES, max_size=6), whole=st.booleans(), odd=st.sampled_from((0, 0, np.nan)))
def test_any_names_and_shapes_are_restored_or_refused_before_the_first_is_assigned(tmp_path, found, whole, odd):
  found = {**found, **WANTED} if whole else found
  tensors = {name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + odd for name, shape in found.items()}
  prefix = str(tmp_path / 'model.ckpt-1')
  if not tensors:
    return
  checkpoint.save(prefix, tensors)
  variables = {name: tf.Variable(tf.fill(shape, -1.0)) for name, shape in WANTED.items()}
  try:
    checkpoint.restore(prefix, variables, 'check --model')
  except errors.InputError as e:
    assert prefix in str(e) and all(np.all(variable.numpy() == -1) for variable in variables.values())
    assert not whole or odd != 0
  else:
    for name, variable in variables.items():
      np.testing.assert_array_equal(variable.numpy(), tensors[name])


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
  prefix = str(tmp_path_factory.mktemp('sound') / 'c')
  checkpoint.save(prefix, {'a/weights': np.arange(12, dtype=np.float32), 'b': np.float32([1, 2])})
  return [pathlib.Path(prefix + part).read_bytes() for part in checkpoint.PARTS]


@many
@given(
  part=st.integers(0, 1),
  places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
  length=st.one_of(st.none(), st.integers(0, 400)),
)
def test_damaged_files_are_read_right_or_refused(tmp_path, sound, part, places, length):
  prefix = str(tmp_path / 'c')
  for i, data in enumerate(sound):
    data = bytearray(data)
    if i == part:
      for place, value in places:
        data[place % len(data)] = value
      data = data[:length]
    with open(prefix + checkpoint.PARTS[i], 'wb') as file:
      file.write(data)
  try:
    reader = checkpoint.Reader(prefix)
    values = {name: reader.get(name) for name in reader.shapes}
  except errors.InputError as e:
    assert prefix in str(e)
  else:
    assert values['a/weights'].tolist() == list(range(12)) and values['b'].tolist() == [1, 2]


@many
@given(data=st.binary(max_size=300))
def test_any_bytes_are_no_checkpoint(tmp_path, data):
  path = tmp_path / 'slim.ckpt'
  path.write_bytes(data)
  with pytest.raises(errors.InputError, match='slim.ckpt'):
    checkpoint.Reader(str(path))


@many
@given(names=st.lists(st.one_of(st.text('0123456789.modelckptx-', max_size=16), st.sampled_from(
  ['model.ckpt-1.index', 'model.ckpt-1.data-00000-of-00001', 'model.ckpt-²', 'model.ckpt-²', 'model.ckpt-x.index']
))))  # fmt: skip
def test_any_names_in_a_folder(tmp_path_factory, names):
  """Steps are of whole checkpoints alone; tidying up removes nothing but halves of checkpoints."""
  folder = tmp_path_factory.mktemp('folder')
  names = {name for name in names if name.strip('.')}
  for name in names:
    (folder / name).write_bytes(b'')
  whole = {'model.ckpt-1.index', 'model.ckpt-1.data-00000-of-00001'}
  assert runs.steps_in(str(folder)) == ([1] if whole <= names else [])
  checkpoint.remove_all_but(str(folder), runs.steps_in(str(folder)))
  assert names - set(os.listdir(folder)) <= whole - (whole if whole <= names else set())
