"""The Keras layer that holds an adaptive affinity loss's weights."""

import uuid
import weakref

import tensorflow as tf


@tf.keras.utils.register_keras_serializable('adaptive_affinity')
class EdgeWeights(tf.keras.layers.Layer):
  """Passes its input on, in float32, and owns the variables `edge_w` and `nonedge_w` [num_classes, num_sizes]."""

  by_key = weakref.WeakValueDictionary()  # key -> the newest layer with it: losses that are loaded find theirs here

  def __init__(
    self,
    num_classes: int,
    num_sizes: int = 3,
    name: str = 'edge_weights',
    dtype='float32',
    key: str | None = None,
    **kwargs,
  ):
    """key: what a saved layer and a copy that is loaded have in common; a new one by default."""
    super().__init__(name=name, dtype=dtype, **kwargs)
    self.num_classes, self.num_sizes, self.key = num_classes, num_sizes, key or uuid.uuid4().hex
    shape = (num_classes, num_sizes)
    self.edge_w, self.nonedge_w = (self.add_weight(shape, 'zeros', name=name) for name in ('edge_w', 'nonedge_w'))
    self.by_key[self.key] = self

  def build(self, input_shape):
    """Everything is there already."""
    self.built = True

  def call(self, inputs):
    return inputs

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    own = {'num_classes': self.num_classes, 'num_sizes': self.num_sizes, 'key': self.key}
    return {**super().get_config(), **own}
