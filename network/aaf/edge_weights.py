"""The Keras layer that holds an adaptive affinity loss's weights. Imported only where a Keras model asks for it."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable('adaptive_affinity')
class EdgeWeights(tf.keras.layers.Layer):
  """Passes its input on, in float32, and owns the variables `edge_w` and `nonedge_w` [num_classes, num_sizes]."""

  def __init__(self, num_classes: int, num_sizes: int = 3, name: str = 'edge_weights', dtype='float32', **kwargs):
    super().__init__(name=name, dtype=dtype, **kwargs)
    self.num_classes, self.num_sizes = num_classes, num_sizes
    shape = (num_classes, num_sizes)
    self.edge_w, self.nonedge_w = (self.add_weight(shape, 'zeros', name=name) for name in ('edge_w', 'nonedge_w'))

  def build(self, input_shape):
    """Everything is there already."""
    self.built = True

  def call(self, inputs):
    return inputs

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    return {**super().get_config(), 'num_classes': self.num_classes, 'num_sizes': self.num_sizes}
