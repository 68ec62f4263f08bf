"""Affinity and adaptive affinity field losses (Ke et al., ECCV 2018, arXiv 1803.10335). Depends on TensorFlow alone."""

from .losses import adaptive_affinity_loss, affinity_loss

__all__ = ['adaptive_affinity_loss', 'affinity_loss']
