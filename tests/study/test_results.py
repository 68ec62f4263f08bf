"""The tables in misc/results/README.md are those of the result files beside it."""

import csv
import json
import pathlib
import re

import numpy as np
import pytest

from utils.study import plan, results, tables

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'misc' / 'results'
RESULTS = sorted(FOLDER.glob('*.json'))
README = (FOLDER / 'README.md').read_text(encoding='utf-8')
SHOWN = set(re.findall(r'(?:^\|.*\n)+', README, re.MULTILINE))


def table(rows) -> str:
  return tables.markdown(rows) + '\n'


def read(path: pathlib.Path) -> tuple[dict, list[dict]]:
  """The content, and its scores by list: validation, and test where every method was scored on it."""
  content = json.loads(path.read_text(encoding='utf-8'))
  parts = [content[split] for split in ('val', 'test') if split in content]
  return content, [part for part in parts if len(part['methods']) == len(content['methods'])]


def tables_of(path: pathlib.Path) -> list[str]:
  content, parts = read(path)
  scores = [make(content, part) for part in parts for make in (tables.scores_table, tables.classes_table)]
  scores += [tables.classes_table(content, part, plan.METHODS) for part in parts]
  return [*map(table, scores), table(tables.curves_table(tables.curves(content)))]


def start() -> str:
  """The curve of the training that CamVid's study begins from: the run's own validation.csv."""
  with open(FOLDER / 'camvid_start.csv', newline='', encoding='utf-8') as f:
    curve = [(int(row['step']), float(row['mIoU'])) for row in csv.DictReader(f)]
  return table(tables.curves_table({'start': [curve]}))


def test_every_table_is_of_a_result_file():
  known = {start()}.union(*map(tables_of, RESULTS))
  assert len(SHOWN) > len(RESULTS) and known >= SHOWN and start() in SHOWN


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_every_result_file_is_shown(path):
  content, parts = read(path)
  assert table(tables.scores_table(content, parts[-1])) in SHOWN
  assert path.with_suffix('.csv').read_text(encoding='utf-8') == results.as_csv(content)


def test_scores_of_the_start():
  means = []
  for split in ('val', 'test'):
    with open(FOLDER / f'camvid_start_{split}.csv', newline='', encoding='utf-8') as f:
      means += [float(row['iou']) for row in csv.DictReader(f) if row['id'] == 'mean']
  sentence = 'The start scores {:.1f} % on the validation list and {:.1f} % on the test list'.format(*means)
  assert sentence in ' '.join(README.split())


def test_there_are_results():
  assert [path.stem for path in RESULTS] == [
    'camvid',
    'camvid_imagenet',
    'camvid_options',
    'camvid_scratch',
    'camvid_settings',
    'camvid_settings_stride8',
    'camvid_variants',
    'demo',
    'demo_variants',
  ]


def test_the_options_in_the_readme_of_training():
  content = json.loads((FOLDER / 'camvid_options.json').read_text(encoding='utf-8'))
  rows = [['flags', 'mIoU, seed 1', 'seed 2', 'mean gain', 'pixel accuracy', 's/step', 'memory, GB']]
  for method in content['methods']:
    runs = [run['val']['figures'] for run in content['runs'] if run['method'] == method['name']]
    gains = [d['figures']['mean_iou']['mean'] for d in content['val']['differences'] if d['of'] == method['name']]
    rows.append(
      [
        f'`{method["flags"]}`' if method['flags'] else 'none',
        *(f'{run["mean_iou"]:.1f}' for run in runs),
        *([f'{gain:+.1f}'.replace('-', '−') for gain in gains] or ['']),
        f'{np.mean([run["mean_pixel_acc"] for run in runs]):.1f}',
        f'{method["seconds_per_step"]:.2f}',
        f'{method["peak_memory_mb"] / 1e3:.2f}',
      ]
    )
  assert table(rows) in (FOLDER.parents[1] / 'pyscripts' / 'train' / 'README.md').read_text(encoding='utf-8')
