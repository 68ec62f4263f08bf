"""The pass over the images of a data set that all scores share, the image that is scored, and scores as JSON and CSV.

A kind of score is a module with two functions: `count(image)` gives arrays that can be added up over images, and
`report(sums)` turns their sums into scores. Here they are those of the confusion matrix; `instances`, `boundaries`,
`calibration` and `cityscapes` have the same two, and their reports may use the confusion matrix, which is always among
the sums. Written scores are in percent; a missing score is null in JSON and empty in CSV.
"""

import contextlib
import functools
import math
import operator
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from utils import checks, files, images, metrics, parallel
from utils.errors import InputError
from utils.labels import VOID
from utils.metrics import Scores
from utils.score.pairs import Files

# Name -> counts that `+` adds up: arrays, or a list of entries, which `+` makes longer.
Sums = dict


class ScoredImage:
  """Prediction and ground truth of one image, read and compared once for all scores."""

  def __init__(self, files: Files, num_classes: int):
    self.files, self.num_classes = files, num_classes
    self.pred = images.read_label(files.pred)
    self.truth = self.of_same_size(files.truth)

  def of_same_size(self, path: str) -> np.ndarray:
    """Another label image, turned as its photo is seen where only that fits; an InputError if it differs in size."""
    labels = images.read_label(path)
    if labels.shape != self.pred.shape and self.files.image:
      with contextlib.suppress(InputError):  # a TIFF, which is never turned
        labels = checks.as_seen(labels, self.files.image)
    if labels.shape != self.pred.shape:
      sizes = ['{1} x {0}'.format(*shape) for shape in (self.pred.shape, labels.shape)]
      mend = 'predict at the size of the ground truth'
      if labels.shape == self.pred.shape[::-1] and not self.files.image:
        mend = 'where its photo lies turned (EXIF), give --data-dir with --data-list, which names both, not --gt-dir'
      raise InputError(f'{self.files.pred}: is {sizes[0]} while {path} is {sizes[1]} (width x height); {mend}')
    return labels

  @functools.cached_property
  def instances(self) -> np.ndarray:
    """The instance ids, of the ground truth's shape."""
    return self.of_same_size(self.files.instances)

  @functools.cached_property
  def runs(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Predictions, ground truth and lengths of the runs of both."""
    return list(metrics.runs(self.pred, self.truth))

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    """The confusion matrix, int64 [C, C + 1]."""
    return metrics.confusion_of_runs(self.runs, self.num_classes)

  @functools.cached_property
  def regions(self) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction as region maps (uint8 or uint16): classes, C for void, C + 1 for outside the classes.

    The prediction is void wherever the ground truth is, so that nothing predicted there matters. A prediction outside
    the classes is a region that matches no class.
    """
    void, outside = self.num_classes, self.num_classes + 1
    dtype = np.uint8 if outside < 255 else np.uint16  # `boundaries.band` needs one more value
    truth, pred = (metrics.class_ids(labels, void).astype(dtype) for labels in (self.truth, self.pred))
    pred[pred == void] = outside
    pred[truth == void] = void
    return truth, pred


def count_files(files: list[Files], num_classes: int, counters: Sequence[Callable[[ScoredImage], Sums]]) -> Sums:
  """The sums over all images of what the functions `counters` count, and of the confusion matrix."""
  count_image = functools.partial(_count_image, num_classes, [count, *counters])
  return parallel.accumulate(count_image, add, {}, files, 'scoring')


def _count_image(num_classes: int, counters, files: Files) -> Sums:
  image = ScoredImage(files, num_classes)
  return functools.reduce(operator.or_, (counter(image) for counter in counters))


def add(sums: Sums, more: Sums) -> Sums:
  """The sums over the images of both; `sums` is empty or has the same names."""
  return {name: sums[name] + more[name] for name in more} if sums else more


def count(image: ScoredImage) -> Sums:
  """The confusion matrix, and of an image that has them: truth values outside the classes, truth that is void only."""
  strays = []  # (path, value, its pixels, those of them that are predicted as that value)
  for pred, truth, lengths in image.runs:
    outside = (metrics.class_ids(truth, image.num_classes) == image.num_classes) & (truth != VOID)
    values, index = np.unique(truth[outside], return_inverse=True)
    pixels, same = (np.bincount(index, x[outside], len(values)) for x in (lengths, lengths * (pred == truth)))
    strays += zip([image.files.truth] * len(values), values.tolist(), pixels.tolist(), same.tolist(), strict=True)
  return {
    'confusion': image.confusion,
    'strays': strays,
    'void_only': [] if image.confusion.any() else [image.files.truth],
  }


def report(sums: Sums) -> metrics.Scores:
  return metrics.of_matrix(sums['confusion'])


def check_truth(sums: Sums, num_classes: int, ignored: list[int]) -> list[str]:
  """Lines about truth that is not counted: values that are neither class nor void, and images that are void only.

  2018's rule leaves them out of the scores, so that the truth of 25 classes scored as 21 would look perfect.

  Raises:
    InputError: the truth has more classes: several such values, which take 1 % of it or are predicted too.
  """
  lines = []
  strays = [stray for stray in sums['strays'] if stray[1] not in ignored]  # as `count` lists them
  if strays:
    found = Counter()
    for _, value, pixels, _ in strays:
      found[value] += int(pixels)
    values = sorted(found)
    first = next(path for path, value, *_ in strays if value == values[0])
    share = found.total() / (found.total() + int(sums['confusion'].sum()))
    shown = ', '.join(f'{value} ({found[value]} pixels)' for value in values[:5])
    void = f'--ignore-label {" ".join(map(str, values[:5]))}{" ..." if len(values) > 5 else ""}'
    line = (
      f'{first}: the ground truth holds {shown}{", ..." if len(values) > 5 else ""}: neither a class (0 '
      f'to {num_classes - 1}) nor void (255); {100 * share:.2f} % of it. If they are classes, give --num-classes '
      f'{values[-1] + 1} or convert the labels; if void, {void if values[0] >= 0 else "write 255"}'
    )
    if len(values) > 1 and (share >= 0.01 or any(same for *_, same in strays)):
      raise InputError(line)
    lines.append(f'warning: {line}; they are left out here')
  if sums['void_only']:
    number = len(sums['void_only'])
    lines.append(f'warning: the ground truth of {number} images is void everywhere; the first: {sums["void_only"][0]}')
  return lines


COUNTS = ('truth_pixels', 'predicted_pixels', 'instances')  # columns of whole numbers


# Scores of the data set that are not the mean of a column.
OVERALL = ('mean_pixel_acc', 'frequency_weighted_iou', 'mean_category_iou', 'mean_category_iiou')


def as_dict(report: Scores, names: list[str], **settings) -> dict:
  """The report as JSON writes it, behind the `settings` of the run."""
  rows = [{'id': i, 'name': name} for i, name in enumerate(names)]
  for column, values in report.columns.items():
    for row, value in zip(rows, values, strict=True):
      row[column] = int(value) if column in COUNTS else percent(value)
  more = {
    key: value.tolist() if isinstance(value, np.ndarray) else {name: percent(v) for name, v in value.items()}
    for key, value in report.more.items()
  }
  means = {key.replace(' ', '_').replace('-', '_').lower(): percent(value) for key, value in report.means.items()}
  return {**settings, 'means': means, 'classes': rows, **more}


def percent(fraction: float | np.ndarray) -> float | list | None:
  """A fraction in percent, None for NaN; a list of these for an array."""
  if isinstance(fraction, np.ndarray):
    return list(map(percent, fraction))
  return None if math.isnan(fraction) else round(100 * float(fraction), 6)


def write_csv(path: str, content: dict) -> None:
  """A row for each class, then the row `mean`: means of the columns of percentages, and the `OVERALL` scores."""
  rows = content['classes']
  columns = list(rows[0])
  mean = {'id': 'mean', 'name': ''}
  for column in columns[2:]:
    values = [row[column] for row in rows if row[column] is not None]
    mean[column] = '' if column in COUNTS or not values else round(sum(values) / len(values), 6)
  mean |= {name: content['means'][name] for name in OVERALL if name in content['means']}  # csv writes None as nothing
  files.write_csv(path, [list(mean), *([row.get(column) for column in mean] for row in rows), mean.values()])
