"""A study whose runs go on from a checkpoint: told apart by its weights, wherever it lies."""

import json
import shutil

import pytest

from tests.study import studied, test_study
from tests.study.studied import run, words

data, scripts, undo_determinism = test_study.data, test_study.scripts, test_study.undo_determinism


@pytest.fixture(scope='module')
def starts(data, tmp_path_factory):
  """Two checkpoints: after 4 steps of a run, and after 4 of another."""
  out = tmp_path_factory.mktemp('starts')
  with pytest.MonkeyPatch.context() as patch:
    studied.install(patch)
    assert run(words(data, out, '--methods', 'baseline', seeds='7,8')) == 0
  return [out / f'seed-{seed}/baseline/model.ckpt-3' for seed in (7, 8)]


def moved(prefix, folder):
  folder.mkdir()
  for path in prefix.parent.glob(f'{prefix.name}.*'):
    shutil.copy(path, folder)
  return folder / prefix.name


def test_every_run_begins_with_its_weights(data, starts, scripts, tmp_path):
  assert run(words(data, tmp_path, restore_from=starts[0])) == 0
  weights = {json.loads(path.read_text())['weights'] for path in tmp_path.glob('seed-*/*/start')}
  assert len(weights) == 1 and len(list(tmp_path.glob('seed-*/*/start'))) == 6
  runs = studied.content(tmp_path)['runs']
  assert {each['initial_weights'] for each in runs} == weights
  assert runs[0]['first_cross_entropy'] != runs[-1]['first_cross_entropy']  # the seeds see other crops
  settings = [each['settings'] for each in studied.content(tmp_path)['methods']]
  assert all(each['restore_from'].startswith('model.ckpt-3, CRC ') for each in settings)


def test_it_may_move_but_not_change(data, starts, scripts, tmp_path, capsys):
  here = moved(starts[0], tmp_path / 'here')
  command = words(data, tmp_path / 'out', '--methods', 'baseline', seeds='1', restore_from=here)
  assert run(command) == 0
  begun, written = len(scripts.calls), (tmp_path / 'out/study.json').read_bytes()
  shutil.rmtree(here.parent)
  assert run(['--out-dir', str(tmp_path / 'out'), '--report-only']) == 0
  capsys.readouterr()
  assert run(command) == 2
  assert f'--restore-from {here}: no such checkpoint' in capsys.readouterr().err
  there = moved(starts[0], tmp_path / 'there')
  again = words(data, tmp_path / 'out', '--methods', 'baseline', seeds='1', restore_from=there)
  assert run(again) == 0 and len(scripts.calls) == begun
  assert (tmp_path / 'out/study.json').read_bytes() == written
  moved(starts[1], tmp_path / 'here')
  capsys.readouterr()
  assert run(command) == 2 and len(scripts.calls) == begun
  (line,) = capsys.readouterr().err.splitlines()
  assert 'the run there has restore-from model.ckpt-3, CRC ' in line and 'another --out-dir' in line


def test_a_dry_run_needs_no_checkpoint_yet(data, scripts, tmp_path, capsys):
  command = words(data, tmp_path / 'out', '--dry-run', restore_from=tmp_path / 'later.ckpt')
  assert run(command) == 0 and f'--restore-from {tmp_path}/later.ckpt' in capsys.readouterr().out


def test_variants_cannot_begin_elsewhere(data, starts, scripts, tmp_path, capsys):
  variant = f'other=aaf --restore-from {starts[1]}'
  assert run(words(data, tmp_path / 'out', '--variant', variant, restore_from=starts[0])) == 2
  assert '--variant other: --restore-from' in capsys.readouterr().err and not scripts.calls
