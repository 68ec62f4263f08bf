"""The bash scripts of the studies: what they would run."""

import shlex
import sys

import numpy as np
import pytest

from tests.data.trees import save
from tests.test_recipes import BUILD, INSTALLED, bash
from utils import checkpoint


@pytest.fixture(scope='module')
def camvid(tmp_path_factory):
  """The values of a study on a tree in CamVid's layout, with a file in the place of the ImageNet weights."""
  root, rng = tmp_path_factory.mktemp('camvid'), np.random.default_rng(0)
  for split in ('train', 'val', 'test'):
    for i in range(6):
      save(root / split / f'{i}.png', rng.integers(0, 256, (52, 60, 3), np.uint8))
      save(root / f'{split}annot' / f'{i}.png', rng.integers(0, 12, (52, 60), np.uint8))
  for name in ('efficientnet_lite0', 'efficientnet_lite2'):
    checkpoint.save(str(root / f'imagenet/{name}.ckpt'), {'w': np.zeros(1, np.float32)})
  places = {'IMAGENET': root / 'imagenet', 'OUT': root / 'study', 'LISTS': root / 'lists'}
  return {'DATA_DIR': root, 'PYTHON': sys.executable, **places}


def trainings(result) -> list[str]:
  """The lines of training of a dry run."""
  assert result.returncode == 0, result.stderr
  return [line for line in result.stdout.splitlines() if 'pyscripts/train' in line]


QUESTIONS = [('losses', 30), ('recipe', 16), ('settings', 16), ('converged', 15), ('scratch', 15)]


@pytest.mark.parametrize(('question', 'number'), QUESTIONS)
def test_questions_of_camvid(camvid, question, number):
  lines = trainings(bash('study/camvid.sh', question, '--dry-run', **camvid))
  model = 'deeplabv3plus' if question in ('losses', 'recipe') else 'fcn8s'
  assert len(lines) == number and all(f'--model {model} ' in line for line in lines)
  assert all(('--restore-from' in line) == (question != 'scratch') for line in lines)
  assert len((camvid['OUT'] / 'curve.txt').read_text().splitlines()) == 2
  assert not (camvid['OUT'] / 'start').exists()


def test_values_and_flags_from_outside(camvid):
  values = {
    'STEPS': 2,
    'SEEDS': 7,
    'METHODS': 'aaf',
    'TRAIN_FLAGS': '--clip-norm 9',
    'PRECISION': 'bfloat16',
    'TEST': 1,
  }
  result = bash('study/camvid.sh', 'scratch', '--variant', 'half=aaf --kld-margin 1', '--dry-run', **camvid, **values)
  lines = [shlex.split(line) for line in trainings(result)]
  assert len(lines) == 2 and result.stdout.count('inference.py') == 4
  for line in lines:
    flags = dict(zip(line, line[1:], strict=False))
    assert (flags['--num-steps'], flags['--clip-norm'], flags['--random-seed']) == ('2', '9', '7')
    assert flags['--precision'] == 'bfloat16' and flags['--snapshot-dir'].startswith(f'{camvid["OUT"]}/seed-7/')
  wrong = bash('study/camvid.sh', **camvid)
  assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1) and 'give losses' in wrong.stderr


@pytest.mark.skipif(not INSTALLED.exists(), reason='not run by bashscripts/test.sh, and so the demo would install')
def test_demo_trains_on_the_demo_scenes(tmp_path):
  scenes = '--num-train 2 --num-val 1 --image-size 64,64'
  lines = trainings(bash('study/demo.sh', '--dry-run', VENV=sys.prefix, DEMO=tmp_path, SCENES=scenes, TENSORFLOW=BUILD))
  assert len(lines) == 3 * 4 and all('--num-classes 7 ' in line for line in lines)
