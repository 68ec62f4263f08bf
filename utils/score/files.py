"""Scores as JSON and CSV files, in percent; a missing score is null in JSON and empty in CSV."""

import csv
import io
import json
import math

import numpy as np

from utils import files as whole_files
from utils.metrics import Scores

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
    key: value.tolist() if isinstance(value, np.ndarray) else {name: percents(v) for name, v in value.items()}
    for key, value in report.more.items()
  }
  means = {key.replace(' ', '_').replace('-', '_').lower(): percent(value) for key, value in report.means.items()}
  return {**settings, 'means': means, 'classes': rows, **more}


def percents(value):
  """A fraction or an array of them in percent."""
  return list(map(percent, value)) if isinstance(value, np.ndarray) else percent(value)


def percent(fraction: float) -> float | None:
  return None if math.isnan(fraction) else round(100 * float(fraction), 6)


def write_json(path: str, content: dict) -> None:
  whole_files.write_text(path, json.dumps(content, indent=1) + '\n')


def write_csv(path: str, content: dict) -> None:
  """A row for each class, then the row `mean`: means of the columns of percentages, and the `OVERALL` scores."""
  rows = content['classes']
  columns = list(rows[0])
  mean = {'id': 'mean', 'name': ''}
  for column in columns[2:]:
    values = [row[column] for row in rows if row[column] is not None]
    mean[column] = '' if column in COUNTS or not values else round(sum(values) / len(values), 6)
  mean |= {name: content['means'][name] for name in OVERALL if name in content['means']}  # csv writes None as nothing
  text = io.StringIO()
  writer = csv.DictWriter(text, list(mean), lineterminator='\n')
  writer.writeheader()
  writer.writerows({**row, 'name': as_text(row['name'])} for row in rows)
  writer.writerow(mean)
  whole_files.write_text(path, text.getvalue())


def as_text(cell: str) -> str:
  """A spreadsheet takes cells that begin so for formulas; behind a quote they are text."""
  return f"'{cell}" if cell.startswith(('=', '+', '-', '@')) else cell
