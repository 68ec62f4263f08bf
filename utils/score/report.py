"""The data of the HTML report, which its page draws: scores, curves and pictures of several folders of predictions."""

import base64
import io
import itertools
import json
import math
import pathlib
import string

import numpy as np
from PIL import Image as Picture
from PIL import ImageOps

from utils import images, labels, metrics
from utils.errors import InputError
from utils.score import boundaries, calibration, pairs, scoring
from utils.score.scoring import ScoredImage, Sums, percent

TEMPLATE = pathlib.Path(__file__).with_name('report.html')
RIGHT, WRONG, VOID = (222, 222, 222), (200, 30, 45), (150, 150, 150)  # colours of the picture of errors
OUTSIDE = (224, 224, 192)  # values that are not a class: VOC's colour for void


def count_image_iou(image: ScoredImage) -> Sums:
  """The mean IoU of the image, over the classes in its ground truth or prediction."""
  return {'image_iou': [metrics.mean(metrics.iou(image.confusion))]}


class Folder:
  """A folder of predictions, what is counted in them, and the mean IoU of each image."""

  def __init__(self, name: str, files: list[pairs.Files], num_classes: int):
    self.name, self.files = name, {file.truth: file for file in files}
    self.confident = all(file.confidence for file in files)
    counters = [count_image_iou, boundaries.count, *[calibration.count] * self.confident]
    self.sums = scoring.count_files(files, num_classes, counters)
    self.iou = dict(zip(self.files, self.sums['image_iou'], strict=True))  # by ground truth path

  def content(self) -> dict:
    """The scores in the form that the page draws."""
    report = metrics.joined(scoring.report(self.sums), boundaries.of_contours(self.sums))
    columns = {name: column for name, column in report.columns.items() if name not in scoring.COUNTS}
    reliability = calibration.report(self.sums) if self.confident else metrics.Scores({}, {})
    return {
      'name': self.name,
      'calibrationError': percent(reliability.means.get('expected calibration error', math.nan)),
      'reliability': {name: percent(bins) for name, bins in reliability.more.get('reliability', {}).items()},
      'means': {name: percent(mean) for name, mean in report.means.items()},
      'columns': {name: percent(column) for name, column in columns.items()},
      'curve': list(map(percent, boundaries.trimap_curve(self.sums).means.values())),
      'confusion': self.sums['confusion'].tolist(),
    }


def check_same_images(names: list[str], folders: list[list[pairs.Files]]) -> None:
  """Raises InputError unless all folders predict the same images: other scores cannot be compared."""
  truths = [{file.truth for file in files} for files in folders]
  every = set().union(*truths)
  for name, predicted in zip(names, truths, strict=True):
    if predicted != every:
      raise InputError(
        f'{name}: has no prediction for {min(every - predicted)}, which another folder has; predict the same images, '
        'or list them in --data-list'
      )


def content(title: str, folders: list[Folder], classes: labels.Classes, number: int, strips: 'Strips') -> dict:
  """Everything the page draws, with `number` images per group."""
  groups = image_groups(folders, number)
  shown = list(dict.fromkeys(itertools.chain.from_iterable(groups.values())))
  return {
    'title': title,
    'images': len(folders[0].files),
    'classes': [{'name': name, 'colour': '#' + bytes(colour).hex()}
                for name, colour in zip(classes.names, classes.colours.tolist(), strict=True)],
    'truth': folders[0].sums['confusion'].sum(axis=1).tolist(),
    'pictureWidth': strips.width,
    'widths': boundaries.WIDTHS,
    'folders': [folder.content() for folder in folders],
    'groups': {name: [shown.index(truth) for truth in group] for name, group in groups.items()},
    'strips': [strips.of(truth) for truth in shown],
  }  # fmt: skip


def image_groups(folders: list[Folder], number: int) -> dict[str, list[str]]:
  """Ground truth paths: best and worst images of the last folder, most changed from the first folder to the last."""
  first, last = folders[0].iou, folders[-1].iou
  ascending = sorted((truth for truth in last if last[truth] == last[truth]), key=lambda truth: (last[truth], truth))
  groups = {'worst': ascending[:number], 'best': ascending[::-1][:number]}
  if len(folders) > 1:
    by_change = sorted(ascending, key=lambda truth: (-abs(last[truth] - first[truth]), truth))
    groups = {'most changed': by_change[:number], **groups}
  return groups


class Strips:
  """Makes the strip of pictures of an image: photo, ground truth, and each folder's prediction and errors."""

  def __init__(self, folders: list[Folder], classes: labels.Classes, width: int):
    self.folders, self.num_classes, self.width = folders, len(classes.names), width
    self.colours = np.vstack([classes.colours, np.array([OUTSIDE], np.uint8)])

  def of(self, truth_path: str) -> dict:
    """The strip in the form that the page draws."""
    return {
      'name': self.folders[-1].files[truth_path].name.encode(errors='replace').decode(),  # file names may not be UTF-8
      'iou': [percent(folder.iou[truth_path]) for folder in self.folders],
      'pictures': [
        {'label': label, 'src': data_uri(picture, 'JPEG' if label == 'image' else 'PNG')}
        for label, picture in self.pictures(truth_path).items()
      ],
    }

  def pictures(self, truth_path: str) -> dict[str, Picture.Image]:
    """Label -> picture, at most `width` pixels wide."""
    file = self.folders[-1].files[truth_path]
    truth = self._ids(ScoredImage(file, self.num_classes).truth)
    pictures = {'image': self._photo(file.image)} if file.image else {}
    pictures['truth'] = Picture.fromarray(self.colours[truth])
    for folder in self.folders:
      pred = self._ids(images.read_label(folder.files[truth_path].pred))
      errors = np.where((pred == truth)[..., None], np.uint8(RIGHT), np.uint8(WRONG))
      errors[truth == self.num_classes] = VOID
      label = '' if len(self.folders) == 1 else f' {folder.name}'
      pictures[f'prediction{label}'] = Picture.fromarray(self.colours[pred])
      pictures[f'errors{label}'] = Picture.fromarray(errors)
      if all(folder.confident for folder in self.folders):
        pictures[f'confidence{label}'] = Picture.fromarray(
          self._small(images.read_label(folder.files[truth_path].confidence))
        )
    return pictures

  def _ids(self, label: np.ndarray) -> np.ndarray:
    """Class ids, C for everything else, scaled down."""
    return metrics.class_ids(self._small(label), self.num_classes)

  def _small(self, label: np.ndarray) -> np.ndarray:
    """A label image of at most `width` pixels of width (nearest neighbour)."""
    step = max(1, label.shape[1] / self.width)
    rows, columns = (((np.arange(max(1, int(n / step))) + 0.5) * step).astype(int).clip(max=n - 1) for n in label.shape)
    return label[np.ix_(rows, columns)]

  def _photo(self, path: str) -> Picture.Image:
    with images.open_picture(path) as picture:
      picture = ImageOps.exif_transpose(picture)
      if picture.mode.startswith('I'):  # 16 bits, which Pillow would clip to white
        picture = Picture.fromarray((np.asarray(picture) // 256).astype(np.uint8))
      picture = picture.convert('RGB')
    picture.thumbnail((self.width, 4 * self.width))
    return picture


def data_uri(picture: Picture.Image, kind: str) -> str:
  stream = io.BytesIO()
  picture.save(stream, kind, optimize=True, quality=85)  # PNG has no quality
  return f'data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}'


def page(data: dict) -> str:
  """The HTML page that draws `data`, in one file."""
  as_text = json.dumps(data, separators=(',', ':')).replace('<', '\\u003c')  # no name in it can end the script element
  return string.Template(TEMPLATE.read_text(encoding='utf-8')).substitute(data=as_text)
