"""The loss of the auxiliary head (`--aux-weight`; Zhao et al. 2017, arXiv 1612.01105, equation 1: 0.4)."""

from utils.train.objectives import CrossEntropy


class AuxiliaryLoss:
  """`weight` times the mean cross-entropy of the auxiliary head's logits, at their own stride: term `aux_loss`.

  The cross-entropy is the objective's, without its affinity terms. Without an auxiliary head there is no term.
  """

  def __init__(self, model, objective, weight: float):
    self.used = model.auxiliary_head is not None
    self.stride, self.objective, self.weight = model.auxiliary_stride, objective, weight

  def counts(self, labels) -> dict:
    """As `CrossEntropy.counts`, of labels [N, H, W] at the size of the image, under names of their own."""
    if not self.used:
      return {}
    counts = CrossEntropy.counts(self.objective, self._subsampled(labels))
    return {f'aux_{name}': count for name, count in counts.items()}

  def terms(self, labels, logits, counts, decay) -> dict:
    """As `CrossEntropy.terms`; `counts` has those of `counts` among its own."""
    if not self.used:
      return {}
    counts = {name.removeprefix('aux_'): count for name, count in counts.items() if name.startswith('aux_')}
    terms = CrossEntropy.terms(self.objective, self._subsampled(labels), logits, counts, decay)
    return {'aux_loss': self.weight * terms['seg_loss']}

  def _subsampled(self, labels):
    return labels[:, :: self.stride, :: self.stride]
