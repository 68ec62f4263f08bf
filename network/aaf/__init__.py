"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335). Depends on TensorFlow alone."""

from .losses import adaptive_affinity_loss, affinity_loss
from .modules import AdaptiveAffinityLoss, AffinityLoss

__all__ = ['AdaptiveAffinityLoss', 'AffinityLoss', 'adaptive_affinity_loss', 'affinity_loss']


def __getattr__(name):
  """`EdgeWeights` is a Keras layer: Keras is loaded by whoever asks for it."""
  if name == 'EdgeWeights':
    from .edge_weights import EdgeWeights

    return EdgeWeights
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
