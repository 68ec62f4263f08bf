"""Where a step's time goes: TensorFlow's profiler is read, and its operations are sorted into kinds."""

import tensorflow as tf

from pyscripts.profile import operations


def test_operations_of_the_profiler_are_found_and_nothing_that_contains_them():
  a = tf.random.stateless_normal([256, 256], [0, 0])
  seconds = operations.seconds_of_operations(tf.function(lambda: tf.nn.relu(tf.matmul(a, a))), repeat=2)
  kinds = {name.removeprefix('_Mkl').removeprefix('Native') for name in seconds}
  assert 'MatMul' in kinds or 'FusedMatMul' in kinds
  assert not kinds & {'Run', 'Process'} and all(0 <= value < 60 for value in seconds.values())


def test_kinds_add_up_with_and_without_onednn():
  rows = operations.by_kind({'_MklNativeConv2D': 0.5, 'Conv2D': 0.25, '_MklMatMul': 0.125, 'Unheard': 0.125})
  assert [row['ms'] for row in rows if row['ms']] == [750, 125, 125]
  assert rows[0]['of all'] == '75.0%' and rows[-1]['kind'] == operations.OTHER
