"""A run describes itself: what is read in its folder, and how flags come on top."""

import json

import pytest

from utils import labels, runs
from utils.errors import InputError
from utils.predict import flags


@pytest.fixture
def folder(tmp_path):
  """A run of four classes: its best checkpoint is 5, its newest 9."""
  config = {'model': 'fcn8s', 'backbone': 'resnet_v1_14', 'num_classes': 4, 'output_stride': None, 'ignore_label': 9}
  config |= {'precision': 'bfloat16', 'input_size': [48, 64], 'val_strides': [40, 48], 'ema_decay': 0.99}
  (tmp_path / 'config').write_text(json.dumps(config))
  for step in (5, 9, 10):
    for part in runs.PARTS:
      (tmp_path / f'model.ckpt-{step}{part}').touch()
  (tmp_path / 'model.ckpt-11.index').touch()  # half written
  (tmp_path / 'best').write_text(json.dumps({'checkpoint': 'model.ckpt-5', 'step': 5, 'miou': 0.5}))
  labels.write_classes(tmp_path, labels.Classes(['sky', 'road', 'car', 'tree'], labels.voc_colours(4)))
  return tmp_path


def test_folder_gives_network_classes_window_and_the_best_checkpoint(folder):
  run = runs.read(folder)
  assert run.checkpoint == str(folder / 'model.ckpt-5') and run.ema and run.classes.names[2] == 'car'
  assert run.window == (48, 64) and run.strides((48, 64)) == (40, 48) and run.strides((96, 90)) == (64, 60)
  (folder / 'best').unlink()
  assert runs.read(folder).checkpoint == str(folder / 'model.ckpt-10')
  assert runs.read(folder / 'model.ckpt-9').checkpoint == str(folder / 'model.ckpt-9')


def test_flags_come_on_top_and_those_that_contradict_are_refused(folder):
  def parse(*words):
    return flags.parse('', [*words, '--image', 'a', '--save-dir', 'b'])

  args = parse('--run', str(folder), '--ignore-label', '200')
  assert (args.model, args.num_classes, args.ignore_label, args.precision) == ('fcn8s', 4, 200, 'bfloat16')
  assert parse('--run', str(folder), '--output-stride', '8', '--model', 'fcn8s').restore_from.endswith('-5')
  for words in (['--num-classes', '5'], ['--model', 'pspnet'], ['--output-stride', '16']):
    for source in (['--run', str(folder)], ['--restore-from', str(folder / 'model.ckpt-9')]):
      with pytest.raises(InputError, match=f'{words[0]} {words[1]}: .*config says'):
        parse(*source, *words)


def test_a_run_may_be_named_in_a_config_and_must_be_one(folder, tmp_path):
  for flag, name in (('run', folder), ('restore-from', folder / 'model.ckpt-9')):
    (tmp_path / 'mine.json').write_text(json.dumps({flag: str(name)}))
    run = runs.named(['--config', str(tmp_path / 'mine.json')])
    assert run[:2] == (str(folder), runs.recorded(folder)) and run.checkpoint[-2:] == {'run': '-5'}.get(flag, '-9')
  other = ['--config', str(tmp_path / 'mine.json'), '--run', str(folder)]  # the command line has the last word
  assert runs.named(other).checkpoint == str(folder / 'model.ckpt-5')
  with pytest.raises(InputError, match='--run .*typo: is no folder of a training'):
    runs.named(['--run', '/nowhere/typo'])


def test_checkpoint_without_config_is_no_run_and_other_folders_are_refused(folder, tmp_path):
  assert runs.read('/nowhere/model.ckpt-7') is None
  for name in ('config', 'best'):
    before = (folder / name).read_text()
    (folder / name).write_text('{')
    with pytest.raises(InputError, match=f'{name}: is not JSON'):
      runs.read(folder)
    (folder / name).write_text(before)
  (folder / 'config').unlink()
  (folder / 'config').mkdir()  # of another program
  assert runs.read(folder / 'model.ckpt-9') is None and runs.recorded(folder) == {}
  with pytest.raises(InputError, match='holds no config'):
    runs.read(folder)
