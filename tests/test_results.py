"""The README's tables of measured results are those of the committed result files."""

import json
import pathlib
import re

import pytest

from utils import study_results

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / 'misc' / 'results').glob('*.json'))
SECTION = re.compile(r'^## Does it help\?$(.*?)^## ', re.DOTALL | re.MULTILINE)


def tables_of_the_readme() -> set[str]:
  (section,) = SECTION.findall((ROOT / 'README.md').read_text(encoding='utf-8'))
  return set(re.findall(r'(?:^\|.*\n)+', section, re.MULTILINE))


def scores(path: pathlib.Path) -> list[str]:
  """A table a list of images."""
  content = json.loads(path.read_text(encoding='utf-8'))
  parts = [content[split] for split in ('val', 'test') if split in content]
  return [study_results.markdown(study_results.scores_table(content, part)) + '\n' for part in parts]


def classes(path: pathlib.Path) -> list[str]:
  content = json.loads(path.read_text(encoding='utf-8'))
  parts = [content[split] for split in ('val', 'test') if split in content]
  return [study_results.markdown(study_results.classes_table(content, part)) + '\n' for part in parts]


def test_every_table_is_of_a_result_file():
  known = {table for path in RESULTS for table in (*scores(path), *classes(path))}
  shown = tables_of_the_readme()
  assert len(shown) >= len(RESULTS) and shown <= known


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_every_result_file_is_shown(path):
  assert scores(path)[-1] in tables_of_the_readme()  # of the test list, where there is one
  content = json.loads(path.read_text(encoding='utf-8'))
  assert path.with_suffix('.csv').read_text(encoding='utf-8') == study_results.as_csv(content)


def test_there_are_results():
  assert [path.stem for path in RESULTS] == ['camvid', 'demo', 'demo_variants']
