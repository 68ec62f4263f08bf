"""The tables in misc/results/README.md follow from the CSV files beside it."""

import csv
import json
import pathlib
import re
import statistics

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'misc' / 'results'
README = (FOLDER / 'README.md').read_text(encoding='utf-8')
TEXT = ' '.join(README.split())  # without line ends
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
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # 97.5 % quantiles of Student's t by degrees of freedom


def read(name: str) -> list[dict]:
  with open(FOLDER / name, newline='', encoding='utf-8') as f:
    return list(csv.DictReader(f))


def by_method(rows: list[dict]) -> dict[str, dict[str, dict]]:
  """The rows by method and seed."""
  methods = {}
  for row in rows:
    methods.setdefault(row['method'], {})[row['seed']] = row
  return methods


def mean_and_error(x: list[float]) -> tuple[float, float]:
  return statistics.mean(x), statistics.stdev(x) / len(x) ** 0.5


def level(runs: dict, key: str) -> str:
  mean, error = mean_and_error([float(row[key]) for row in runs.values()])
  return f'{mean:.1f} ± {error:.1f}'


def gain(runs: dict, baseline: dict, key: str) -> str:
  """Paired by seed: the gain of each of two seeds, or the mean with its 95 % t-interval."""
  gains = [float(row[key]) - float(baseline[seed][key]) for seed, row in runs.items()]
  if len(gains) == 2:
    text = f'{gains[0]:+.1f}, {gains[1]:+.1f}'
  else:
    mean, error = mean_and_error(gains)
    half = T[len(gains) - 1] * error
    text = f'{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]'
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


def test_every_result_file_is_named():
  """And every file that the page names is there."""
  named = set(re.findall(r'\w+\.csv', README))
  assert named == {path.name for path in FOLDER.glob('*.csv')} and len(TABLES) > 4


def test_recipes():
  """Each row of the table of recipes has the scores of the file, in the order of the steps; the text has the last of 30
  images."""
  scores, last = {}, {}
  for row in read('camvid_recipe.csv'):
    if row['images'] == '30':
      last[row['recipe']] = f'{float(row["val_mean_iou"]):.1f}'
      continue
    scores.setdefault(row['recipe'], []).append(f'{float(row["val_mean_iou"]):.1f}')
  for recipe, row in scores.items():
    assert re.search(rf'^\| {recipe}, \S+ {re.escape("| " + " | ".join(row))} \|', README, re.IGNORECASE | re.MULTILINE)
  assert f'momentum reaches {last["momentum"]} % on the validation list and AdamW {last["adamw"]}' in TEXT


def test_rates():
  """Each row of the table of rates, and the two scores after 600 steps, are those of the file."""
  scores = {tuple(row.values())[:5]: f'{float(row["val_mean_iou"]):.1f}' for row in read('camvid_rates.csv')}
  shown = re.findall(r'^\| (momentum|adamw) \| (\S+) \| (?:(\d+) times|once) \| (\S+) \|', README, re.MULTILINE)
  assert len(shown) == 8
  for optimizer, rate, times, score in shown:
    assert score == scores['aaf', optimizer, f'{float(rate):g}', times or '1', '300']
  plain, aaf = (scores[loss, 'adamw', '0.001', '10', '600'] for loss in ('cross-entropy', 'aaf'))
  assert f'cross-entropy alone reaches {plain} and the AAF loss {aaf} on the validation list' in TEXT


def test_curve():
  for run in json.loads((FOLDER / 'camvid_losses.json').read_text(encoding='utf-8'))['runs']:
    last = ', '.join(f'{score:.1f}' for _, score in run['val_curve'][-4:])
    assert run['method'] != 'baseline' or f'seed {run["seed"]}: {last}' in TEXT


def test_score_of_the_start():
  mean = next(row for row in read('camvid_start_test.csv') if row['id'] == 'mean')
  assert f'cross-entropy ({float(mean["iou"]):.1f} % mIoU on the test list' in TEXT
