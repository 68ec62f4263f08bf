"""What the HTML report shows, as one dictionary that its page draws: scores, curves and pictures of several folders."""

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
from utils.score.image import Report, ScoredImage

TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / 'pyscripts' / 'benchmark'
RIGHT, WRONG, VOID = (222, 222, 222), (200, 30, 45), (150, 150, 150)  # colours of the picture of errors
NO_CLASS = (224, 224, 192)  # VOC's colour for void


class PerImage:
  """The mean IoU of each image, over the classes that its truth or prediction has."""

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
    self.name, self.files = name, {each.truth: each for each in files}
    self.parts = scoring.score(files, num_classes, METRICS)
    self.scores = score_files.merged([part.report() for part in self.parts.values()])
    self.iou = self.parts['per image'].iou

  def content(self) -> dict:
    means = {name: score_files.percent(value) for name, value in self.scores.means.items() if 'within' not in name}
    columns = {name: list(map(score_files.percent, column)) for name, column in self.scores.columns.items()
               if name not in score_files.COUNTS and 'within' not in name}  # fmt: skip
    rings = self.parts['trimap']
    curve = [
      score_files.percent(self.scores.means[f'mean IOU within {width} px of boundaries']) for width in rings.widths
    ]
    return {
      'name': self.name, 'means': means, 'columns': columns, 'curve': curve,
      'confusion': self.parts['confusion'].matrix.tolist(),
    }  # fmt: skip


def check_same_images(names: list[str], folders: list[list[pairs.Files]]) -> None:
  """Scores over different images cannot be compared."""
  for (name, files), (other, more) in itertools.pairwise(zip(names, folders, strict=True)):
    one, two = ({each.truth for each in group} for group in (files, more))
    if one != two:
      has, lacks = (name, other) if one - two else (other, name)
      raise InputError(
        f'{lacks}: has no prediction for {min(one ^ two)}, and {has} has; predict the same images, or list them in '
        '--data-list'
      )


def content(
  title: str, folders: list[Folder], names: list[str], photos: dict[str, str], number: int, width: int
) -> dict:
  """Everything the page draws. `photos`: truth path -> image path, or empty."""
  first = folders[0].parts
  groups = chosen(folders, number)
  shown = list(dict.fromkeys(itertools.chain.from_iterable(groups.values())))
  strip = Strips(folders, len(names), photos, width)
  return {
    'title': title,
    'images': len(folders[0].files),
    'classes': [{'name': name, 'colour': '#' + bytes(colour).hex()}
                for name, colour in zip(names, datasets.colours(len(names)).tolist(), strict=True)],
    'truth': first['confusion'].matrix.sum(axis=1).tolist(),
    'pictureWidth': width,
    'widths': list(first['trimap'].widths),
    'folders': [folder.content() for folder in folders],
    'groups': {name: [shown.index(truth) for truth in group] for name, group in groups.items()},
    'strips': [strip.of(truth) for truth in shown],
  }  # fmt: skip


def chosen(folders: list[Folder], number: int) -> dict[str, list[str]]:
  """Truth paths of the images to show: best and worst of the last folder, most changed from the first to the last."""
  first, last = folders[0].iou, folders[-1].iou
  known = sorted((truth for truth in last if last[truth] == last[truth]), key=lambda truth: (last[truth], truth))
  groups = {'worst': known[:number], 'best': known[::-1][:number]}
  if len(folders) > 1:
    change = {truth: abs(last[truth] - first[truth]) for truth in known}
    groups = {'most changed': sorted(known, key=lambda truth: (-change[truth], truth))[:number], **groups}
  return groups


class Strips:
  """Makes an image's strip of pictures: photo, truth, and each folder's prediction and errors."""

  def __init__(self, folders: list[Folder], num_classes: int, photos: dict[str, str], width: int):
    self.folders, self.num_classes, self.photos, self.width = folders, num_classes, photos, width
    self.colours = np.full((num_classes + 1, 3), NO_CLASS, np.uint8)
    self.colours[:num_classes] = datasets.colours(num_classes)

  def of(self, truth_path: str) -> dict:
    photo = {'kind': 'JPEG', 'quality': 85}
    return {
      'name': printable(self.folders[-1].files[truth_path].name),
      'iou': [score_files.percent(folder.iou[truth_path]) for folder in self.folders],
      'pictures': [
        {'label': label, 'src': data_uri(picture, **(photo if label == 'image' else {}))}
        for label, picture in self.pictures(truth_path).items()
      ],
    }

  def pictures(self, truth_path: str) -> dict[str, Picture.Image]:
    """Label -> picture, at most `width` pixels wide."""
    truth = self._smaller(image_file.read_label(truth_path))
    pictures = {'image': self._photo(self.photos[truth_path])} if self.photos else {}
    pictures['truth'] = self._coloured(truth)
    for folder in self.folders:
      pred = self._smaller(image_file.read_label(folder.files[truth_path].pred))
      label = '' if len(self.folders) == 1 else f' {folder.name}'
      pictures[f'prediction{label}'] = self._coloured(pred)
      pictures[f'errors{label}'] = self._errors(pred, truth)
    return pictures

  def _smaller(self, label: np.ndarray) -> np.ndarray:
    """Class ids, C for everything else, at most `width` pixels wide: nearest neighbour."""
    height, width = label.shape
    step = max(1, width / self.width)
    rows, columns = (
      ((np.arange(max(1, int(n / step))) + 0.5) * step).astype(int).clip(max=n - 1) for n in (height, width)
    )
    return np.minimum(metrics.clip(label[np.ix_(rows, columns)], self.num_classes), np.uint16(self.num_classes))

  def _coloured(self, label: np.ndarray) -> Picture.Image:
    return Picture.fromarray(self.colours[label])

  def _errors(self, pred: np.ndarray, truth: np.ndarray) -> Picture.Image:
    picture = np.where((pred == truth)[..., None], np.uint8(RIGHT), np.uint8(WRONG))
    picture[truth == self.num_classes] = VOID
    return Picture.fromarray(picture)

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
  """Truth path -> the image, anywhere below `image_dir`, that has the prediction's name; empty without a folder."""
  if not image_dir:
    return {}
  pairs.directory('--image-dir', image_dir)
  by_stem = {}
  for path in pairs.walk(image_dir):
    by_stem.setdefault(pathlib.PurePath(path).stem, []).append(os.path.join(image_dir, path))
  found = {}
  for each in files:
    paths = by_stem.get(pathlib.PurePath(each.name).stem, [])
    if len(paths) != 1:
      what = f'both {paths[0]} and {paths[1]} carry its name' if paths else 'no image carries its name'
      raise InputError(f'{each.pred}: {what} below --image-dir {image_dir}; give the folder of exactly these images')
    found[each.truth] = paths[0]
  return found


def printable(text: str) -> str:
  """`text` without what is no character: bytes of a file name that are not UTF-8."""
  return text.encode(errors='replace').decode()


def page(data: dict, template: pathlib.Path = TEMPLATES / 'report.html') -> str:
  """The HTML page that draws `data`; it holds everything it needs."""
  as_text = json.dumps(data, separators=(',', ':')).replace('<', '\\u003c')  # whatever a name holds, it ends no tag
  style, helpers = ((TEMPLATES / name).read_text(encoding='utf-8') for name in ('page.css', 'page.js'))
  text = string.Template(template.read_text(encoding='utf-8'))
  return text.substitute(data=as_text, style=style, helpers=helpers)
