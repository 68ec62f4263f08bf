"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335). Depends on TensorFlow alone."""

from .losses import adaptive_affinity_loss, affinity_loss
from .modules import AdaptiveAffinityLoss, AffinityLoss, EdgeWeights, reversed_gradient

__all__ = [
  'AdaptiveAffinityLoss',
  'AffinityLoss',
  'EdgeWeights',
  'adaptive_affinity_loss',
  'affinity_loss',
  'reversed_gradient',
]
