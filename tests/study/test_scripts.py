"""The bash scripts of the studies: what they would run, and that one runs to its end on a tiny tree."""

import json
import shlex
import sys
import zlib

import numpy as np
import pytest

from tests.score.scored import save
from tests.test_recipes import BUILD, INSTALLED, bash
from utils import checkpoint

TINY = {'METHODS': 'baseline', 'SEEDS': '4', 'STEPS': 2, 'CROP': '48,48', 'BATCH_SIZE': 2}
TINY |= {'WINDOW': '48,48', 'STRIDES': '48,48', 'START_STEPS': 3}


@pytest.fixture(scope='module')
def camvid(tmp_path_factory):
  """The values of a study on a tree in CamVid's layout, of six images a split."""
  root, rng = tmp_path_factory.mktemp('camvid'), np.random.default_rng(0)
  for split in ('train', 'val', 'test'):
    for i in range(6):
      save(root / split / f'{i}.png', rng.integers(0, 256, (52, 60, 3), np.uint8))
      save(root / f'{split}annot' / f'{i}.png', rng.integers(0, 12, (52, 60), np.uint8))
  return {'DATA_DIR': root, 'LISTS': root / 'lists', 'OUT': root / 'study', 'PYTHON': sys.executable}


def commands(result) -> list[tuple[str, dict]]:
  """(script, its flags) of each line that a dry run prints."""
  assert result.returncode == 0, result.stderr
  lines = [shlex.split(line) for line in result.stdout.splitlines() if line.startswith('python ')]
  flags = [[w for word in line[2:] for w in (word.split('=') if word.startswith('--') else [word])] for line in lines]
  switches = {
    '--resume',
    '--skip-existing',
    '--not-restore-classifier',
    '--random-mirror',
    '--random-scale',
    '--random-crop',
  }
  flags = [[word for word in words if word not in switches] for words in flags]
  return [(line[1], dict(zip(f[::2], f[1::2], strict=True))) for line, f in zip(lines, flags, strict=True)]


def test_camvid_trains_three_methods_with_five_seeds(camvid):
  found = commands(bash('study/camvid.sh', '--dry-run', **camvid))
  (start, of_start), *trainings = [(script, flags) for script, flags in found if 'train' in script]
  assert start.endswith('train/train.py') and of_start['--num-steps'] == '6000' and '--restore-from' not in of_start
  checkpoint = f'{camvid["OUT"]}/start/model.ckpt-5999'
  assert {flags['--restore-from'] for _, flags in trainings} == {checkpoint}
  assert not camvid['OUT'].joinpath('start').exists()
  assert [script.split('/')[-1] for script, _ in trainings] == ['train.py', 'train_affinity.py', 'train_aaf.py'] * 5
  assert [flags['--random-seed'] for _, flags in trainings] == [str(seed) for seed in (1, 2, 3, 4, 5) for _ in range(3)]
  for _, flags in found:
    assert (flags['--model'], flags['--backbone']) == ('fcn8s', 'resnet_v1_14')
    assert (flags['--num-classes'], flags['--ignore-label']) == ('11', '11')
  assert not any(flags['--data-list'].endswith('test.txt') for _, flags in found)
  assert len((camvid['OUT'] / 'curve.txt').read_text().splitlines()) == 2


@pytest.fixture(scope='module')
def imagenet(camvid):
  """The same values, with a file in the place of the ImageNet weights."""
  folder = camvid['DATA_DIR'] / 'my weights'
  checkpoint.save(str(folder / 'efficientnet_lite0.ckpt'), {'w': np.zeros(1, np.float32)})
  return {**camvid, 'IMAGENET': folder, 'OUT': camvid['DATA_DIR'] / 'from imagenet'}


def test_rivals_from_imagenet_have_three_of_the_five_seeds(imagenet):
  trainings = [
    found for found in commands(bash('study/camvid_imagenet.sh', '--dry-run', **imagenet)) if 'train' in found[0]
  ]
  seeds = {}
  for _, flags in trainings:
    assert flags['--restore-from'] == f'{imagenet["IMAGENET"]}/efficientnet_lite0.ckpt'
    seeds.setdefault(flags['--snapshot-dir'].rsplit('/', 1)[1], []).append(int(flags['--random-seed']))
  assert seeds == dict.fromkeys(('baseline', 'affinity', 'aaf'), [1, 2, 3, 4, 5]) | dict.fromkeys(
    ('lovasz', 'rmi', 'abl', 'aaf-double'), [1, 2, 3]
  )
  assert {flags.get('--extra-loss') for _, flags in trainings} == {None, 'lovasz', 'rmi', 'abl'}


def test_settings_at_two_strides(imagenet):
  networks = []
  for words in ((), ('stride-8',)):
    found = commands(bash('study/camvid_settings.sh', *words, '--dry-run', **imagenet))
    assert len(found) == 2 * 2 * 8 and not any(flags['--data-list'].endswith('test.txt') for _, flags in found)
    networks.append((found[0][1]['--model'], found[0][1]['--num-steps']))
  assert networks == [('deeplabv3plus', '1200'), ('fcn8s', '1000')]
  wrong = bash('study/camvid_settings.sh', 'stride-16', **imagenet)
  assert wrong.returncode == 2 and 'stride-16 is neither stride-4 nor stride-8' in wrong.stderr


def test_values_and_flags_from_outside(camvid):
  more = ('--dry-run', '--test', '--variant', 'steady=aaf --kld-decay 1')
  values = {**TINY, 'PRECISION': 'bfloat16', 'TRAIN_FLAGS': '--clip-norm 9', 'CURVE_EVERY': 1}
  found = commands(bash('study/camvid.sh', *more, **{**camvid, **values, 'START_STEPS': 0}))
  assert [script.split('/')[-1] for script, _ in found] == [
    'train.py', 'inference.py', 'inference.py', 'train_aaf.py', 'inference.py', 'inference.py'
  ]  # fmt: skip
  first, last = found[0][1], found[3][1]
  assert (first['--num-steps'], first['--clip-norm'], first['--precision']) == ('2', '9', 'bfloat16')
  assert last['--kld-decay'] == '1' and last['--val-list'].endswith('val.txt')
  assert found[2][1]['--data-list'].endswith('test.txt') and found[2][1]['--precision'] == 'bfloat16'


def test_what_is_wrong_is_said_before_the_start_is_trained(camvid, tmp_path):
  values = {**camvid, **TINY, 'OUT': tmp_path / 'study', 'START_STEPS': 1000000}
  for more, code, expected in ((['--seeds', '1,1'], 2, 'names a seed twice'), (['--report-only'], 2, 'flags.json')):
    result = bash('study/camvid.sh', *more, **values)
    assert result.returncode == code and expected in result.stderr and not (tmp_path / 'study/start').exists()
  result = bash('study/camvid.sh', '--help', **values)
  assert result.returncode == 0 and '--variant' in result.stdout and not (tmp_path / 'study/start').exists()


def test_camvid_runs_to_its_end(camvid):
  result = bash('study/camvid.sh', **{**camvid, **TINY})
  assert result.returncode == 0, result.stderr
  assert '| baseline |' in result.stdout
  study = json.loads((camvid['OUT'] / 'study.json').read_text())
  assert [each['name'] for each in study['classes'] if each['thin']][:2] == ['pole', 'signsymbol']
  assert study['val']['images'] == 6 and 'test' not in study
  start = camvid['OUT'] / 'start/model.ckpt-2.index'
  assert study['methods'][0]['settings']['restore_from'] == f'model.ckpt-2, CRC {zlib.crc32(start.read_bytes()):08x}'
  written = start.stat().st_mtime_ns
  assert bash('study/camvid.sh', **{**camvid, **TINY}).returncode == 0 and start.stat().st_mtime_ns == written


@pytest.mark.skipif(not INSTALLED.exists(), reason='not run by bashscripts/test.sh, and so the demo would install')
def test_demo_trains_on_the_demo_scenes(tmp_path):
  scenes = '--num-train 2 --num-val 1 --image-size 64,64'
  found = commands(bash('study/demo.sh', '--dry-run', VENV=sys.prefix, DEMO=tmp_path, SCENES=scenes, TENSORFLOW=BUILD))
  assert len(found) == 2 * 3 * 4 and all(flags['--num-classes'] == '7' for _, flags in found)
  assert found[0][1]['--batch-norm-decay'] == '0.95'
