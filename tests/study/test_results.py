"""The tables in misc/results/README.md follow from the CSV files beside it."""

import csv
import json
import pathlib
import re

import pytest

from pyscripts.study.tables import curves, paired, summary

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'misc' / 'results'
README = (FOLDER / 'README.md').read_text(encoding='utf-8')
TABLES = [
  [[cell.strip() for cell in line.strip('|\n').split('|')] for line in table.splitlines()]
  for table in re.findall(r'(?:^\|.*\n)+', README, re.MULTILINE)
  if '.csv' in table
]
COLUMNS = {
  'mIoU': 'mean_iou',
  'thin classes': 'thin_iou',
  'boundary F': 'mean_boundary_f',
  'mIoU within 2 px': 'mean_iou_within_2_px_of_boundaries',
  'pixel accuracy': 'mean_pixel_acc',
}


def read(name: str) -> list[dict]:
  return list(csv.DictReader((FOLDER / name).read_text(encoding='utf-8').splitlines()))


def by_method(rows: list[dict]) -> dict[str, dict[str, dict]]:
  """The rows by method and seed."""
  methods = {}
  for row in rows:
    methods.setdefault(row['method'], {})[row['seed']] = row
  return methods


def level(runs: dict, key: str) -> str:
  found = summary(row[key] for row in runs.values())
  return ('{mean:.1f}' if found['n'] == 1 else '{mean:.1f} ± {standard_error:.1f}').format(**found)


def gain(runs: dict, baseline: dict, key: str) -> str:
  """Paired by seed: the gain of each of at most two seeds, or the mean with its 95 % t-interval."""
  values, against = ([float(rows[seed][key]) for seed in runs] for rows in (runs, baseline))
  if len(runs) < 3:
    text = ', '.join(f'{a - b:+.1f}' for a, b in zip(values, against, strict=True))
  else:
    text = '{mean:+.1f} [{low:+.1f}, {high:+.1f}]'.format(**paired(values, against))
  return text.replace('-', '−')


@pytest.mark.parametrize('table', TABLES, ids=lambda table: table[0][0].split(']')[0].strip('['))
def test_table(table):
  (source, seeds, *titles), _, *rows = table
  name, part = re.fullmatch(r'\[(.*\.csv)\]\(\1\), (test|validation)', source).groups()
  split, runs = {'test': 'test', 'validation': 'val'}[part], by_method(read(name))
  assert seeds == 'seeds' and rows[0][0] == 'baseline' and len(rows) <= 8
  for method, count, *cells in rows:
    assert int(count) == len(runs[method])
    for title, cell in zip(titles, cells, strict=True):
      key = f'{split}_{COLUMNS[title.removeprefix("gain, ")]}'
      if not title.startswith('gain, '):
        assert cell == level(runs[method], key)
      else:
        assert cell == ('' if method == 'baseline' else gain(runs[method], runs['baseline'], key))


def test_chart():
  assert curves(json.loads((FOLDER / 'camvid_losses.json').read_text())['runs'])[0] in README


def test_every_result_file_is_named():
  """And every file that the page names is there."""
  named = set(re.findall(r'\w+\.csv', README))
  assert named == {path.name for path in FOLDER.glob('*.csv')} and len(TABLES) > 4


def test_recipes():
  """Each row of the table of recipes has the scores of the file, in the order of the steps."""
  scores = {}
  for row in read('camvid_finetune.csv'):
    if row['steps'] in ('1101', '1835'):
      scores.setdefault(row['recipe'], []).append(f'{float(row["val_mean_iou"]):.1f}')
  for recipe, row in scores.items():
    assert re.search(rf'^\| {recipe}, \S+ {re.escape("| " + " | ".join(row))} \|', README, re.IGNORECASE | re.MULTILINE)


def test_scores_in_the_text_on_recipes():
  text = ' '.join(README[README.index('## How soon') : README.index('## The demo')].split())
  scores = [row['val_mean_iou'] for row in read('camvid_rates.csv')]
  scores += [row['val_mean_iou'] for row in read('camvid_recipe.csv') + read('camvid_finetune.csv')]
  scores += [row['test_mean_iou'] for row in read('camvid_recipe.csv') + read('camvid_finetune.csv')]
  assert [score for score in scores if score and f' {float(score):.1f}' not in text] == []
