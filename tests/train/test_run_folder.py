"""Runs that are stopped, go on, validate, keep and refuse. `tests/profile/test_soak.py` kills at random moments."""

import argparse
import io
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
import tensorflow as tf
from PIL import Image

from seg_models.image_reader import file_index
from tests import tiny
from tests.tiny import CLASSES, assert_same, contents, last_checkpoint, refusal, rows, train
from utils import checkpoint, errors, runs
from utils.train import loop, run_folder
from utils.train.run_folder import CsvLog
from utils.train.validation import Validation

data, deterministic = tiny.data, tiny.deterministic


AUGMENTATION = {'scale_range': '0.7,1.5', 'random_rotate': 20, 'color_jitter': True, 'crop_max_share': 0.6}


def steps(folder):
  return runs.steps_in(str(folder))


def assert_same_run(one, other):
  assert_same(last_checkpoint(one), last_checkpoint(other))
  for name in ('best', 'checkpoint', 'validation.csv'):
    assert (one / name).read_text() == (other / name).read_text()
  logs = [[(row['step'], row['loss'], row['lr']) for row in rows(run / 'log.csv')] for run in (one, other)]
  assert logs[0] == logs[1]


def at_step(monkeypatch, s, action):
  """Does `action` when step s has been made, before its checkpoint."""
  original = run_folder.RunLog.step

  def step(self, now, *args):
    original(self, now, *args)
    if now == s:
      action()

  monkeypatch.setattr(run_folder.RunLog, 'step', step)


@pytest.mark.usefixtures('deterministic')
@pytest.mark.parametrize(
  'flags',
  [
    {},
    {'iter_size': 2, 'batch_size': 3, 'precision': 'bfloat16', 'aux_weight': 0.4, **AUGMENTATION},
    {'optimizer': 'adamw', 'schedule': 'cosine', 'warmup_steps': 3, 'ema_decay': 0.5, 'precision': 'bfloat16'},
    {'ohem_threshold': 0.7, 'class_weights': 'median'},
    {'extra_loss': 'abl', 'ohem_threshold': 0.6, 'iter_size': 2},
    {'script': 'train_mgpu', 'num_gpu': 2, 'iter_size': 2},
    pytest.param({'script': 'train_aaf', 'model': 'deeplabv3plus', 'backbone': 'efficientnet_lite0'}, marks=tiny.slow),
  ],
)
def test_a_run_that_goes_on_is_the_unbroken_run(data, tmp_path, mirrored, monkeypatch, flags):
  """It had been killed after its last validation, before the last checkpoint."""
  strategy = mirrored(2)  # the process has one
  monkeypatch.setattr(tf.distribute, 'MirroredStrategy', lambda devices, cross_device_ops: strategy)
  flags |= {'deterministic': True, 'val_list': data / 'list.txt', 'val_every': 2, 'num_steps': 7}
  train(data, tmp_path / 'unbroken', **flags)
  shutil.copytree(tmp_path / 'unbroken', tmp_path / 'broken')
  for path in (tmp_path / 'broken').glob('model.ckpt-6.*'):
    path.unlink()
  assert steps(tmp_path / 'broken') == [2, 4]
  train(data, tmp_path / 'broken', resume=True, **flags)
  assert_same_run(tmp_path / 'unbroken', tmp_path / 'broken')
  assert [row['step'] for row in rows(tmp_path / 'broken/log.csv')] == [str(s) for s in range(7)]


def validated(data) -> dict:
  """The flags of `finished`."""
  return {'deterministic': True, 'val_list': data / 'list.txt', 'val_every': 3}


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory):
  """The folder of a run of six steps, to be left as it is."""
  folder = tmp_path_factory.mktemp('finished') / 'run'
  train(data, folder, **validated(data))
  tiny.undo_determinism()
  return folder


@pytest.fixture
def run(finished, tmp_path):
  """A copy of `finished`."""
  return pathlib.Path(shutil.copytree(finished, tmp_path / 'run'))


@pytest.mark.usefixtures('deterministic')
def test_a_signal_saves_and_the_run_goes_on(data, tmp_path, monkeypatch, finished):
  """The validation that it cuts off is made then."""

  def ask():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(2)  # until a thread has noted it, also on a busy machine

  with monkeypatch.context() as patch, pytest.raises(errors.Stopped) as e:
    at_step(patch, 3, ask)
    train(data, tmp_path / 'broken', **validated(data))
  assert e.value.exit_code == 130
  assert f'after step 3; saved {tmp_path}/broken/model.ckpt-3; go on with --resume' in str(e.value)
  assert steps(tmp_path / 'broken') == [2, 3] and not (tmp_path / 'broken/best').exists()
  train(data, tmp_path / 'broken', resume=True, **validated(data))
  assert_same_run(finished, tmp_path / 'broken')


def test_resume_of_a_folder_without_checkpoints_starts(data, tmp_path, capsys):
  """It forgets the best of a run before, and keeps what was not finite."""
  for name in ('best', 'validation.csv', 'nonfinite/model.ckpt-3.index'):
    (tmp_path / 'run' / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'run' / name).write_text('{"step": 0}')
  train(data, tmp_path / 'run', resume=True, num_steps=1)
  assert 'variables as initialised (seed 1234)' in capsys.readouterr().out
  assert not (tmp_path / 'run/best').exists() and (tmp_path / 'run/nonfinite/model.ckpt-3.index').exists()


def test_resume_of_a_finished_run_does_nothing_but_remove_what_a_killed_one_left(data, run, capsys):
  before = {path: path.stat().st_mtime_ns for path in run.glob('model.ckpt-*')}
  shutil.copy(run / 'model.ckpt-5.data-00000-of-00001', run / 'model.ckpt-7.data-00000-of-00001')
  (run / '.writing').mkdir()
  (run / '.writing' / 'model.ckpt-7.index').touch()
  train(data, run, resume=True)
  assert 'going on at step 6' in capsys.readouterr().out and not (run / '.writing').exists()
  assert before == {path: path.stat().st_mtime_ns for path in run.glob('model.ckpt-*')}


def test_what_would_be_another_run_is_refused_with_both_values(data, run, tmp_path):
  """But lists may move, and validation may end."""
  config, lines = (run / 'config').read_text(), (data / 'list.txt').read_text().splitlines()
  other, weights = tmp_path / 'other.txt', tmp_path / 'weights'
  other.write_text('\n'.join(lines[::-1]))
  weights.write_text('1\n2\n4\n')
  for changes, says in (
    ({'num_classes': 4}, '--num-classes 3, not 4'),
    ({'num_steps': 3}, '--num-steps 6, not 3'),
    ({'random_mirror': None}, '--random-mirror True, not False'),
    ({'clip_norm': 1.0}, '--clip-norm None, not 1.0'),
    ({'class_weights': weights}, 'class weight values None, not [1.0, 2.0, 4.0]'),  # they count, not the file's name
    ({'data_list': other}, 'data list contents 7 lines, CRC'),
    ({'val_list': other}, 'val list contents 7 lines, CRC'),
  ):
    assert f'the run to resume has {says}' in refusal(data, run, resume=True, **changes)
  assert (run / 'config').read_text() == config
  (tmp_path / 'moved.txt').write_text('\r\n'.join(lines))
  train(data, run, resume=True, data_list=tmp_path / 'moved.txt')
  assert 'val list contents' in refusal(data, run, resume=True, val_list=other)


def test_files_of_classes_may_move(data, tmp_path):
  """Without a file of names beside the list, those of the run stay."""
  weights, names, folder = tmp_path / 'weights', tmp_path / 'names', tmp_path / 'run'
  weights.write_text('1\n2\n4\n')
  names.write_text('road\ntree\nsky\n')
  train(data, folder, num_steps=1, class_weights=weights, class_names=names)
  train(data, folder, num_steps=1, class_weights=weights.rename(tmp_path / 'moved'), resume=True)
  assert [row['name'] for row in rows(folder / 'classes.csv')] == ['road', 'tree', 'sky']


@pytest.mark.usefixtures('deterministic')
def test_a_constant_rate_may_get_more_steps_and_is_then_the_longer_run(data, tmp_path):
  flags = {'script': 'train_aaf', 'kld_decay': 1, 'deterministic': True, 'schedule': 'constant', 'warmup_steps': 2}
  flags |= {'ema_decay': 0.5}
  train(data, tmp_path / 'long', num_steps=7, **flags)
  train(data, tmp_path / 'grown', num_steps=4, **flags)
  train(data, tmp_path / 'grown', num_steps=7, resume=True, **flags)
  assert_same(last_checkpoint(tmp_path / 'long'), last_checkpoint(tmp_path / 'grown'))
  assert json.loads((tmp_path / 'grown/config').read_text())['num_steps'] == 7


@pytest.mark.parametrize(('script', 'schedule'), [('train', 'poly'), ('train_aaf', 'constant')])
def test_more_steps_of_a_planned_run_are_refused_with_the_command_that_works(data, tmp_path, script, schedule):
  train(data, tmp_path / 'run', script, num_steps=1, schedule=schedule)
  message = refusal(data, tmp_path / 'run', script, num_steps=7, schedule=schedule, resume=True)
  assert 'has --num-steps 1, not 7; its rates are planned to end there' in message
  assert f'--restore-from {tmp_path}/run/model.ckpt-0 --num-steps 6 --snapshot-dir NEW, without --resume' in message


@pytest.mark.parametrize(('apart', 'says'), [
  ((1, 0, 0), 'would start at different steps'),
  ((0, 1, 0), 'different weights'),
  ((0, 0, 1), '--class-weights: the workers have different ones'),
])  # fmt: skip
def test_workers_that_start_apart_are_refused(monkeypatch, apart, says):
  monkeypatch.setattr(loop.devices, 'of_all_workers', lambda _, mine: [mine, tuple(np.add(mine, apart).tolist())])
  with pytest.raises(errors.InputError, match=re.escape(says)):
    loop.check_equal_starts(None, argparse.Namespace(start=0, folder='run'), 7, (0.5, 2.0))


def test_a_folder_with_checkpoints_is_refused_or_cleared(data, run):
  message = refusal(data, run)
  assert 'holds model.ckpt-5 already; give --resume, --overwrite or another folder' in message
  (run / 'mine.txt').write_text('')
  train(data, run, overwrite=True, num_steps=1)
  names = 'mine.txt checkpoint config classes.csv start log.csv summary.json model.ckpt-0.index '
  names += 'model.ckpt-0.data-00000-of-00001'
  assert {path.name for path in run.iterdir() if 'tfevents' not in path.name} == set(names.split())
  assert len(list(run.glob('*tfevents*'))) == 1


def test_the_newest_are_kept_and_the_best_besides(data, tmp_path, monkeypatch):
  mious = iter([0.1, 0.5, 0.3, np.nan, 0.4, 0.5])
  monkeypatch.setattr(loop.Validator, '__call__', lambda *_: Validation(next(mious), np.zeros(CLASSES), 0.5, []))
  folder = tmp_path / 'run'
  train(data, folder, num_steps=7, save_pred_every=1, keep=2, val_list=data / 'list.txt', val_every=1)
  assert steps(folder) == [2, 5, 6]
  assert json.loads((folder / 'best').read_text()) == {'checkpoint': 'model.ckpt-2', 'step': 2, 'miou': 0.5}
  assert tf.train.latest_checkpoint(str(folder)) == str(folder / 'model.ckpt-6')
  assert tf.train.get_checkpoint_state(str(folder)).all_model_checkpoint_paths == [
    str(folder / f'model.ckpt-{s}') for s in (2, 5, 6)
  ]
  summary = json.loads((folder / 'summary.json').read_text())
  assert summary['best_miou'] == 0.5
  assert summary['best_checkpoint'] == str(folder / 'model.ckpt-2')
  assert contents(folder / 'model.ckpt-6')['training/best_step'] == 2


def test_early_stop_ends_the_run_for_good(data, tmp_path, monkeypatch, capsys):
  folder, mious = tmp_path / 'run', iter([0.1, 0.5, 0.3, 0.5, 0.4, 0.6])
  monkeypatch.setattr(loop.Validator, '__call__', lambda *_: Validation(next(mious), np.zeros(CLASSES), 0.5, []))
  flags = {'num_steps': 50, 'save_pred_every': 50, 'val_list': data / 'list.txt', 'val_every': 2}

  def end(**changes):
    train(data, folder, **flags, **changes)
    return steps(folder)[-1], json.loads((folder / 'summary.json').read_text()).get('stopped_early_after_step')

  assert end(early_stop=2) == (8, 8)
  assert f'best checkpoint {folder}/model.ckpt-4, best miou 0.5, stopped early after step 8' in capsys.readouterr().out
  assert end(early_stop=2, resume=True) == (8, 8)
  assert end(early_stop=3, resume=True) == (10, 10)
  assert next(mious) == 0.6


@pytest.mark.parametrize(('minutes', 'saved'), [(1e-9, [0, 1, 2]), (1e9, [2])])
def test_checkpoints_by_time(data, tmp_path, minutes, saved):
  train(data, tmp_path, num_steps=3, save_pred_every=100, save_minutes=minutes)
  assert steps(tmp_path) == saved


def test_a_loss_that_is_not_finite_stops_the_run(data, tmp_path, monkeypatch):
  original = loop.make_step

  def make_step(strategy, state, args):
    step = original(strategy, state, args)
    nan = tf.constant(np.nan)
    return lambda batches, s: step([(i * nan if s == 3 else i, labels) for i, labels in batches], s)

  monkeypatch.setattr(loop, 'make_step', make_step)
  folder = tmp_path / 'run'
  with pytest.raises(errors.RunError) as e:
    train(data, folder, use_global_status=True, save_pred_every=1)
  message = str(e.value)
  assert message.startswith('step 3: the loss is not finite (seg_loss nan); update not made')
  assert 'lower --learning-rate or with --clip-norm' in message
  files = [data / f'{int(file_index(k, 7, 1234))}.jpg' for k in (6, 7)]
  assert f'files: {files[0]}, {files[1]}; ' in message
  assert steps(folder) == [1, 2]
  before = contents(folder / 'model.ckpt-2')
  kept = contents(folder / 'nonfinite' / 'model.ckpt-3')
  assert_same(kept, {name: before[name] for name in kept})


def test_variables_that_are_not_finite_are_not_saved(data, tmp_path, monkeypatch):
  def overflow():
    network.classifier.biases.assign([np.inf] * CLASSES)

  network = tiny.toy()
  monkeypatch.setattr(loop, 'build', lambda *args: network)
  at_step(monkeypatch, 4, overflow)
  with pytest.raises(errors.RunError, match='step 4: toy/block5/fc1_voc12/biases is not finite'):
    train(data, tmp_path / 'run')
  assert steps(tmp_path / 'run') == [2]
  assert steps(tmp_path / 'run' / 'nonfinite') == [4]


def test_the_story_of_a_run_in_files(data, tmp_path, capsys):
  folder = tmp_path / 'run'
  (tmp_path / 'names.txt').write_text('step\nunused\nunused\n')
  flags = {'val_list': data / 'list.txt', 'val_every': 3, 'update_tb_every': 2, 'profile_steps': '4,5'}
  flags |= {'class_weights': 'balanced'}
  train(data, folder, class_names=tmp_path / 'names.txt', **flags)
  table = rows(folder / 'log.csv')
  assert list(table[0]) == ['step', 'seg_loss', 'loss', 'lr', 'images_per_second', 'waited', 'memory_mb']
  assert [float(r['lr']) for r in table] == pytest.approx([1e-3 * (1 - s / 6) ** 0.9 for s in range(6)])
  assert all(float(r['images_per_second']) > 0 and float(r['memory_mb']) > 1 for r in table)
  validations = rows(folder / 'validation.csv')
  assert [r['step'] for r in validations] == ['3', '5']
  assert list(validations[0]) == ['step', 'mIoU', 'loss', 'step 0', 'unused 1', 'unused 2']
  config = json.loads((folder / 'config').read_text())
  assert (config['batch_size'], config['input_size'], config['objective']) == (2, [32, 32], 'CrossEntropy')
  assert len(config['class_weight_values']) == CLASSES and min(config['class_weight_values']) > 0
  out = capsys.readouterr().out
  assert f'flags: all in {folder}/config; fcn8s on toy, 3 classes, batches of 1 x 2 crops of 32 x 32' in out
  assert 'class weights: step ' in out and 'validation mIoU' in out and 'last checkpoint' in out
  tags = {}
  for path in folder.glob('*tfevents*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        tags.setdefault(value.tag, []).append(event.step)
  assert {'seg_loss', 'lr', 'images_per_second', 'memory_mb', 'input_truth_prediction'} <= tags.keys()
  assert tags['seg_loss'] == tags['lr'] == [0, 2, 4]
  assert tags['val/mIoU'] == tags['val/loss'] == [3, 5]
  assert all(tags[f'val/image_truth_prediction/{i}'] == [3, 5] for i in range(3))
  assert list((folder / 'plugins/profile').glob('*/*.xplane.pb'))


def damage(path):
  """Turns an image into a PNG with a wrong byte in the middle: header and end are well."""
  buffer = io.BytesIO()
  Image.open(path).save(buffer, 'PNG')
  png = bytearray(buffer.getvalue())
  png[len(png) // 2] ^= 1
  path.write_bytes(png)


@pytest.mark.parametrize('damage', ['²,1'.encode(), b'9' * 5000 + b'\xff', bytes(200_000)])
def test_a_damaged_log_goes_on(tmp_path, damage):
  path = tmp_path / 'log.csv'
  path.write_bytes(b'step,loss\n0,2.5\n' + damage + b'\n')
  log = CsvLog(str(path), 2)
  log.write({'step': 2, 'loss': 1.5})
  log.close()
  assert path.read_text().split() == ['step,loss', '0,2.5', '2,1.5']


@pytest.mark.parametrize(('fault', 'says'), [(os.unlink, 'no such file'), (damage, 'cannot be')])
def test_images_that_vanish_or_decay_are_named(data, tmp_path, monkeypatch, fault, says):
  """What was trained until then is saved."""
  shutil.copytree(data, tmp_path / 'data')
  at_step(monkeypatch, 1, lambda: [fault(path) for path in (tmp_path / 'data').glob('*.jpg')])
  with pytest.raises(errors.RunError, match=rf'step \d+: {tmp_path}/data/\d.jpg: {says}.*go on with --resume') as e:
    train(tmp_path / 'data', tmp_path / 'run', num_steps=60, save_pred_every=100)
  failed_at = int(re.match(r'step (\d+)', str(e.value))[1])
  assert steps(tmp_path / 'run') == [failed_at - 1] and 'Traceback' not in str(e.value)


@pytest.mark.parametrize(('name', 'says'), [('0.jpg', 'cannot be read any more'), ('0.png', 'no such file')])
def test_a_validation_that_fails_costs_no_step(data, tmp_path, monkeypatch, name, says):
  shutil.copytree(data, tmp_path / 'val')
  shutil.copytree(data, tmp_path / 'val/val')
  (tmp_path / 'val/val.txt').write_text('val/0.jpg val/0.png\n')
  flags = {'val_list': tmp_path / 'val/val.txt', 'val_every': 3, 'save_pred_every': 100}
  with monkeypatch.context() as patch:
    at_step(patch, 3, (tmp_path / 'val/val' / name).unlink)
    with pytest.raises((errors.RunError, errors.InputError), match=f'{name}: {says}'):
      train(tmp_path / 'val', tmp_path / 'run', **flags)
  assert steps(tmp_path / 'run') == [3]
  shutil.copy(data / name, tmp_path / 'val/val')
  train(tmp_path / 'val', tmp_path / 'run', resume=True, **flags)
  assert [row['step'] for row in rows(tmp_path / 'run/validation.csv')] == ['3', '5']


@pytest.mark.parametrize(
  ('message', 'says'),
  [
    ('/run/events.v2; No space left on device', 'no room there; its checkpoints are whole'),
    ('OOM when allocating tensor with shape[8,256]', 'out of memory; give a smaller --batch-size'),
  ],
)
def test_exhausted_resources_are_told_apart(tmp_path, message, says):
  error = tf.errors.ResourceExhaustedError(None, None, '{{function_node step}} ' + message)
  line = str(loop.run_error(error, tf.distribute.get_strategy(), str(tmp_path)))
  assert says in line and line.endswith(f'({message})')


@pytest.mark.usefixtures('deterministic')
@pytest.mark.parametrize('sign', [1, -1])
def test_a_run_of_earlier_code_goes_on(data, tmp_path, sign):
  """The folder of 2018's code holds checkpoints of the variables and their momentum alone, and no other file that is
  known here. For a while ours had the momentum of the edge weights with the other sign."""
  train(data, tmp_path / 'unbroken', 'train_aaf', deterministic=True)
  variables = contents(tmp_path / 'unbroken/model.ckpt-2')
  later = [name for name in variables if name.startswith('training/')] if sign == 1 else ['training/reversed_slots']
  old = {name: value for name, value in variables.items() if name not in later}
  slots = [name for name in old if name.endswith('edge_w/Momentum')]
  assert len(slots) == 2 and all(np.any(old[name]) for name in slots)
  old |= {name: sign * old[name] for name in slots}
  checkpoint.save(str(tmp_path / 'old/model.ckpt-2'), old)
  train(data, tmp_path / 'old', 'train_aaf', deterministic=True, resume=True)
  assert_same(last_checkpoint(tmp_path / 'unbroken'), last_checkpoint(tmp_path / 'old'))


@pytest.mark.usefixtures('deterministic')
def test_a_run_goes_on_from_the_newest_checkpoint_that_can_be_read(data, run, capsys):
  want = last_checkpoint(run)
  os.truncate(run / 'model.ckpt-5.data-00000-of-00001', 100)
  (run / 'model.ckpt-4.index').write_bytes(b'')
  train(data, run, resume=True, **validated(data))
  out = capsys.readouterr().out
  assert f'{run}/model.ckpt-5.damaged: is damaged and was renamed' in out
  assert f'variables from {run}/model.ckpt-3, going on at step 4' in out
  assert_same(want, last_checkpoint(run))
  for path in run.glob('model.ckpt-?.index'):
    path.write_bytes(b'')
  assert 'none of its checkpoints can be read; give --overwrite' in refusal(data, run, resume=True)


def test_a_second_signal_ends_even_a_step_that_hangs():
  """Python itself would look at signals only after the call, 2^31 rounds of a hash here."""
  code = (
    f'import sys, os, hashlib; sys.path.insert(0, {str(tiny.ROOT)!r})\n'
    'from utils.train.loop import StopRequest\n'
    'with StopRequest():\n'
    '  print("in", flush=True)\n'
    '  hashlib.pbkdf2_hmac("sha512", b"", b"", 2**31 - 1)\n'
  )
  process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
  try:
    assert process.stdout.readline() == 'in\n'
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=600) == 130
  finally:
    process.kill()
    process.stdout.close()
