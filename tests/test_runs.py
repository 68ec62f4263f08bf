"""A run describes itself: what is read in its folder, how flags come on top, and that --run alone predicts what all
flags of the run would predict."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.predict import predicted
from tests.predict.predicted import CLASSES, files
from utils import labels, runs
from utils.errors import InputError
from utils.predict import flags
from utils.predict.predictor import Predictor

checkpoint, pictures = predicted.checkpoint, predicted.folder
NAMES = labels.Classes(['sky', 'road', 'car'], np.array([[9, 9, 9], [1, 2, 3], [7, 0, 7]], np.uint8))
CONFIG = {'model': 'fcn8s', 'backbone': 'toy', 'num_classes': CLASSES, 'output_stride': None, 'ignore_label': 9}
CONFIG |= {'precision': 'bfloat16', 'input_size': [48, 64], 'val_strides': [40, 48], 'ema_decay': None}


@pytest.fixture
def folder(tmp_path, checkpoint):
  """A run's folder: its best checkpoint is 7, its newest 10."""
  made = tmp_path / 'run'
  shutil.copytree(pathlib.Path(checkpoint).parent, made)
  (made / 'config').write_text(json.dumps(CONFIG))
  for step in (9, 10):
    for part in runs.PARTS:
      (made / f'model.ckpt-{step}{part}').touch()
  (made / 'model.ckpt-11.index').touch()  # half written
  (made / 'best').write_text(json.dumps({'checkpoint': 'model.ckpt-7', 'step': 7, 'miou': 0.5}))
  labels.write_classes(made, NAMES)
  return made


def test_folder_gives_network_classes_window_and_the_best_checkpoint(folder):
  run = runs.read(folder)
  assert run.checkpoint == str(folder / 'model.ckpt-7') and not run.ema and run.classes.names[2] == 'car'
  assert run.window == (48, 64) and run.strides((48, 64)) == (40, 48) and run.strides((96, 90)) == (64, 60)
  (folder / 'best').unlink()
  assert runs.read(folder).checkpoint == str(folder / 'model.ckpt-10')
  assert runs.read(folder / 'model.ckpt-9').checkpoint == str(folder / 'model.ckpt-9')
  (folder / 'config').write_text(json.dumps(CONFIG | {'ema_decay': 0.99}))
  assert runs.read(folder).ema


def test_flags_come_on_top_and_those_that_contradict_are_refused(folder):
  def parse(*words):
    return flags.parse('', [*words, '--image', 'a', '--save-dir', 'b'])

  args = parse('--run', str(folder), '--ignore-label', '200')
  assert (args.model, args.num_classes, args.ignore_label, args.precision) == ('fcn8s', CLASSES, 200, 'bfloat16')
  assert parse('--run', str(folder), '--output-stride', '8', '--model', 'fcn8s').restore_from.endswith('-7')
  for words in (['--num-classes', '5'], ['--model', 'pspnet'], ['--output-stride', '16']):
    for source in (['--run', str(folder)], ['--restore-from', str(folder / 'model.ckpt-9')]):
      with pytest.raises(InputError, match=f'{words[0]} {words[1]}: .*config says'):
        parse(*source, *words)


def test_a_run_may_be_named_in_a_config_and_must_be_one(folder, tmp_path):
  for flag, name in (('run', folder), ('restore-from', folder / 'model.ckpt-9')):
    (tmp_path / 'mine.json').write_text(json.dumps({flag: str(name)}))
    run = runs.named(['--config', str(tmp_path / 'mine.json')])
    assert run[:2] == (str(folder), runs.recorded(folder)) and run.checkpoint[-2:] == {'run': '-7'}.get(flag, '-9')
  other = ['--config', str(tmp_path / 'mine.json'), '--run', str(folder)]  # the command line has the last word
  assert runs.named(other).checkpoint == str(folder / 'model.ckpt-7')
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


def test_a_run_alone_predicts_as_all_its_flags_do(folder, checkpoint, pictures, tmp_path):
  photo = pictures / '0.png'
  assert predicted.run(['--run', str(folder), '--image', str(photo), '--save-dir', str(tmp_path / 'a')]) == 0
  windows = ['--input-size', '48,64', '--strides', '40,48', '--precision', 'bfloat16']
  assert predicted.run(predicted.flags(checkpoint, tmp_path / 'b', '--image', photo, windows=windows)) == 0
  assert files(tmp_path / 'a/gray') == files(tmp_path / 'b/gray')
  kept = labels.classes_beside(tmp_path / 'a')
  assert kept.names == NAMES.names and np.array_equal(kept.colours, NAMES.colours)
  ids, colours = (np.asarray(Image.open(tmp_path / 'a' / kind / '0.png')) for kind in ('gray', 'color'))
  assert np.array_equal(colours, NAMES.colours[ids])

  predict, image = Predictor(folder), np.asarray(Image.open(photo).convert('RGB'))
  classes, confidence = predict(image)
  assert np.array_equal(classes, ids) and classes.dtype == np.uint8
  assert confidence.shape == ids.shape and confidence.dtype == np.float32
  assert (confidence > 1 / CLASSES - 1e-6).all() and (confidence < 1 + 1e-6).all()
  for wrong in (image / 255, image[..., 0]):
    with pytest.raises(InputError, match=r'give uint8 RGB \[h, w, 3\]'):
      predict(wrong)


def test_what_is_there_is_kept_only_with_its_classes(folder, pictures, tmp_path, capsys):
  words = ['--run', str(folder), '--image', str(pictures / '0.png'), '--save-dir', str(tmp_path / 'out')]
  assert predicted.run(words) == 0 and predicted.run([*words, '--skip-existing']) == 0
  labels.write_classes(folder, labels.Classes(NAMES.names[::-1], NAMES.colours))
  assert predicted.run([*words, '--skip-existing']) == 2
  assert 'holds predictions of other classes' in capsys.readouterr().err
  assert labels.classes_beside(tmp_path / 'out').names == NAMES.names
