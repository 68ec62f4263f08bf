"""The README's tables of measured results are those of the committed result files."""

import json
import pathlib

import pytest

from utils import study_results

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / 'misc' / 'results').glob('*.json'))


def test_there_are_results():
  assert [path.stem for path in RESULTS] == ['camvid', 'demo', 'demo_variants']


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_tables_of_the_readme(path):
  content = json.loads(path.read_text(encoding='utf-8'))
  readme = (ROOT / 'README.md').read_text(encoding='utf-8')
  parts = [content[split] for split in ('val', 'test') if split in content]
  for part in parts:
    assert study_results.markdown(study_results.scores_table(content, part)) in readme
  if not path.stem.endswith('variants'):  # a column a variant would not fit the page
    assert study_results.markdown(study_results.classes_table(content, parts[-1])) in readme
  text = path.with_suffix('.csv').read_text(encoding='utf-8')
  assert text == study_results.as_csv(content)
