"""Facts about the data sets' labels: class names, Cityscapes' label ids. Loads no TensorFlow and no NumPy.

A class id is a *train id*: 0 .. number of classes - 1; Cityscapes' files number their labels otherwise, by *label id*.
"""

from typing import NamedTuple

from utils import list_file
from utils.errors import InputError

VOID = 255  # the label of pixels that are not counted, in all these data sets

VOC_CLASSES = [
  'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
  'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
]  # fmt: skip

CAMVID_CLASSES = [
  'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'signsymbol', 'fence', 'car', 'pedestrian', 'bicyclist',
]  # fmt: skip


class CityscapesLabel(NamedTuple):
  """One of Cityscapes' labels. `train_id` is 255 where the label is not counted.

  `instance_size`: the mean number of pixels of an instance in the training set, by which iIoU weighs instances; 0 for
  labels whose instances are not told apart.
  """

  name: str
  id: int
  train_id: int
  category: str
  instance_size: float
  colour: tuple[int, int, int]


# Source: the data set's label definitions, https://github.com/mcordts/cityscapesScripts (helpers/labels.py), and the
# class sizes of its evaluation.
CITYSCAPES_LABELS = tuple(
  CityscapesLabel(*row)
  for row in (
    ('unlabeled', 0, 255, 'void', 0, (0, 0, 0)),
    ('ego vehicle', 1, 255, 'void', 0, (0, 0, 0)),
    ('rectification border', 2, 255, 'void', 0, (0, 0, 0)),
    ('out of roi', 3, 255, 'void', 0, (0, 0, 0)),
    ('static', 4, 255, 'void', 0, (0, 0, 0)),
    ('dynamic', 5, 255, 'void', 0, (111, 74, 0)),
    ('ground', 6, 255, 'void', 0, (81, 0, 81)),
    ('road', 7, 0, 'flat', 0, (128, 64, 128)),
    ('sidewalk', 8, 1, 'flat', 0, (244, 35, 232)),
    ('parking', 9, 255, 'flat', 0, (250, 170, 160)),
    ('rail track', 10, 255, 'flat', 0, (230, 150, 140)),
    ('building', 11, 2, 'construction', 0, (70, 70, 70)),
    ('wall', 12, 3, 'construction', 0, (102, 102, 156)),
    ('fence', 13, 4, 'construction', 0, (190, 153, 153)),
    ('guard rail', 14, 255, 'construction', 0, (180, 165, 180)),
    ('bridge', 15, 255, 'construction', 0, (150, 100, 100)),
    ('tunnel', 16, 255, 'construction', 0, (150, 120, 90)),
    ('pole', 17, 5, 'object', 0, (153, 153, 153)),
    ('polegroup', 18, 255, 'object', 0, (153, 153, 153)),
    ('traffic light', 19, 6, 'object', 0, (250, 170, 30)),
    ('traffic sign', 20, 7, 'object', 0, (220, 220, 0)),
    ('vegetation', 21, 8, 'nature', 0, (107, 142, 35)),
    ('terrain', 22, 9, 'nature', 0, (152, 251, 152)),
    ('sky', 23, 10, 'sky', 0, (70, 130, 180)),
    ('person', 24, 11, 'human', 3462.4756337644, (220, 20, 60)),
    ('rider', 25, 12, 'human', 3930.4788056518, (255, 0, 0)),
    ('car', 26, 13, 'vehicle', 12794.0202738185, (0, 0, 142)),
    ('truck', 27, 14, 'vehicle', 27855.1264367816, (0, 0, 70)),
    ('bus', 28, 15, 'vehicle', 35732.1511111111, (0, 60, 100)),
    ('caravan', 29, 255, 'vehicle', 36771.8241758242, (0, 0, 90)),
    ('trailer', 30, 255, 'vehicle', 16926.9763313609, (0, 0, 110)),
    ('train', 31, 16, 'vehicle', 67583.7075812274, (0, 80, 100)),
    ('motorcycle', 32, 17, 'vehicle', 6298.7200839748, (0, 0, 230)),
    ('bicycle', 33, 18, 'vehicle', 4672.3249222261, (119, 11, 32)),
    ('license plate', -1, 255, 'vehicle', 0, (0, 0, 142)),
  )
)
# The 19 labels that count, in the order of their train ids.
CITYSCAPES_TRAINED = tuple(sorted((x for x in CITYSCAPES_LABELS if x.train_id != VOID), key=lambda x: x.train_id))
CITYSCAPES_CLASSES = [label.name for label in CITYSCAPES_TRAINED]


def class_names(num_classes: int, names_file: str = '') -> list[str]:
  """The class names of the data set with that many classes; numbers for any other; or the lines of `names_file`.

  Raises:
    InputError: the file cannot be read, or does not have one name for each class.
  """
  if not names_file:
    known = {len(names): names for names in (VOC_CLASSES, CITYSCAPES_CLASSES, CAMVID_CLASSES)}
    return list(known.get(num_classes, map(str, range(num_classes))))
  names = read_names(names_file)
  if len(names) != num_classes:
    raise InputError(f'{names_file}: has {len(names)} names for --num-classes {num_classes}; write one name a line')
  return names


def read_names(path) -> list[str]:
  """The lines of a file of class names that are not blank; raises an InputError where it cannot be read."""
  return [line.strip() for line in list_file.text_lines(path, 'class names') if line.strip()]
