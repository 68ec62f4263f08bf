"""The table of losses that `--extra-loss` adds to the cross-entropy, by name; one file a loss."""

from collections.abc import Callable
from typing import NamedTuple

from network.losses.active_boundary import active_boundary_count, active_boundary_sum
from network.losses.cross_entropy import labelled_images, labelled_pixels
from network.losses.dice import dice_sum
from network.losses.focal import focal_sum
from network.losses.lovasz import lovasz_sum
from network.losses.rmi import rmi_sum


class ExtraLoss(NamedTuple):
  """A loss is the sum over all replicas and batches of `total(labels, logits)`, divided by that of its count.

  The count is `count(labels, num_classes)`, or, if the logits decide it too, `count_by_logits(labels, logits)`.
  """

  total: Callable
  count: Callable | None = None
  count_by_logits: Callable | None = None


EXTRA_LOSSES = {
  'lovasz': ExtraLoss(lovasz_sum, labelled_images),
  'rmi': ExtraLoss(rmi_sum, labelled_images),
  'abl': ExtraLoss(active_boundary_sum, count_by_logits=active_boundary_count),
  'dice': ExtraLoss(dice_sum, labelled_images),
  'focal': ExtraLoss(focal_sum, labelled_pixels),
}
