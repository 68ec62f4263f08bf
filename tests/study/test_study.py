"""A study goes on where it was stopped, refuses what is wrong in one line, and says which runs failed."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pyscripts.study import study
from tests import tiny
from utils import errors
from utils.errors import RunError

FLAGS = ['--model', 'fcn8s', '--backbone', 'resnet_v1_14', '--num-classes', str(tiny.CLASSES), '--input-size', '32,32',
         '--batch-size', '2', '--iter-size', '1', '--val-every', '100', '--random-crop', '--random-mirror']  # fmt: skip
STEADY = 'steady=aaf --kld-decay 1'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """tests.tiny's images with lists of their own for validation and test, and names of the classes."""
  folder = tmp_path_factory.mktemp('data')
  tiny.draw(folder)
  lines = (folder / 'list.txt').read_text().splitlines()
  (folder / 'val.txt').write_text('\n'.join(lines[:3]) + '\n')
  (folder / 'test.txt').write_text('\n'.join(lines[3:6]) + '\n')
  (folder / 'again.txt').write_text(f'{lines[0]}\n{lines[0]}\n')
  (folder / 'classes.txt').write_text('road\ntree\npole\n')
  return folder


def words(data, out, *more, seeds='1,2', methods='baseline,aaf', training=()) -> list[str]:
  """The command line of a study of the tiny images."""
  lists = ['--data-dir', data, '--train-list', data / 'list.txt', '--val-list', data / 'val.txt']
  own = ['--out-dir', out, '--seeds', seeds, '--methods', methods, '--thin-classes', 'pole', *lists, *more]
  return [str(word) for word in (*own, '--', *FLAGS, '--num-steps', '4', *training)]


def run(command) -> int:
  return errors.run(study.main, command)


def content(out) -> dict:
  """study.json, of which NaN and Infinity are no part."""

  def refuse(name):
    raise AssertionError(name)

  return json.loads((out / 'study.json').read_text(), parse_constant=refuse)


class Scripts:
  """Stands in for `study.call`: notes the calls, and writes what the scripts would, with scores by method and seed.

  Before call number `stop_at` it is as if Ctrl-C had been pressed; scripts of the method `broken` fail.
  """

  def __init__(self):
    self.calls, self.stop_at, self.broken = [], None, ''

  def __call__(self, run, command, what) -> float:
    method, seed = run.row['method'], run.row['seed']
    if self.stop_at == len(self.calls):
      raise KeyboardInterrupt
    if method == self.broken:
      raise RunError(f'{method} failed')
    self.calls.append((pathlib.PurePath(command[0]).stem, seed, method))
    run.folder.mkdir(parents=True, exist_ok=True)
    if what == 'training':
      (run.folder / 'config').write_text('{"batch_size": 2, "iter_size": 1}')
      (run.folder / 'start').write_text(f'{{"weights": "CRC {seed}"}}')
      (run.folder / 'log.csv').write_text('step,seg_loss,images_per_second,memory_mb\n0,2,8,700\n3,1.5,4,900\n')
      (run.folder / 'validation.csv').write_text('step,mIoU,road\n2,30.5,nan\n3,nan,nan\n')
    elif '--json' in command:
      score = seed**2 + len(method)
      classes = [{'name': name, **dict.fromkeys(study.CLASS_SCORES, score)} for name in ('road', 'tree', 'pole')]
      means = dict.fromkeys(('mean_iou', 'mean_boundary_f', 'mean_boundary_iou'), score)
      means['mean_iou_within_2_px_of_boundaries'] = None
      found = {'images': 3, 'means': means, 'classes': classes}
      pathlib.Path(command[command.index('--json') + 1]).write_text(json.dumps(found))
    return 800.0


@pytest.fixture
def scripts(monkeypatch):
  stand_in = Scripts()
  monkeypatch.setattr(study, 'call', stand_in)
  return stand_in


@pytest.mark.parametrize('stop_at', [0, 5, 7])
def test_stopped_and_started_again_it_gives_the_same_table(data, scripts, tmp_path, capsys, stop_at):
  assert run(words(data, tmp_path / 'whole')) == 0 and len(scripts.calls) == 12
  scripts.calls, scripts.stop_at = [], stop_at
  assert run(words(data, tmp_path / 'stopped')) == 130
  finished, scripts.stop_at = stop_at // 3, None
  assert run(words(data, tmp_path / 'stopped')) == 0
  assert len(scripts.calls) == stop_at + 12 - 3 * finished  # a finished run is not run again
  for name in ('study.json', 'study.csv', 'study.md'):
    assert (tmp_path / 'whole' / name).read_bytes() == (tmp_path / 'stopped' / name).read_bytes()
  (row, *_), begun = content(tmp_path / 'whole')['runs'], len(scripts.calls)
  assert (row['seconds_per_step'], row['peak_memory_mb'], row['steps']) == (0.375, 900.0, 4)
  assert row['val_curve'] == [[2, 30.5], [3, None]] and row['val']['scores']['thin_iou'] == 9
  kept = (tmp_path / 'stopped/study.json').read_bytes()
  assert run(words(data, tmp_path / 'stopped', training=['--keep', '1', '--save-pred-every', '7'])) == 0
  assert len(scripts.calls) == begun and (tmp_path / 'stopped/study.json').read_bytes() == kept


def test_a_changed_setting_runs_again_and_the_earlier_rows_stay(data, scripts, tmp_path):
  out = tmp_path / 'out'
  assert run(words(data, out, seeds='1')) == 0
  before = content(out)['runs']
  for more, training, calls in (
    ([], ['--learning-rate', '1e-3'], 6),  # trains elsewhere
    (['--checkpoint', 'best'], [], 6),
    (['--predict=--whole-image'], [], 6),
  ):
    scripts.calls.clear()
    assert run(words(data, out, *more, seeds='1', training=training)) == 0 and len(scripts.calls) == calls
    assert before[0] in content(out)['other_runs'] and before[0] not in content(out)['runs']
  scripts.calls.clear()
  assert run(words(data, out, seeds='1')) == 0 and scripts.calls == []
  assert content(out)['runs'] == before and len(content(out)['other_runs']) == 6
  assert len(list(out.glob('seed-1/aaf-*'))) == 2
  weights = ['--class-weights', str(tmp_path / 'weights')]
  for text in ('1\n2\n3\n', '1\n2\n4\n'):  # the numbers count, not the file's name
    (tmp_path / 'weights').write_text(text)
    scripts.calls.clear()
    assert run(words(data, tmp_path / 'weighted', seeds='1', training=weights)) == 0 and len(scripts.calls) == 6
  scripts.calls.clear()
  (data / 'val2.txt').write_text(''.join((data / 'list.txt').read_text().splitlines(True)[:4]))
  training = ['--val-list', data / 'val.txt']
  assert run(words(data, out, '--val-list', data / 'val2.txt', seeds='1', training=training)) == 0
  assert [script for script, *_ in scripts.calls] == ['inference', 'benchmark_by_mIoU'] * 2


def test_a_method_that_crashes_is_said_and_the_others_go_on(data, scripts, tmp_path, capsys):
  scripts.broken = 'aaf'
  assert run(words(data, tmp_path, '--variant', STEADY)) == 1
  assert [call[1:] for call in scripts.calls[::3]] == [(1, 'baseline'), (1, 'steady'), (2, 'baseline'), (2, 'steady')]
  out, err = capsys.readouterr()
  assert err.count('error: aaf failed') == 2 and 'error: 2 of 6 runs failed' in err.splitlines()[-1]
  assert '| steady − baseline | 2 |' in out and '| aaf |' not in out
  scripts.broken, scripts.calls = '', []
  assert run(words(data, tmp_path, '--variant', STEADY)) == 0 and len(scripts.calls) == 6
  assert '| aaf − baseline | 2 |' in capsys.readouterr().out


def test_seeds_variants_and_the_test_list_are_added_and_only_they_run(data, scripts, tmp_path, capsys):
  assert run(words(data, tmp_path, seeds='1')) == 0
  scripts.calls.clear()
  assert run(words(data, tmp_path, '--variant', STEADY, '--variant-seeds', '2', seeds='1,2')) == 0
  assert [call[1:] for call in scripts.calls[::3]] == [(2, 'baseline'), (2, 'aaf'), (2, 'steady')]
  scripts.calls.clear()
  assert run(words(data, tmp_path, '--test-list', data / 'test.txt')) == 0
  assert [script for script, *_ in scripts.calls] == ['inference', 'benchmark_by_mIoU'] * 4
  assert 'test list, 3 images' in capsys.readouterr().out and len(content(tmp_path)['other_runs']) == 1


def test_rows_of_another_machine_are_taken_from_its_json(data, scripts, tmp_path):
  assert run(words(data, tmp_path / 'all')) == 0 and run(words(data, tmp_path / 'a', seeds='1')) == 0
  assert run(words(data, tmp_path / 'b', seeds='2')) == 0
  shutil.copy(tmp_path / 'a/study.json', tmp_path / 'b/of_a.json')
  scripts.calls.clear()
  assert run(words(data, tmp_path / 'b')) == 0 and scripts.calls == []
  assert content(tmp_path / 'b') == content(tmp_path / 'all')


def test_a_start_may_move_but_not_change(data, scripts, tmp_path):
  def started(folder, weights) -> int:
    folder.mkdir(exist_ok=True)
    (folder / 'model.ckpt-3.index').write_text(weights)
    scripts.calls.clear()
    assert run(words(data, tmp_path / 'out', seeds='1', training=['--restore-from', folder / 'model.ckpt-3'])) == 0
    return len(scripts.calls)

  found = started(tmp_path / 'here', 'a'), started(tmp_path / 'there', 'a'), started(tmp_path / 'here', 'b')
  assert found == (6, 0, 6)


def test_a_script_that_fails_is_quoted(tmp_path):
  failing = study.Run({}, tmp_path, [])
  with pytest.raises(RunError, match=r'run.log: training failed, exit code 2: error: --snapshot-dir is empty'):
    study.call(failing, ['pyscripts/train/train.py'], 'training')


BAD = {
  'no training list': (['--train-list', ''], ['--train-list is empty']),
  'validation list missing': (['--val-list', 'none.txt'], ['none.txt: no such list file']),
  'an image twice': (['--test-list', 'again.txt'], ['stands there 2 times']),
  'no end of a quotation': (['--variant', "a=aaf --kld-margin '2"], ['No closing quotation']),
  'unknown method': (['--methods', 'baseline,gan'], ["'gan=gan' is not NAME=METHOD FLAGS", 'baseline, affinity, aaf']),
  'method twice': (['--methods', 'aaf,aaf'], ["'aaf' is named twice"]),
  'variant with a path for a name': (['--variant', '../up=aaf'], ['is not NAME=METHOD FLAGS']),
  'variant with a seed': (['--variant', 'half=aaf --random-seed=3'], ['half: --random-seed is set by the study']),
  'affinity flags of the baseline': (['--variant', 'odd=baseline --kld-margin 1'], ['--kld-margin', 'see train.py']),
  'start missing': (['--variant', 'far=aaf --restore-from far'], ['--restore-from far: no such checkpoint']),
  'seed without a baseline': (['--variant', STEADY, '--variant-seeds', '2,3'], ['--variant-seeds 3: is none of']),
  'seed is a word': (['--seeds', 'one'], ['--seeds', "'one': give a whole number"]),
  'thin class unknown': (['--thin-classes', 'road,sky'], ["'sky' is not one of road, tree, pole"]),
}


@pytest.mark.parametrize(('more', 'expected'), [pytest.param(*case, id=name) for name, case in BAD.items()])
def test_bad_input_is_one_line_before_the_first_run(refused, data, scripts, tmp_path, more, expected):
  more = [data / word if word == 'again.txt' else word for word in more]
  refused(study.main, words(data, tmp_path / 'out', *more), *expected)
  assert scripts.calls == []


def test_json_of_something_else_is_refused(refused, data, scripts, tmp_path):
  (tmp_path / 'camvid.json').write_text('{"runs": []}')
  refused(study.main, words(data, tmp_path), 'camvid.json: cannot be read as the JSON of a study')
  assert scripts.calls == []


def test_a_dry_run_prints_the_commands(data, scripts, tmp_path, capsys):
  more = ['--variant', 'far=affinity --restore-from later', '--dry-run', '--predict', '--strides 16,16']
  assert run(words(data, tmp_path / 'out', *more, seeds='1', methods='baseline', training=['--num-gpu', 2])) == 0
  lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
  assert [pathlib.PurePath(line[1]).stem for line in lines] == [
    'train_mgpu', 'inference', 'benchmark_by_mIoU', 'train_affinity_mgpu', 'inference', 'benchmark_by_mIoU'
  ]  # fmt: skip
  assert '--model' not in lines[1] and lines[1][-2:] == ['--strides', '16,16'] and not (tmp_path / 'out').exists()


def test_killed_in_a_training_it_saves_and_goes_on(data, tmp_path):
  """The real scripts, in processes of their own: SIGTERM in the middle of a step, then the same command again."""
  command = words(data, tmp_path, seeds='3', methods='baseline', training=['--num-steps', 100])
  command = [sys.executable, str(tiny.ROOT / 'pyscripts/study/study.py'), *command]
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
  while process.poll() is None and not any(p.read_text().count('\n') > 4 for p in tmp_path.glob('seed-3/*/log.csv')):
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=600)
  assert process.returncode == 143 and err.splitlines()[-1] == 'error: stopped by SIGTERM', err
  assert not (tmp_path / 'study.json').exists() and not list(tmp_path.rglob('.lock')) + list(tmp_path.rglob('.study'))
  (log,) = tmp_path.glob('seed-3/*/log.csv')
  steps = len(log.read_text().splitlines()) - 1
  assert 4 <= steps < 100 and (log.parent / f'model.ckpt-{steps - 1}.index').exists()
  environment = {**os.environ, 'LANG': 'C.UTF-8'}
  again = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
  assert again.returncode == 0, again.stderr
  assert '| baseline | 1 |' in again.stdout and len(log.read_text().splitlines()) == 101
  (row,) = content(tmp_path)['runs']
  assert row['steps'] == 100 and row['peak_memory_mb'] > 100 and 0 <= row['val']['scores']['mean_iou'] <= 100
  assert row['val']['images'] == 3 and row['val']['scores']['iou_pole'] == row['val']['scores']['thin_iou']
  assert json.loads((log.parent / 'start').read_text())['weights'] == row['initial_weights']
