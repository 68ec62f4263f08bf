"""The data of the HTML report, which its page draws: scores, curves and pictures of several folders of predictions."""

import base64
import io
import itertools
import json
import os
import pathlib
import string

import numpy as np
from PIL import Image as Picture

from utils import image_file
from utils.data import datasets
from utils.errors import InputError
from utils.score import boundaries, metrics, pairs, scoring
from utils.score import files as score_files
from utils.score.image import Metric, Report, ScoredImage

TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / 'pyscripts' / 'benchmark'
RIGHT, WRONG, VOID = (222, 222, 222), (200, 30, 45), (150, 150, 150)  # colours of the picture of errors
NO_CLASS = (224, 224, 192)  # VOC's colour for void


class PerImage(Metric):
  """The mean IoU of each image, over the classes in its ground truth or prediction: ground truth path -> IoU."""

  def __init__(self, num_classes: int):
    del num_classes
    self.iou = {}

  def add(self, image: ScoredImage) -> None:
    self.iou[image.files.truth] = metrics.mean(metrics.iou(image.confusion))

  def join(self, other: 'PerImage') -> None:
    self.iou.update(other.iou)

  def report(self) -> Report:
    return Report({}, {})


METRICS = {'confusion': scoring.Confusion, **boundaries.METRICS, 'per image': PerImage}


class Folder:
  """One folder of predictions and its scores."""

  def __init__(self, name: str, files: list[pairs.Files], num_classes: int):
    self.name, self.files = name, {file.truth: file for file in files}
    self.metrics = scoring.score(files, num_classes, METRICS)
    self.iou = self.metrics['per image'].iou

  def content(self) -> dict:
    report = score_files.merged([metric.report() for metric in self.metrics.values()])
    means = {name: score_files.percent(mean) for name, mean in report.means.items()}
    columns = {name: column for name, column in report.columns.items() if name not in score_files.COUNTS}
    return {
      'name': self.name,
      'means': {name: mean for name, mean in means.items() if 'within' not in name},
      'columns': {name: list(map(score_files.percent, column)) for name, column in columns.items()
                  if 'within' not in name},
      'curve': [mean for name, mean in means.items() if 'within' in name],
      'confusion': self.metrics['confusion'].matrix.tolist(),
    }  # fmt: skip


def check_same_images(names: list[str], folders: list[list[pairs.Files]]) -> None:
  """Raises InputError unless all folders predict the same images: other scores cannot be compared."""
  truths = [{file.truth for file in files} for files in folders]
  for (name, first), (other, second) in itertools.pairwise(zip(names, truths, strict=True)):
    if first != second:
      has, lacks = (name, other) if first - second else (other, name)
      raise InputError(
        f'{lacks}: has no prediction for {min(first ^ second)}, and {has} has; predict the same images, or list them '
        'in --data-list'
      )


def content(
  title: str, folders: list[Folder], names: list[str], photos: dict[str, str], number: int, width: int
) -> dict:
  """Everything the page draws, with `number` images a group. `photos`: ground truth path -> image path, or empty."""
  by_name = folders[0].metrics
  groups = image_groups(folders, number)
  shown = list(dict.fromkeys(itertools.chain.from_iterable(groups.values())))
  strips = Strips(folders, len(names), photos, width)
  return {
    'title': title,
    'images': len(folders[0].files),
    'classes': [{'name': name, 'colour': '#' + bytes(colour).hex()}
                for name, colour in zip(names, datasets.colours(len(names)).tolist(), strict=True)],
    'truth': by_name['confusion'].matrix.sum(axis=1).tolist(),
    'pictureWidth': width,
    'widths': list(by_name['trimap'].widths),
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

  def __init__(self, folders: list[Folder], num_classes: int, photos: dict[str, str], width: int):
    self.folders, self.num_classes, self.photos, self.width = folders, num_classes, photos, width
    self.colours = np.vstack([datasets.colours(num_classes), np.array([NO_CLASS], np.uint8)])

  def of(self, truth_path: str) -> dict:
    """The strip in the form that the page draws."""
    kinds = {'image': {'kind': 'JPEG', 'quality': 85}}
    return {
      'name': self.folders[-1].files[truth_path].name.encode(errors='replace').decode(),  # file names may not be UTF-8
      'iou': [score_files.percent(folder.iou[truth_path]) for folder in self.folders],
      'pictures': [
        {'label': label, 'src': data_uri(picture, **kinds.get(label, {}))}
        for label, picture in self.pictures(truth_path).items()
      ],
    }

  def pictures(self, truth_path: str) -> dict[str, Picture.Image]:
    """Label -> picture, at most `width` pixels wide."""
    truth = self._read(truth_path)
    pictures = {'image': self._photo(self.photos[truth_path])} if self.photos else {}
    pictures['truth'] = Picture.fromarray(self.colours[truth])
    for folder in self.folders:
      pred = self._read(folder.files[truth_path].pred)
      errors = np.where((pred == truth)[..., None], np.uint8(RIGHT), np.uint8(WRONG))
      errors[truth == self.num_classes] = VOID
      label = '' if len(self.folders) == 1 else f' {folder.name}'
      pictures[f'prediction{label}'] = Picture.fromarray(self.colours[pred])
      pictures[f'errors{label}'] = Picture.fromarray(errors)
    return pictures

  def _read(self, path: str) -> np.ndarray:
    """Class ids, C for everything else, scaled down to at most `width` pixels of width (nearest neighbour)."""
    label = image_file.read_label(path)
    step = max(1, label.shape[1] / self.width)
    rows, columns = (((np.arange(max(1, int(n / step))) + 0.5) * step).astype(int).clip(max=n - 1) for n in label.shape)
    return metrics.class_ids(label[np.ix_(rows, columns)], self.num_classes)

  def _photo(self, path: str) -> Picture.Image:
    with image_file.open_picture(path) as picture:
      picture = picture.convert('RGB')
    picture.thumbnail((self.width, 4 * self.width))
    return picture


def data_uri(picture: Picture.Image, kind: str = 'PNG', **options) -> str:
  stream = io.BytesIO()
  picture.save(stream, kind, optimize=True, **options)
  return f'data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}'


def photos(image_dir: str, files: list[pairs.Files]) -> dict[str, str]:
  """Ground truth path -> the image, anywhere in `image_dir`, with the prediction's name; empty without a folder."""
  if not image_dir:
    return {}
  pairs.check_folder('--image-dir', image_dir)
  by_stem = pairs.grouped(pairs.walk(image_dir), pairs.stem)
  found = {}
  for file in files:
    paths = by_stem.get(pairs.stem(file.name), [])
    if len(paths) != 1:
      problem = f'both {paths[0]} and {paths[1]} carry its name' if paths else 'no image carries its name'
      raise InputError(f'{file.pred}: {problem} in --image-dir {image_dir}; give the folder of exactly these images')
    found[file.truth] = os.path.join(image_dir, paths[0])
  return found


def page(data: dict, template: pathlib.Path = TEMPLATES / 'report.html') -> str:
  """The HTML page that draws `data`, in one file."""
  as_text = json.dumps(data, separators=(',', ':')).replace('<', '\\u003c')  # no name in it can end the script element
  style, helpers = ((TEMPLATES / name).read_text(encoding='utf-8') for name in ('page.css', 'page.js'))
  text = string.Template(template.read_text(encoding='utf-8'))
  return text.substitute(data=as_text, style=style, helpers=helpers)
