"""The losses as objects for other people's models: they take labels and predictions, and give one scalar to minimise.

`AdaptiveAffinityLoss` owns its edge weights. These are to ascend the loss that everything else descends, so their
gradient is reversed on its way back (Ganin and Lempitsky 2015, arXiv 1409.7495, use the same trick): any optimiser that
minimises trains both sides of the minimax, and needs to know nothing of it.
"""

import uuid
import weakref

import tensorflow as tf

from .layers import class_count
from .losses import SIZES, adaptive_affinity_loss, affinity_loss

registered = tf.keras.utils.register_keras_serializable('adaptive_affinity')  # so that compiled models can be saved


@registered
class AffinityLoss(tf.Module):
  """`lambda_edge * edge + lambda_nonedge * nonedge` of `affinity_loss`; called as `loss(labels, predictions)`.

  Labels are integers (or floats that hold them) [N, H, W] or [N, H, W, 1], ignored unless in [0, C); predictions
  [N, H, W, C] of any float dtype, of the same height and width: probabilities, or logits if `from_logits`. With
  num_classes 1 they have one channel, a sigmoid's p or its logit, of the classes 0 and 1. `base` is a loss that is
  added: a Keras loss, or any function of labels and predictions.
  The training scripts also multiply it by 10^(-step / steps); that is the caller's.
  On several replicas each takes the mean over its own pixels, divided by their number, as Keras' losses do: what the
  replicas have, gradients too, is to be added up.
  Keras' `sample_weight` and `class_weight` can only scale this one number: pixels to leave out are labelled outside the
  classes, and class weights belong in `base`.
  """

  def __init__(
    self,
    num_classes: int,
    kld_margin: float = 3.0,
    lambda_edge: float = 1.0,
    lambda_nonedge: float = 1.0,
    from_logits: bool = False,
    base=None,
  ):
    """
    Raises:
      ValueError: num_classes is no whole number from 1 on.
    """
    super().__init__()
    self.classes = class_count(num_classes)
    self.num_classes, self.kld_margin, self.base = int(num_classes), kld_margin, base
    self.lambda_edge, self.lambda_nonedge = lambda_edge, lambda_nonedge
    self.from_logits = from_logits

  def __call__(self, labels, predictions):
    probs = tf.cast(predictions, tf.float32)
    if self.from_logits:
      probs = tf.nn.sigmoid(probs) if self.num_classes == 1 else tf.nn.softmax(probs)
    edge, nonedge = self.terms(labels, probs)
    loss = self.lambda_edge * tf.reduce_sum(edge) + self.lambda_nonedge * tf.reduce_sum(nonedge)
    replicas = tf.distribute.get_replica_context()
    loss = loss if replicas is None else loss / replicas.num_replicas_in_sync
    return loss if self.base is None else loss + self.base(labels, predictions)

  def terms(self, labels, probs):
    return affinity_loss(labels, probs, self.num_classes, self.kld_margin)

  def get_config(self) -> dict:
    """The arguments, as Keras saves them with a model that was compiled with this loss."""
    names = 'num_classes', 'kld_margin', 'lambda_edge', 'lambda_nonedge', 'from_logits'
    base = self.base and tf.keras.losses.serialize(self.base)
    return {**{name: getattr(self, name) for name in names}, 'base': base}

  @classmethod
  def from_config(cls, config: dict):
    base = config['base'] and tf.keras.losses.deserialize(config['base'])
    return cls(**{**config, 'base': base})


@registered
class EdgeWeights(tf.keras.layers.Layer):
  """Passes its input on, in float32, and owns the variables `edge_w` and `nonedge_w` [C, num_sizes]."""

  by_key = weakref.WeakValueDictionary()  # key -> the newest layer with it: losses that are loaded find theirs here

  def __init__(self, num_classes: int, num_sizes: int = 3, *, key: str | None = None, **kwargs):
    """key: what a saved layer and a copy that is loaded have in common; a new one by default."""
    super().__init__(**{'name': 'edge_weights', 'dtype': 'float32', **kwargs})
    self.num_classes, self.num_sizes, self.key = num_classes, num_sizes, key or uuid.uuid4().hex
    shape = (class_count(num_classes), num_sizes)
    self.edge_w, self.nonedge_w = (
      self.add_weight(name=name, shape=shape, initializer='zeros') for name in ('edge_w', 'nonedge_w')
    )
    self.by_key[self.key] = self

  def call(self, inputs):
    return inputs

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    own = {'num_classes': self.num_classes, 'num_sizes': self.num_sizes, 'key': self.key}
    return {**super().get_config(), **own}


@registered
class AdaptiveAffinityLoss(AffinityLoss):
  """The same of `adaptive_affinity_loss`, summed over its sizes, with edge weights of its own.

  `edge_weights` are two variables [C, S], zero at first; a softmax over the sizes makes weights of them. They have to
  be among the variables that the optimiser trains, and take no weight decay, which would pull them back to equal
  weights: `optimizer.exclude_from_weight_decay(var_list=loss.edge_weights)` before the first step of a Keras optimiser.

  A training loop adds `loss.edge_weights` to its variables. With Keras' `fit`, which trains a model's variables alone,
  `model = loss.attach(model)` puts them into the model; that has to come before `exclude_from_weight_decay`.
  """

  def __init__(self, num_classes: int, *args, sizes=SIZES, **kwargs):
    super().__init__(num_classes, *args, **kwargs)
    self.sizes = tuple(sizes)
    shape = [self.classes, len(self.sizes)]
    self.edge_weights = [tf.Variable(tf.zeros(shape), name=name) for name in ('edge_w', 'nonedge_w')]
    self._layer = None  # of the model that has the edge weights

  def terms(self, labels, probs):
    weights = [tf.nn.softmax(reversed_gradient(tf.convert_to_tensor(w))) for w in self.edge_weights]
    return adaptive_affinity_loss(labels, probs, self.num_classes, self.kld_margin, *weights, self.sizes)

  def attach(self, model):
    """A Keras model (TensorFlow backend) like `model`, sharing its layers, that has the edge weights among its own.

    They are in a layer `EdgeWeights` behind the model's output, which it passes on, in float32. A model that has such a
    layer already, at any depth, because it was loaded or because you put it there, is returned itself. Under a strategy
    call this inside its scope.

    Raises:
      ValueError: a model of several outputs, or not of Keras' functional or sequential kind; give it such a layer.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, EdgeWeights)]
    if not layers:
      inputs, outputs = getattr(model, 'inputs', None), getattr(model, 'outputs', None)
      if not inputs or len(outputs) != 1:
        raise ValueError('attach() needs a functional model of one output; put an EdgeWeights layer into this one')
      layers = [EdgeWeights(self.num_classes, len(self.sizes))]
      model = tf.keras.Model(inputs if len(inputs) > 1 else inputs[0], layers[0](outputs[0]))
    self._take(layers[0])
    return model

  def _take(self, layer: EdgeWeights) -> None:
    """Makes the layer's variables this loss's."""
    weights, shape = [layer.edge_w, layer.nonedge_w], (self.classes, len(self.sizes))
    if any(tuple(w.shape) != shape for w in weights):
      raise ValueError(f"the model's EdgeWeights are {tuple(weights[0].shape)}, this loss's {shape} (classes, sizes)")
    self._layer, self.edge_weights = layer, weights

  def get_config(self) -> dict:
    layer = self._layer and self._layer.key
    return {**super().get_config(), 'sizes': list(self.sizes), 'layer': layer}

  @classmethod
  def from_config(cls, config: dict):
    """A loss that was attached has the layer of its name again if that was loaded before, as Keras does with a model:
    a model that was compiled with this loss can be loaded and trained on."""
    config = dict(config)
    layer = EdgeWeights.by_key.get(config.pop('layer'))
    loss = super().from_config(config)
    if layer is not None:
      loss._take(layer)
    return loss


@tf.custom_gradient
def reversed_gradient(x):
  """x itself, with the sign of its gradient turned."""
  return tf.identity(x), lambda upstream: -upstream
