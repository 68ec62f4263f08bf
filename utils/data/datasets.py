"""The data sets' colours and id tables as arrays; their names are in `utils.data.labels`. Loads no TensorFlow.

Colours are uint8 RGB [n, 3].
"""

import numpy as np

from utils.data.labels import CAMVID_CLASSES, CITYSCAPES_CLASSES, CITYSCAPES_TRAINED, VOID

_CAMVID_COLOURS = bytes.fromhex('808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0')


def cityscapes_train_ids() -> np.ndarray:
  """A look-up table, uint8 [256]: label id -> train id, 255 for every id that does not count."""
  table = np.full(256, VOID, np.uint8)
  for label in CITYSCAPES_TRAINED:
    table[label.id] = label.train_id
  return table


def cityscapes_label_ids() -> np.ndarray:
  """A look-up table, uint8 [19]: train id -> label id, the numbering that Cityscapes' test server reads."""
  return np.array([label.id for label in CITYSCAPES_TRAINED], np.uint8)


def voc_colours(number: int = 256) -> np.ndarray:
  """VOC's colour map: the bits of the class id, three at a time, become the high bits of R, G and B (VOCdevkit's
  VOClabelcolormap). Entry 255, VOC's void, is (224, 224, 192)."""
  ids = np.arange(number)
  colours = np.zeros((number, 3), np.uint8)
  for bit in range(8):
    for channel in range(3):
      colours[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
  return colours


def cityscapes_colours() -> np.ndarray:
  return np.array([label.colour for label in CITYSCAPES_TRAINED], np.uint8)


def colours(num_classes: int) -> np.ndarray:
  """The colours of the data set with that many classes; VOC's map for any other number."""
  camvid = np.frombuffer(_CAMVID_COLOURS, np.uint8).reshape(-1, 3)
  known = {len(CITYSCAPES_CLASSES): cityscapes_colours(), len(CAMVID_CLASSES): camvid}
  return known.get(num_classes, voc_colours(max(256, num_classes))[:num_classes])
