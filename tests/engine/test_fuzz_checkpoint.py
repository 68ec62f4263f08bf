"""Arbitrary names, shapes and bytes as a checkpoint: the documented error or the right weights, nothing else.

FUZZ_EXAMPLES=20000 in the environment tries more.
"""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzed import fuzz
from utils import checkpoint
from utils.errors import InputError

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
  except InputError as e:
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
  except InputError as e:
    assert prefix in str(e)
  else:
    assert values['a/weights'].tolist() == list(range(12)) and values['b'].tolist() == [1, 2]


@many
@given(data=st.binary(max_size=300))
def test_any_bytes_are_no_checkpoint(tmp_path, data):
  path = tmp_path / 'slim.ckpt'
  path.write_bytes(data)
  with pytest.raises(InputError, match='slim.ckpt'):
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
  assert checkpoint.steps_in(str(folder)) == ([1] if whole <= names else [])
  checkpoint.remove_unfinished(str(folder))
  assert names - set(os.listdir(folder)) <= whole - (whole if whole <= names else set())
