"""The figures of a measurement as rows {column: value}: written as JSON, shown as a Markdown table."""

import json

from utils import files


def add_flag(parser) -> None:
  parser.add_argument('--json', default='', metavar='FILE', help='write the figures there too, as rows')


def write(path: str, rows: list[dict]) -> None:
  """Writes the rows to the file of `--json`, if one was named."""
  if path:
    files.write_text(path, json.dumps(rows, indent=1) + '\n')


def markdown(rows: list[dict]) -> str:
  """A table with every column that a row has, in the order of their first use."""
  columns = list(dict.fromkeys(column for row in rows for column in row))
  lines = [list(map(shown, columns)), ['---'] * len(columns)]
  lines += [[shown(row.get(column, '')) for column in columns] for row in rows]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def shown(value) -> str:
  """Numbers with three digits; the bars that would end a table's cell are escaped."""
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, float):
    return f'{value:.0f}' if 1000 <= abs(value) < 1e7 else f'{value:.3g}'
  return str(value).replace('|', r'\|')
