"""A study: equal starts, resuming, refusals, and results that are those of its runs."""

import argparse
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.score.test_report import CHROMIUM, browse
from tests.study import studied
from tests.study.studied import content, run, scores, words
from utils import files
from utils.errors import RunError
from utils.study import outcome, plan, tables
from utils.study import page as study_page
from utils.study.statistics import paired, summary

METHODS = ('baseline', 'affinity', 'aaf')
EIGHTH = 'eighth=aaf --kld-lambda-1 0.125 --kld-lambda-2 0.125'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """tests.tiny's images with lists of their own for validation and test."""
  folder = tmp_path_factory.mktemp('data')
  tiny.draw(folder)
  lines = (folder / 'list.txt').read_text().splitlines()
  (folder / 'val.txt').write_text('\n'.join(lines[:3]) + '\n')
  (folder / 'test.txt').write_text('\n'.join(lines[3:6]) + '\n')
  return folder


@pytest.fixture(scope='module', autouse=True)
def undo_determinism():
  yield
  tiny.undo_determinism()


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory):
  """A study of three methods and two seeds, undisturbed; its folder."""
  out = tmp_path_factory.mktemp('study') / 'out'
  with pytest.MonkeyPatch.context() as patch:
    scripts = studied.install(patch)
    assert run(words(data, out)) == 0
  assert scripts.calls == [
    (script, f'seed-{seed}', method) if script.startswith('train') else (script, method)
    for seed in (1, 2)
    for method, training in zip(METHODS, ('train', 'train_affinity', 'train_aaf'), strict=True)
    for script in (training, 'inference')
  ]
  return out


@pytest.fixture
def copy(finished, tmp_path):
  return shutil.copytree(finished, tmp_path / 'out')


@pytest.fixture
def scripts(monkeypatch):
  return studied.install(monkeypatch)


def losses(folder) -> list[float]:
  with open(folder / 'log.csv', newline='') as f:
    return [float(row['seg_loss']) for row in csv.DictReader(f)]


def test_methods_of_a_seed_see_equal_data_from_equal_weights(data, scripts, tmp_path, capsys):
  """At a rate of almost 0 nothing is learned, and every step's cross-entropy is that of the data alone."""
  assert run(words(data, tmp_path, learning_rate=1e-30, num_steps=6)) == 0
  curves = {(seed, m): losses(tmp_path / f'seed-{seed}' / m) for seed in (1, 2) for m in METHODS}
  for seed in (1, 2):
    for method in METHODS:
      assert curves[seed, method] == pytest.approx(curves[seed, 'baseline'], rel=1e-5)
  assert abs(curves[1, 'aaf'][0] - curves[2, 'aaf'][0]) > 1e-3
  assert len({round(loss, 4) for loss in curves[1, 'aaf']}) == 6


@pytest.mark.parametrize('name', ['start', 'log.csv'])
def test_runs_that_did_not_begin_alike_are_refused(data, copy, scripts, capsys, name):
  path = copy / 'seed-2/aaf' / name
  before = path.read_text()
  other = (copy / 'seed-1/aaf' / name).read_text()
  path.write_text(other)
  assert before != other and run(words(data, copy)) == 1
  (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
  assert 'seed 2, aaf and baseline did not start alike' in line and str(path.parent) in line


@pytest.mark.parametrize(
  ('name', 'damage'), [('log.csv', b'\xff'), ('log.csv', b'step,seg_loss\n0,x\n'), ('validation.csv', b'step,mIoU\n')]
)
def test_damaged_logs_are_named(data, copy, scripts, capsys, name, damage):
  path = copy / 'seed-2/aaf' / name
  path.write_bytes(damage)
  assert run(['--out-dir', str(copy), '--report-only']) == 2
  line = f'error: {path}: cannot be read as a log; remove {path.parent} to do this run again'
  assert capsys.readouterr().err.splitlines()[-1] == line


@pytest.mark.parametrize(
  ('precision', 'factor', 'alike'), [('bfloat16', 1.003, True), ('bfloat16', 1.005, False), ('float32', 1.003, False)]
)
def test_runs_of_another_machine_begin_alike_but_for_rounding(precision, factor, alike):
  start = {'initial_weights': 'CRC 0', 'first_cross_entropy': 2.0}
  settings = {'precision': precision}
  rows = [{**start, 'first_cross_entropy': 2.0 * f} for f in (1, factor)]
  runs = [
    plan.Run(plan.Method(name, name), 1, pathlib.Path(name), (), argparse.Namespace(), settings, row)
    for name, row in zip(('baseline', 'aaf'), rows, strict=True)
  ]
  if alike:
    outcome.check_equal_start(runs)
  else:
    with pytest.raises(RunError, match='seed 1, aaf and baseline did not start alike'):
      outcome.check_equal_start(runs)


def test_methods_of_a_seed_may_differ_in_the_options_that_change_the_first_cross_entropy(
  data, scripts, tmp_path, capsys
):
  variants = 'smooth=baseline --label-smoothing 0.3', 'averaged=baseline --ema-decay 0.5'
  flags = [word for variant in variants for word in ('--variant', variant)]
  command = words(data, tmp_path, '--methods', 'baseline', *flags, seeds='1')
  assert run(command) == 0
  first = {name: losses(tmp_path / 'seed-1' / name)[0] for name in ('baseline', 'smooth', 'averaged')}
  assert first['averaged'] == first['baseline'] != pytest.approx(first['smooth'], rel=1e-2)
  capsys.readouterr()
  assert run([*command[:2], '--dry-run', *command[2:]]) == 0
  predictions = [line for line in capsys.readouterr().out.splitlines() if 'inference.py' in line]
  assert ['--ema' in line.split() for line in predictions] == [False, False, True]


@pytest.mark.parametrize('stop_at', [1, 2, 5])
def test_stopped_between_runs_and_started_again_it_is_the_undisturbed_study(data, finished, scripts, tmp_path, stop_at):
  scripts.stop_at = stop_at
  command = words(data, tmp_path, '--methods', 'baseline,aaf')
  assert run(command) == 130 and len(scripts.calls) == stop_at
  scripts.stop_at = None
  assert run(command) == 0
  assert len(scripts.calls) == len(set(scripts.calls)) + 2 == 8  # predictions are noted without their seed
  assert {name: text for name, text in scores(finished).items() if 'affinity' not in name} == scores(tmp_path)


def test_a_finished_study_computes_nothing(data, copy, scripts, capsys):
  """Nor do flags that do not decide the result."""
  kept = {name: (copy / name).read_bytes() for name in ('study.json', 'study.csv', 'study.html', 'study.png')}
  for name in kept:
    (copy / name).unlink()
  assert run(words(data, copy, save_pred_every=3, keep=2, update_tb_every=1)) == 0 and scripts.calls == []
  assert {name: (copy / name).read_bytes() for name in kept} == kept


def test_report_only_needs_no_more_than_the_folder(data, copy, scripts, capsys):
  before = (copy / 'study.json').read_bytes()
  (copy / 'study.json').unlink()
  assert run(['--out-dir', str(copy), '--report-only']) == 0 and scripts.calls == []
  assert (copy / 'study.json').read_bytes() == before
  (copy / 'seed-2/aaf/val.json').unlink()
  assert run(['--out-dir', str(copy), '--report-only', '--title', 'other']) == 0 and scripts.calls == []
  changed = content(copy)
  assert run(['--out-dir', str(copy), '--report-only', '--num-images', '0']) == 0
  assert changed['title'] == 'other' and changed['unfinished'] == ['seed 2, aaf']
  by_name = {each['of']: each for each in changed['val']['differences'] if each['against'] == 'baseline'}
  assert (by_name['aaf']['seeds'], by_name['affinity']['seeds']) == ([1], [1, 2])


def test_seeds_methods_and_the_test_list_can_be_added(data, copy, scripts, capsys):
  before = scores(copy)
  more = ['--variant', EIGHTH, '--test-list', data / 'test.txt']
  assert run(words(data, copy, *more)) == 0
  assert [call[0] for call in scripts.calls] == ['train_aaf', 'inference'] * 2
  assert before.items() < scores(copy).items() and not list(copy.glob('*/*/test*'))
  scripts.calls.clear()
  for _ in range(2):
    assert run(words(data, copy, *more, '--test')) == 0
    assert [call[0] for call in scripts.calls] == ['inference'] * 8  # once each
  assert content(copy)['test']['images'] == 3 and 'test, 3 images' in capsys.readouterr().out
  (data / 'other.txt').write_text((data / 'val.txt').read_text())
  assert run(words(data, copy, '--test', '--test-list', data / 'other.txt')) == 2
  assert 'is of a list of 3 lines' in capsys.readouterr().err


def test_variants_can_have_fewer_seeds_than_methods(data, copy, scripts, capsys):
  assert run(words(data, copy, '--variant', EIGHTH, '--variant-seeds', '2')) == 0
  assert scripts.calls == [('train_aaf', 'seed-2', 'eighth'), ('inference', 'eighth')]
  assert 'seeds 1, 2; eighth: 2\n' in capsys.readouterr().out
  assert run(words(data, copy, '--variant', EIGHTH, '--variant-seeds', '2', '--report-only')) == 0
  of_eighth = [each for each in content(copy)['val']['differences'] if each['of'] == 'eighth']
  assert [each['seeds'] for each in of_eighth] == [[2]]


def test_runs_of_another_machine_are_added(data, finished, scripts, tmp_path, capsys):
  file, out = tmp_path / 'elsewhere.json', tmp_path / 'out'
  assert run(words(data, tmp_path / 'a', '--methods', 'baseline,aaf', seeds='1')) == 0
  (tmp_path / 'a/study.json').rename(file)
  scripts.calls.clear()
  capsys.readouterr()
  assert run(words(data, out, '--methods', 'baseline,aaf', '--add', file, '--dry-run')) == 0
  assert [line.split()[1].split('/')[-1] for line in capsys.readouterr().out.splitlines()] == [
    'train.py', 'inference.py', 'train_aaf.py', 'inference.py'
  ]  # fmt: skip
  assert run(words(data, out, '--methods', 'baseline,aaf', '--add', file)) == 0
  assert scripts.calls == [('train', 'seed-2', 'baseline'), ('inference', 'baseline'), ('train_aaf', 'seed-2', 'aaf'),
                           ('inference', 'aaf')]  # fmt: skip
  together, alone = content(out), content(finished)
  assert [row['seed'] for row in together['runs']] == [1, 1, 2, 2] and together['unfinished'] == []
  for name in ('baseline', 'aaf'):
    assert together['val']['methods'][name] == alone['val']['methods'][name]
  assert run(words(data, tmp_path / 'b', '--methods', 'baseline,aaf', '--add', out / 'study.json')) == 0
  assert len(scripts.calls) == 4 and content(tmp_path / 'b')['val'] == together['val']
  assert re.search('"strips": ?\\[\\]', (tmp_path / 'b/study.html').read_text())

  capsys.readouterr()
  for more, changes, expected in (
    ([], {'num_steps': 5}, f'--add {file}: seed 1, baseline has num-steps 4, not 5'),
    ([], {'thin_classes': '2'}, f'--add {file}: has other classes or thin classes'),
    (['--add', data / 'list.txt'], {}, 'list.txt: cannot be read as the study.json'),
    (['--add', tmp_path / 'none.json'], {}, 'none.json: cannot be read as the study.json'),
    (['--test', '--test-list', data / 'val.txt'], {}, 'seed 1, baseline has no scores of the test list'),
  ):
    assert run(words(data, tmp_path / 'c', '--add', file, *more, **changes)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line and len(scripts.calls) == 4


def test_a_run_that_another_process_has_at_work_is_left_to_it(data, copy, scripts, capsys):
  for path in ('seed-1/aaf/val.json', 'seed-2/baseline/val.json'):
    (copy / path).unlink()
  with files.claim(copy / 'seed-1/aaf', 'study'):
    assert run(words(data, copy)) == 0
    assert [call[0] for call in scripts.calls] == ['inference'] and content(copy)['unfinished'] == ['seed 1, aaf']
  assert run(words(data, copy)) == 0 and len(scripts.calls) == 2 and content(copy)['unfinished'] == []


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'num_steps': 5}, ['num-steps 4, not 5', 'another --out-dir']),
    ({'learning_rate': 2e-3}, ['learning-rate 0.001, not 0.002']),
    ({'val_strides': '16,16'}, ['strides 21,21, not 16,16']),
  ],
)
def test_other_settings_in_the_same_folder_are_refused(data, copy, scripts, capsys, changes, expected):
  assert run(words(data, copy, **changes)) == 2 and scripts.calls == []
  (line,) = capsys.readouterr().err.splitlines()
  assert all(word in line for word in [*expected, 'seed-1/baseline/settings.json'])


def test_a_study_that_was_begun_before_a_flag_was_there_goes_on(data, copy, scripts, capsys):
  for path in copy.glob('*/*/settings.json'):
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in settings.items() if key not in ('schedule', 'ema_decay')}))
  assert run(words(data, copy)) == 0 and scripts.calls == []
  assert run(words(data, copy, schedule='cosine')) == 2
  assert 'schedule poly, not cosine' in capsys.readouterr().err


def test_no_run_of_a_study_stops_early(data, tmp_path, capsys):
  assert run(words(data, tmp_path, '--dry-run', early_stop=2)) == 2
  assert '--early-stop 2: a study compares runs of equal length' in capsys.readouterr().err


def test_a_script_that_fails_ends_the_study_with_the_place_of_its_log(data, scripts, tmp_path, capsys):
  bad = tmp_path / 'train.txt'
  bad.write_text('0.jpg 0.png\n')
  command = words(data, tmp_path / 'out', '--train-list', bad)
  Image.new('L', (5, 5)).save(data / 'small.png')
  bad.write_text('0.jpg small.png\n')  # a label of another size
  assert run(command) == 1
  line = capsys.readouterr().err.strip().splitlines()[-1]
  assert 'seed 1, baseline: training failed, exit code 2 (something broke)' in line and 'baseline/run.log' in line
  assert len(scripts.calls) == 1


def test_figures_are_those_of_the_runs(finished):
  last = [losses(finished / 'seed-1' / method)[-1] for method in METHODS]
  assert min(abs(last[0] / last[1] - 1), abs(last[0] / last[2] - 1)) > 1e-4
  study = content(finished)
  assert [(r['seed'], r['method']) for r in study['runs']] == [(s, m) for s in (1, 2) for m in METHODS]
  read = {}
  for run_ in study['runs']:
    path = finished / f'seed-{run_["seed"]}' / run_['method'] / 'val.json'
    read[run_['method'], run_['seed']] = json.loads(path.read_text())
    assert run_['steps'] == 4 and run_['peak_memory_mb'] == studied.MEMORY and run_['seconds_per_step'] > 0
    assert [step for step, _ in run_['val_curve']] == [2, 3] and len(run_['loss_curve']) == 4
    assert run_['val_curve'][-1][1] == pytest.approx(run_['val']['figures']['mean_iou'], abs=1e-3)
  for key in ('mean_iou', 'mean_boundary_f', 'mean_boundary_iou', 'mean_iou_within_2_px_of_boundaries'):
    by_method = {m: [read[m, seed]['means'][key] for seed in (1, 2)] for m in METHODS}
    for method in METHODS:
      assert study['val']['methods'][method]['figures'][key] == pytest.approx(summary(by_method[method]), abs=1e-6)
    for each in study['val']['differences']:
      expected = paired(by_method[each['of']], by_method[each['against']])
      assert each['figures'][key] == pytest.approx(expected, abs=1e-6)
  thin = [read['aaf', seed]['classes'][1]['iou'] for seed in (1, 2)]
  assert study['val']['methods']['aaf']['figures']['thin_iou'] == pytest.approx(summary(thin), abs=1e-6)
  assert study['val']['methods']['aaf']['classes']['iou'][1] == pytest.approx(summary(thin), abs=1e-6)
  assert [(d['of'], d['against']) for d in study['val']['differences']] == [
    ('affinity', 'baseline'), ('aaf', 'baseline'), ('aaf', 'affinity')
  ]  # fmt: skip


def test_table_and_page_show_each_method_and_mark_thin_classes(finished):
  with open(finished / 'study.csv', newline='') as f:
    rows = list(csv.DictReader(f))
  assert [(row['seed'], row['method']) for row in rows] == [(s, m) for s in '12' for m in METHODS]
  assert all(0 <= float(row['val_mean_iou']) <= 100 for row in rows)
  study = content(finished)
  assert [each['thin'] for each in study['classes']] == [False, True, False]
  text = tables.as_markdown(study)
  assert '| 1 (thin) |' in text and '| 2 |' in text and '| mIoU after step | 2 | 3 |' in text
  assert all(f'| {name} |' in text for name in (*METHODS, 'aaf \u2212 affinity')) and '95 %' in text
  page = (finished / 'study.html').read_text()
  shown = json.loads(re.search('<script type="application/json" id="data">(.*)</script>', page).group(1))
  assert [m['name'] for m in shown['methods']] == list(METHODS) and len(shown['strips']) == 3
  labels = ['image', 'truth', *(f'{kind} {m}' for m in METHODS for kind in ('prediction', 'errors'))]
  assert all([each['label'] for each in strip['pictures']] == labels for strip in shown['strips'])
  assert not re.findall(r'(?:src|href)="(?!data:)', page) and "make('b', {}, ' (thin)')" in page
  with Image.open(finished / 'study.png') as picture:
    assert picture.width > 5 * picture.height / 4  # five columns, three rows


def test_curves_are_the_mean_of_the_runs_at_steps_that_all_have():
  curves = {'a': [[[1, 10.0], [2, None], [3, 30.0]], [[1, 20.0], [3, 40.0]]], 'b': [[[3, 5.0], [1, 1.0], [4, 9.0]]]}
  table = tables.curves_table(curves)
  assert table == [['mIoU after step', '1', '3'], ['a', '15.00 ± 5.00', '35.00 ± 5.00'], ['b', '1.00', '5.00']]
  long = {'a': [[[step, 1.0] for step in range(1, 101)]]}
  assert tables.curves_table(long, 4)[0][1:] == ['25', '50', '75', '100']
  assert tables.curves_table({'a': [[[1, 1.0]]], 'b': [[[2, 1.0]]]}) == [['mIoU after step'], ['a'], ['b']]


def test_one_seed_has_no_interval(data, copy, scripts, capsys):
  assert run(words(data, copy, seeds='2')) == 0 and scripts.calls == []
  study = content(copy)
  figure = study['val']['differences'][0]['figures']['mean_iou']
  assert figure['mean'] is not None and figure['low'] is figure['high'] is figure['standard_error'] is None
  assert 'One seed: no standard error and no interval' in capsys.readouterr().out


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here')
def test_a_browser_draws_the_page_without_complaint(data, copy, scripts):
  assert run(words(data, copy, '--test', '--test-list', data / 'test.txt')) == 0
  drawn = browse(copy / 'study.html', '--dump-dom', '--enable-logging=stderr')
  assert 'CONSOLE' not in drawn.stderr
  assert 'test list, 3 images' in drawn.stdout and 'validation list, 3 images' in drawn.stdout
  assert drawn.stdout.count('(thin)') == 2  # the class, and the script that wrote it
  assert drawn.stdout.count('<svg') == 3 and drawn.stdout.count('aaf \u2212 baseline') >= 3


def test_images_are_spread_over_the_list():
  assert study_page.evenly(list(range(10)), 2) == [2, 7]
  assert study_page.evenly(list(range(3)), 5) == [0, 1, 2]
  assert study_page.evenly([1], 0) == []


BAD = {
  'no training list': (['--train-list', ''], ['--train-list is empty']),
  'validation list missing': (['--val-list', 'none.txt'], ['none.txt: no such list file']),
  'test without a list': (['--test'], ['--test needs --test-list']),
  'test list missing': (['--test-list', 'none.txt'], ['none.txt: no such list file']),
  'unknown method': (['--methods', 'baseline,gan'], ["'gan' is none of baseline, affinity, aaf"]),
  'method twice': (['--methods', 'aaf,aaf'], ["'aaf' is named twice"]),
  'no method': (['--methods', ''], ['name what to compare']),
  'seed twice': (['--seeds', '1,2,1'], ['--seeds', 'names a seed twice']),
  'seed of the variants alone': (['--variant-seeds', '1,3'], ['--variant-seeds 1,3: seed 3 is not among --seeds 1,2']),
  'seed is a word': (['--seeds', 'one'], ['--seeds', "'one' is not a whole number"]),
  'thin class unknown': (['--thin-classes', '1,pole'], ["'pole' is not one of 0, 1, 2"]),
  'thin class twice': (['--thin-classes', '1,1'], ["'1' is not one of"]),
  'variant without a name': (['--variant', 'aaf --kld-lambda-1 0.5'], ['NAME=METHOD FLAGS', 'aaf-half=aaf']),
  'variant of nothing': (['--variant', 'half='], ['NAME=METHOD FLAGS']),
  'variant of an unknown method': (['--variant', 'half=gan'], ['NAME=METHOD FLAGS']),
  'variant with a path for a name': (['--variant', '../up=aaf'], ['NAME=METHOD FLAGS']),
  'variant with an open quotation mark': (['--variant', "half=aaf '"], ['NAME=METHOD FLAGS']),
  'variant named like a method': (['--variant', 'aaf=aaf --kld-margin 1'], ["'aaf' is named twice"]),
  'variant of other steps': (['--variant', 'long=aaf --num-steps 9'], ['long: --num-steps is the same for all']),
  'variant with a seed': (['--variant', 'half=aaf --random-seed 3'], ['--random-seed is set by the study itself']),
  'variant with an unknown flag': (['--variant', 'half=aaf --kld-lamda-1 1'], ['--kld-lamda-1']),
  'affinity flags of the baseline': (['--variant', 'odd=baseline --kld-margin 1'], ['--kld-margin']),
  'window that the network does not take': (['--window', '33,33'], ['--input-size', 'multiple of 8']),
  'strides larger than the window': (['--strides', '64,64'], ['--strides 64,64', 'larger than the window']),
  'folder that cannot be made': (['--out-dir', '/dev/null/x'], ['/dev/null/x: cannot be made']),
  'report of nothing': (['--report-only'], ['flags.json', 'start the study']),
}


@pytest.mark.parametrize(('more', 'expected'), [pytest.param(*case, id=name) for name, case in BAD.items()])
def test_bad_input_is_one_line_before_the_first_run(data, scripts, tmp_path, capsys, more, expected):
  assert run(words(data, tmp_path / 'out', *more)) == 2 and scripts.calls == []
  (line,) = capsys.readouterr().err.splitlines()
  assert all(word in line for word in expected), line
  assert not list(tmp_path.rglob('seed-*'))


@pytest.mark.parametrize(
  ('training', 'expected'),
  [(['--snapshot-dir', 'x'], '--snapshot-dir is set by the study'), (['--num-steps', '0'], '--num-steps')],
)
def test_bad_training_flags_are_said_before_the_first_run(data, scripts, tmp_path, capsys, training, expected):
  assert run(words(data, tmp_path / 'out', training=training)) == 2 and scripts.calls == []
  assert expected in capsys.readouterr().err


def test_several_gpus_are_the_other_scripts(data, scripts, tmp_path, capsys):
  assert run(words(data, tmp_path / 'out', '--num-gpu', '2', '--dry-run')) == 0 and scripts.calls == []
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[1].split('/')[-1] for line in lines[::2]] == [
    'train_mgpu.py', 'train_affinity_mgpu.py', 'train_aaf_mgpu.py'
  ] * 2  # fmt: skip
  assert all('--num-gpu 2' in line for line in lines[::2]) and not (tmp_path / 'out').exists()


def test_killed_in_a_training_it_saves_and_goes_on(data, tmp_path):
  """The real scripts, in processes of their own: SIGTERM in the middle of a step, then the same command again."""
  command = words(data, tmp_path, '--methods', 'baseline', seeds='3', num_steps=40, save_pred_every=1000)
  command = [sys.executable, str(tiny.ROOT / 'pyscripts/study/study.py'), *command]
  log, options = tmp_path / 'seed-3/baseline/log.csv', {'stderr': subprocess.PIPE, 'text': True}
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
  while not (log.exists() and log.read_text().count('\n') > 4) and process.poll() is None:
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 143 and err.splitlines()[-1] == 'error: stopped by SIGTERM', err
  assert not (tmp_path / 'seed-3/baseline/training.json').exists()
  assert not [path for name in ('.lock', '.study') for path in tmp_path.rglob(name)]
  steps = len(losses(log.parent))
  assert 4 <= steps < 40 and (log.parent / f'model.ckpt-{steps - 1}.index').exists()
  again = subprocess.run(command, stdout=subprocess.PIPE, timeout=300, env={**os.environ, 'LANG': 'C.UTF-8'}, **options)
  assert again.returncode == 0, again.stderr
  assert len(losses(log.parent)) == 40 and '| baseline |' in again.stdout
  assert content(tmp_path)['methods'][0]['peak_memory_mb'] > 100
  assert np.isfinite(content(tmp_path)['val']['methods']['baseline']['figures']['mean_iou']['mean'])
