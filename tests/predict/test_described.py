"""--run alone predicts what all flags of the run would predict. (What a run says: `tests/test_runs.py`.)"""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.predict import predicted
from tests.predict.predicted import CLASSES, files, flags, run
from utils import labels
from utils.errors import InputError
from utils.predict.predictor import Predictor

checkpoint, folder = predicted.checkpoint, predicted.folder
NAMES = labels.Classes(['sky', 'road', 'car'], np.array([[9, 9, 9], [1, 2, 3], [7, 0, 7]], np.uint8))


@pytest.fixture
def snapshots(checkpoint, tmp_path):
  """A run's folder with two checkpoints, of which the older one was the best."""
  made = tmp_path / 'run'
  made.mkdir()
  for part in pathlib.Path(checkpoint).parent.glob('model.ckpt-7.*'):
    shutil.copy(part, made)
    (made / part.name.replace('-7', '-9')).write_bytes(b'')
  config = {'model': 'fcn8s', 'backbone': 'toy', 'num_classes': CLASSES, 'ema_decay': None}
  config |= {'input_size': [48, 48], 'val_strides': [32, 32]}
  (made / 'config').write_text(json.dumps(config))
  (made / 'best').write_text(json.dumps({'checkpoint': 'model.ckpt-7', 'step': 7, 'miou': 0.5}))
  labels.write_classes(made, NAMES)
  return made


def test_a_run_alone_predicts_as_all_its_flags_do(snapshots, checkpoint, folder, tmp_path):
  photo = folder / '0.png'
  assert run(['--run', str(snapshots), '--image', str(photo), '--save-dir', str(tmp_path / 'a')]) == 0
  assert run(flags(checkpoint, tmp_path / 'b', '--image', photo)) == 0
  assert files(tmp_path / 'a/gray') == files(tmp_path / 'b/gray')
  kept = labels.classes_beside(tmp_path / 'a')
  assert kept.names == NAMES.names and np.array_equal(kept.colours, NAMES.colours)
  ids, colours = (np.asarray(Image.open(tmp_path / 'a' / kind / '0.png')) for kind in ('gray', 'color'))
  assert np.array_equal(colours, NAMES.colours[ids])

  predict, image = Predictor(snapshots), np.asarray(Image.open(photo).convert('RGB'))
  classes, confidence = predict(image)
  assert np.array_equal(classes, ids) and classes.dtype == np.uint8
  assert confidence.shape == ids.shape and confidence.dtype == np.float32
  assert (confidence > 1 / CLASSES - 1e-6).all() and (confidence < 1 + 1e-6).all()
  for wrong in (image / 255, image[..., 0]):
    with pytest.raises(InputError, match=r'give uint8 RGB \[h, w, 3\]'):
      predict(wrong)


def test_what_is_there_is_kept_only_with_its_classes(snapshots, folder, tmp_path, capsys):
  words = ['--run', str(snapshots), '--image', str(folder / '0.png'), '--save-dir', str(tmp_path / 'out')]
  assert run(words) == 0 and run([*words, '--skip-existing']) == 0
  labels.write_classes(snapshots, labels.Classes(NAMES.names[::-1], NAMES.colours))
  assert run([*words, '--skip-existing']) == 2
  assert 'holds predictions of other classes' in capsys.readouterr().err
  assert labels.classes_beside(tmp_path / 'out').names == NAMES.names
