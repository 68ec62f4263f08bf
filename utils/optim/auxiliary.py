"""The loss of the auxiliary head (`--aux-weight`; Zhao et al. 2017, arXiv 1612.01105, equation 1: 0.4)."""

from utils.optim.objectives import CrossEntropy


class AuxiliaryLoss:
  """`weight` times the mean cross-entropy of the auxiliary head's logits, at their own stride: term `aux_loss`.

  The cross-entropy has the objective's class weights and label smoothing, over all labelled pixels. Without such a
  head there is no term.
  """

  def __init__(self, model, objective, weight: float):
    self.used = model.auxiliary_head is not None
    self.stride, self.weight = model.auxiliary_stride, weight
    self.cross_entropy = CrossEntropy(objective.num_classes, objective.options.of_all_pixels())

  def counts(self, labels) -> dict:
    """As `CrossEntropy.counts`, of labels [N, H, W] at the size of the image, under names of their own."""
    if not self.used:
      return {}
    counts = self.cross_entropy.counts(self._subsampled(labels))
    return {f'aux_{name}': count for name, count in counts.items()}

  def terms(self, labels, logits, counts, decay) -> dict:
    """As `CrossEntropy.terms`; `counts` has those of `counts` among its own."""
    if not self.used:
      return {}
    counts = {name.removeprefix('aux_'): count for name, count in counts.items() if name.startswith('aux_')}
    terms = self.cross_entropy.terms(self._subsampled(labels), logits, counts, decay)
    return {'aux_loss': self.weight * terms['seg_loss']}

  def _subsampled(self, labels):
    return labels[:, :: self.stride, :: self.stride]
