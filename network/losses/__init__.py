"""The one table of losses that `--extra-loss` adds to the cross-entropy; one file per loss. Loads no TensorFlow."""

import importlib
from collections.abc import Callable
from typing import NamedTuple


class ExtraLoss(NamedTuple):
  """A loss is the sum over all replicas and batches of `total(labels, logits)`, divided by that of its count.

  The count is `count(labels, num_classes)`, or, if the logits decide it too, `count_by_logits(labels, logits)`.
  """

  total: Callable
  count: Callable | None = None
  count_by_logits: Callable | None = None


def later(module: str, name: str) -> Callable:
  """The function `name` of a module here, which is loaded when it is first called."""
  return lambda *args: getattr(importlib.import_module(f'network.losses.{module}'), name)(*args)


labelled_images, labelled_pixels = (later('cross_entropy', name) for name in ('labelled_images', 'labelled_weight'))
EXTRA_LOSSES = {
  'lovasz': ExtraLoss(later('lovasz', 'lovasz_sum'), labelled_images),
  'rmi': ExtraLoss(later('rmi', 'rmi_sum'), labelled_images),
  'abl': ExtraLoss(
    later('active_boundary', 'active_boundary_sum'), count_by_logits=later('active_boundary', 'active_boundary_count')
  ),
  'dice': ExtraLoss(later('dice', 'dice_sum'), labelled_images),
  'focal': ExtraLoss(later('focal', 'focal_sum'), labelled_pixels),
}
