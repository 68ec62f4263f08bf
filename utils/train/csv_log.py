"""A CSV file that grows by a row a step, and that a resumed run continues."""

import contextlib
import csv
import os
import re

from utils.atomic import whole_file
from utils.errors import RunError


class CsvLog:
  """Appends rows {column: value} with a column `step` to a CSV file, each written at once.

  The rows of steps before `first` are kept. Later rows were written after the checkpoint that the run resumed from, and
  those steps are done again. The first row opens the file; its keys are the columns.
  """

  def __init__(self, path: str, first: int):
    self.path, self.first = path, first
    self.file = self.writer = None

  def write(self, row: dict) -> None:
    """Raises RunError if the disk is full."""
    try:
      if self.file is None:
        self._open(list(row))
      self.writer.writerow({k: f'{v:.7g}' if isinstance(v, float) else v for k, v in row.items()})
      self.file.flush()
    except OSError as e:
      raise RunError(f'{self.path}: cannot be written ({e.strerror}); make room and go on with --resume') from None

  def _open(self, columns):
    kept = []
    if self.first and os.path.exists(self.path):
      # What a crash of the machine damaged is left out.
      with open(self.path, newline='', encoding='utf-8', errors='replace') as f, contextlib.suppress(csv.Error):
        for row in csv.DictReader(f):
          if re.fullmatch(r'\d{1,18}', row.get('step') or '') and int(row['step']) < self.first:
            kept.append(row)
    with whole_file(self.path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as f:
      writer = csv.DictWriter(f, columns, extrasaction='ignore', restval='')
      writer.writeheader()
      writer.writerows(kept)
    self.file = open(self.path, 'a', newline='', encoding='utf-8')  # noqa: SIM115 (closed by close)
    self.writer = csv.DictWriter(self.file, columns)

  def close(self) -> None:
    if self.file:
      with contextlib.suppress(OSError):  # a full disk was reported when the row was written
        self.file.close()
