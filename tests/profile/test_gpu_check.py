"""The GPU check: results are kept, a crash ends one part alone, and every part of the table can be begun."""

import importlib
import json
import os
import pathlib
import time

import pytest

from pyscripts.profile import gpu_check
from utils import errors
from utils.profile import figures, gpu_parts, parts
from utils.profile.parts import Part, Results, run_all, table


def python(section: str, code: str, **settings) -> Part:
  """A part that runs `code`; its rows are to be written to the file `sys.argv[2]`."""
  return Part(section, {'of': section}, ('-c', f'import json, os, sys, time\n{code}'), **settings)


def writes(section: str, number: str, then: str = '') -> Part:
  return python(section, f"json.dump([{{'figure': {number}}}], open(sys.argv[2], 'w'))\n{then}")


def run(of_all, folder, seconds=60):
  results, reports = Results(folder), []
  run_all(of_all, results, seconds, lambda: reports.append(table(of_all, results)))
  return results, reports


@pytest.fixture(autouse=True)
def no_least(monkeypatch):
  monkeypatch.setattr(parts, 'LEAST_SECONDS', 0)


def test_a_part_that_fails_is_a_row_that_says_so_and_ends_no_other(tmp_path):
  of_all = [
    writes('whole', '1'),
    python('error', "sys.exit('error: no such thing')"),
    python('killed', 'os.kill(os.getpid(), 9)'),
    python('memory', "raise MemoryError('ResourceExhaustedError: OOM when allocating')"),
    python('slow', 'time.sleep(60)', limit=1),
    writes('outside', '2', 'sys.exit(1)'),
  ]
  _, reports = run(of_all, tmp_path)
  assert len(reports) == len(of_all)
  said = {row['of']: row.get('') or row['figure'] for row in reports[-1]}
  assert said == {
    'whole': 1,
    'error': 'exit code 1: error: no such thing',
    'killed': 'killed by signal 9: without a word',
    'memory': 'out of memory',
    'slow': 'not done after 1 s',
    'outside': 2,
  }
  assert all('not run' in row[''] for row in reports[0][1:])


def test_what_is_done_is_not_done_again_unless_its_command_is_another(tmp_path):
  first, failed = writes('first', 'os.getpid()'), python('failed', 'sys.exit(3)')
  results, _ = run([first, failed], tmp_path)
  before = results.of(first), results.of(failed)
  assert run([first, failed], tmp_path)[1] == [] and (results.of(first), results.of(failed)) == before
  results.forget_failures([first, failed])
  assert results.of(first) == before[0] and results.of(failed) is None
  other = writes('first', '-os.getpid()')
  assert other.name == first.name and results.of(other) is None


def test_what_the_end_of_the_time_cut_off_is_begun_again_and_leaves_no_process(tmp_path):
  sign = tmp_path / 'pid'
  child = f'import os, time; open({str(sign)!r}, "w").write(str(os.getpid())); time.sleep(60)'
  slow = python('slow', f'import subprocess\nsubprocess.run([sys.executable, "-c", {child!r}])')
  results, reports = run([slow, writes('next', '1')], tmp_path / 'parts', seconds=3)
  assert results.of(slow) is None and 'not run' in reports[-1][0]['']
  assert not list((tmp_path / 'parts').glob('*.json'))
  end = time.monotonic() + 20  # for the system to end it
  while is_running(sign.read_text()):
    assert time.monotonic() < end
    time.sleep(0.1)


def is_running(process: str) -> bool:
  try:
    return pathlib.Path(f'/proc/{process}/stat').read_text().split()[2] != 'Z'
  except OSError:
    return False


@pytest.mark.parametrize('of_all', [
  gpu_parts.on_gpus(2, False, 'python'), gpu_parts.on_gpus(1, True, 'python'), gpu_parts.on_cpu(False, 'python')
])  # fmt: skip
def test_every_part_has_a_name_of_its_own_and_flags_that_its_program_takes(of_all, monkeypatch):
  assert len({part.name for part in of_all}) == len(of_all)

  class Parsed(Exception):
    pass

  parse = gpu_check.arguments.Parser.parse_args

  def stop(self, argv=None):
    args = parse(self, argv)
    if hasattr(args, 'json'):  # else it is a parser whose defaults a program takes over
      raise Parsed(args)
    return args

  monkeypatch.setattr(gpu_check.arguments.Parser, 'parse_args', stop)
  for part in of_all:
    program, *words = part.command
    main = importlib.import_module(program.removesuffix('.py').replace('/', '.')).main
    with pytest.raises(Parsed) as e:
      main([*words, '--json', 'rows.json'])
    assert e.value.args[0].json == 'rows.json'


def test_goals_are_judged_by_the_figures_or_said_to_be_unmeasured():
  of_crop = {'crop': 336, 'batch': 8, 'precision': 'bfloat16'}
  steps = [{**of_crop, 'XLA': xla, 'step s': s, 'of matrix product': s} for xla, s in (('no', 0.5), ('yes', 0.44))]
  tables = {
    gpu_parts.STEP: [*steps, {**of_crop, '': 'out of memory'}, {**of_crop, 'crop': 720, 'of matrix product': 0.9}],
    gpu_parts.TORCH: [{'step s': 0.4}],
    gpu_parts.LOSS: [{'logits': '8x90x90x19', 'times faster': 19.0}],
    gpu_parts.RECORDED: [{'within': True}, {'within': True}],
    gpu_parts.OBJECTIVES: [{'': 'out of memory'}],
  }
  judged = [(goal['figure'], goal['met']) for goal in (goal.judged(tables) for goal in gpu_parts.GOALS)]
  unmeasured = ('not measured', '')
  assert judged == [(0.5, True), unmeasured, (19.0, False), (pytest.approx(1.1), False), (0, True), unmeasured]


def test_a_table_has_every_column_and_no_cell_ends_early():
  rows = [{'a': 1, 'b|c': 0.000123456}, {'a': 123456.7, 'd': 'x|y'}, {'a': True}]
  assert figures.markdown(rows).splitlines() == [
    r'| a | b\|c | d |',
    '| --- | --- | --- |',
    '| 1 | 0.000123 |  |',
    r'| 123457 |  | x\|y |',
    '| yes |  |  |',
  ]


@pytest.mark.skipif('LONG' not in os.environ, reason='takes minutes; set LONG=1')
def test_the_whole_check_without_a_gpu(tmp_path, capsys):
  assert errors.run(gpu_check.main, ['--out-dir', str(tmp_path), '--minutes', '25']) == 0
  content = json.loads((tmp_path / 'report.json').read_text())
  assert {row.get('') for rows in content['tables'].values() for row in rows} == {None}
  assert {goal['figure'] for goal in content['goals']} == {'no GPU here'}
  assert '**No GPU' in (tmp_path / 'report.md').read_text()
  other = {**content['machine'], 'GPUs': ['another']}
  (machine,) = (tmp_path / 'parts').glob('machine.json')
  machine.write_text(json.dumps({**json.loads(machine.read_text()), 'rows': [other]}))
  assert errors.run(gpu_check.main, ['--out-dir', str(tmp_path)]) == 2
  assert 'results of another machine' in capsys.readouterr().err
