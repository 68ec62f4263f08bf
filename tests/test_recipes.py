"""The bash scripts of recipes and studies: what they would run, that they resume and stop, and that some run to their
end on tiny data."""

import functools
import itertools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.data.trees import save
from utils import checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[1]
BASH = ROOT / 'bashscripts'
LOSSES = ('', '_affinity', '_aaf')
VOC = [f'voc12/train_pspnet{loss}{gpus}.sh' for loss in LOSSES for gpus in ('', '_mgpu')]
CITYSCAPES = [f'cityscapes/train_pspnet{loss}_mgpu.sh' for loss in LOSSES]
CAMVID = ['camvid/train_pspnet_aaf.sh']
GTA5 = ['gta5/score_cityscapes_pspnet.sh']
BUILD = 'gpu' if (pathlib.Path(sys.prefix) / '.installed-requirements.txt').exists() else 'cpu'
INSTALLED = pathlib.Path(sys.prefix) / f'.installed-requirements{"" if BUILD == "gpu" else "-cpu"}.txt'
RECIPES = VOC + CITYSCAPES + CAMVID + GTA5


def bash(script, *args, **values):
  """Runs a bash script in an environment without the values of whoever runs the tests."""
  kept = {key: os.environ[key] for key in ('PATH', 'HOME', 'LANG') if key in os.environ}
  command, env = ['bash', BASH / script, *map(str, args)], kept | {key: str(value) for key, value in values.items()}
  return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


def flags_of(words) -> dict:
  keys = [i for i, word in enumerate(words) if word.startswith('--')]
  return {words[i]: ' '.join(words[i + 1 : j]) for i, j in itertools.pairwise([*keys, None])}


@functools.cache
def commands(script, *args, **values) -> list[tuple[str, dict]]:
  """(script's name, its flags) for each command that a dry run prints."""
  result = bash(script, *args, DRY_RUN=1, **values)
  assert (result.returncode, result.stderr) == (0, ''), result
  found = []
  for line in result.stdout.splitlines():
    words = shlex.split(line)
    if len(words) > 1 and words[0] != '#':
      assert (pathlib.Path(words[1])).exists(), words[1]
      found.append((pathlib.Path(words[1]).stem, flags_of(words)))
  return found


def test_every_recipe_is_known_here():
  folders = 'voc12', 'cityscapes', 'camvid', 'gta5'
  found = {f'{folder}/{path.name}' for folder in folders for path in BASH.glob(f'{folder}/*.sh')}
  assert found == {*RECIPES, 'voc12/values.sh', 'cityscapes/values.sh'}


SAME = """--model pspnet --backbone resnet_v1_101 --ignore-label 255 --iter-size 1 --weight-decay 5e-4 --resume
  --random-mirror --random-scale --random-crop --is-training --random-seed 1234 --update-tb-every 50"""
SCORES = [('benchmark_by_mIoU', ''), ('benchmark_by_instance', '')]


@pytest.mark.parametrize('script', VOC + CITYSCAPES)
def test_recipe_is_that_of_the_paper(script):
  """And each has a snapshot folder of its own."""
  train, folder = pathlib.Path(script).stem, f'snapshots/{script.replace("train_", "").removesuffix(".sh")}'
  same = SAME + ' --num-gpu 4' * ('mgpu' in script)
  same += ' --kld-margin 3.0 --kld-lambda-1 1.0 --kld-lambda-2 1.0' * ('aff' in script or 'aaf' in script)
  if script in VOC:
    lists, window = 'dataset/voc12', '--input-size 480,480 --strides 320,320'
    same += ' --num-classes 21 --data-dir data/VOCdevkit --num-steps 30001 --save-pred-every 30000 '
    same += '--batch-size 16 --input-size 480,480' if 'mgpu' in script else '--batch-size 8 --input-size 336,336'
  else:
    lists, window = 'dataset/cityscapes', '--input-size 720,720 --strides 480,480'
    same += ' --num-classes 19 --data-dir data/Cityscapes --num-steps 90001 --save-pred-every 90000 '
    same += '--batch-size 8 --input-size 720,720'
  first = f'{same} --learning-rate 1e-3 --snapshot-dir {folder}/stage1 --not-restore-classifier '
  first += f'--restore-from snapshots/imagenet/resnet_v1_101.ckpt --data-list {lists}/train'
  second = f'{same} --learning-rate 1e-4 --restore-from {folder}/stage1/model.ckpt-30000 --snapshot-dir {folder}/stage2'
  multi_scale = ('inference_msc', f'{window} --flip-aug --scale-aug'), *SCORES
  expected = [(train, f'{first}.txt'), *multi_scale]
  if script in VOC:
    expected = [(train, f'{first}+.txt'), ('inference', window), *SCORES]
    expected += [(train, f'{second} --data-list {lists}/train.txt'), *multi_scale]
  for (name, flags), (expected_name, words) in zip(commands(script), expected, strict=True):
    assert name == expected_name.replace('_pspnet', '')
    flags, want = {key: value.replace(f'{ROOT}/', '') for key, value in flags.items()}, flags_of(words.split())
    assert want == flags if name.startswith('train') else want.items() <= flags.items()


def test_values_come_from_the_environment():
  values = {'BATCH_SIZE': 3, 'BACKBONE': 'resnet_v1_14', 'STAGE2_LIST': '', 'DATA_DIR': '/my data', 'RESTORE_FROM': ''}
  found = commands('voc12/train_pspnet_aaf.sh', TRAIN_FLAGS='--precision bfloat16', STAGE1_STEPS=7, **values)
  assert [name for name, _ in found] == ['train_aaf', 'inference', 'benchmark_by_mIoU', 'benchmark_by_instance']
  flags = found[0][1]
  assert (flags['--batch-size'], flags['--backbone'], flags['--data-dir']) == ('3', 'resnet_v1_14', '/my data')
  assert (flags['--num-steps'], flags['--precision']) == ('8', 'bfloat16')
  assert not {'--restore-from', '--not-restore-classifier'} & set(flags)
  assert found[1][1]['--restore-from'].endswith('stage1/model.ckpt-7')
  (_, flags), *_ = commands('voc12/train_pspnet.sh', BACKBONE='resnet_v1_50')
  assert flags['--restore-from'].endswith('imagenet/resnet_v1_50.ckpt')


BY_HAND, OWN = 'cluster/by_hand.sh', 'own/finetune.sh'
WRONG = [(BY_HAND,), (BY_HAND, '2', 'a:1', 'b:1'), (BY_HAND, 'a:1', 'b:1'), (BY_HAND, '-1', 'a:1')]
WRONG += [(OWN,), (OWN, 'no such folder')]


@pytest.mark.parametrize('command', WRONG)
def test_wrong_arguments_are_one_line(command):
  result = bash(*command)
  assert (result.returncode, len(result.stderr.splitlines()), result.stdout) == (2, 1, '')


def test_unknown_part_is_refused():
  result = bash('voc12/train_pspnet.sh', PARTS='train test', DRY_RUN=1)
  assert result.returncode == 2 and "'test'" in result.stderr


def test_without_an_environment_the_remedy_is_one_line(tmp_path):
  shutil.copytree(BASH, tmp_path / 'bashscripts')
  (tmp_path / 'python3').write_text('#!/bin/bash\nexit 1\n')
  (tmp_path / 'python3').chmod(0o755)
  result = bash(tmp_path / 'bashscripts' / CAMVID[0], PATH=f'{tmp_path}:{os.environ["PATH"]}')
  assert (result.returncode, len(result.stderr.splitlines()), result.stdout) == (2, 1, '')
  assert 'bash bashscripts/setup.sh' in result.stderr


@pytest.fixture
def fake(tmp_path):
  """A stand-in for Python that notes the scripts it is asked to run, and fails in the one that `fail` names."""
  python, log = tmp_path / 'python', tmp_path / 'log'
  log.touch()
  python.write_text(
    f"""#!/bin/bash
name="$(basename "$1" .py)"
echo "$name" >>'{log}'
[ "$name" != "$(cat '{tmp_path}/fail' 2>/dev/null)" ] || exit 3
while [ "$1" != --save-dir ] && [ "$1" != --pred-dir ] && [ $# -gt 1 ]; do shift; done
mkdir -p "$2"
echo "$name of $2"
"""
  )
  python.chmod(0o755)
  values = {'PYTHON': python, 'SNAPSHOT_DIR': tmp_path / 'snap shots'}

  def run(script='cityscapes/train_pspnet_aaf_mgpu.sh', fail='', **more):
    log.write_text('')
    (tmp_path / 'fail').write_text(fail)
    result = bash(script, **{**values, **more})
    return result.returncode, log.read_text().split()

  return run


def test_stops_at_the_first_failure(fake):
  assert fake(fail='inference_msc') == (3, ['train_aaf_mgpu', 'inference_msc'])
  assert fake(fail='benchmark_by_mIoU') == (3, ['inference_msc', 'benchmark_by_mIoU'])


def test_started_again_it_goes_on_where_it_stopped(fake, tmp_path):
  whole = ['train_aaf_mgpu', 'inference_msc', 'benchmark_by_mIoU', 'benchmark_by_instance']
  assert fake() == (0, whole)
  assert fake() == (0, whole[2:])
  assert fake(STRIDES='240,240') == (0, whole[1:])
  assert fake(STRIDES='240,240', BATCH_SIZE=4) == (0, whole)
  (tmp_path / 'list.txt').write_text('a.png b.png\n')
  assert fake(PREDICT_LIST=tmp_path / 'list.txt') == (0, whole)
  (tmp_path / 'list.txt').write_text('a.png b.png\nc.png d.png\n')
  assert fake(PREDICT_LIST=tmp_path / 'list.txt') == (0, whole[1:])
  for size in (5, 7):  # a file that the list names is drawn anew
    (tmp_path / 'a.png').write_bytes(b'x' * size)
    assert fake(PREDICT_LIST=tmp_path / 'list.txt', DATA_DIR=tmp_path) == (0, whole if size == 5 else whole[1:])


def test_pictures_of_other_weights_are_not_kept(fake, tmp_path):
  """Which --skip-existing would do. What is refused or a part of the list removes none."""
  picture = tmp_path / 'snap shots/stage1/results/val/gray/a.png'
  fake(PREDICT_FLAGS='--skip-existing')
  picture.write_bytes(b'')
  assert fake(PREDICT_FLAGS='--shard 1/2')[0] == 0 and picture.exists()
  assert fake(fail='train_aaf_mgpu', TRAIN_FLAGS='--no-flag')[0] == 3 and picture.exists()
  assert fake(PREDICT_FLAGS='--skip-existing', BATCH_SIZE=4)[0] == 0 and not picture.exists()


def test_a_finished_training_is_not_taken_for_that_of_other_data(fake, tmp_path):
  """--resume would make no step of it."""
  values = {'STAGE1_LIST': tmp_path / 'train.txt', 'DATA_DIR': tmp_path}
  (tmp_path / 'train.txt').write_text('a.png b.png\n')
  assert fake(**values)[0] == 0 and fake(**values)[0] == 0
  (tmp_path / 'b.png').write_bytes(b'corrected')
  assert fake(**values) == (2, []) and fake(UPDATE_TB_EVERY=7, **values) == (2, [])


def test_scores_are_kept_and_a_stage_that_stopped_early_is_predicted_and_built_upon(fake, tmp_path):
  fake('voc12/train_pspnet.sh')
  kept = sorted(str(path.relative_to(tmp_path / 'snap shots')) for path in tmp_path.rglob('*.txt'))
  assert kept == [f'stage{stage}/results/val/{kind}.txt' for stage in (1, 2) for kind in ('instance', 'mIoU')]
  stage = tmp_path / 'snap shots/stage1'
  (stage / 'checkpoint').write_text(
    'model_checkpoint_path: "model.ckpt-7"\nall_model_checkpoint_paths: "model.ckpt-7"\n'
  )
  fake('voc12/train_pspnet.sh')
  for done in (stage / 'results/val/predict.done', tmp_path / 'snap shots/stage2/train.done'):
    assert 'stage1/model.ckpt-7 ' in done.read_text()


@pytest.mark.parametrize('place', [0, 1])
def test_two_machines_by_hand(place, tmp_path):
  result = bash('cluster/by_hand.sh', place, 'a:2222', 'b:2222', DRY_RUN=1)
  config = json.loads(result.stdout.splitlines()[0].removeprefix("TF_CONFIG='").removesuffix("'"))
  assert config == {'cluster': {'worker': ['a:2222', 'b:2222']}, 'task': {'type': 'worker', 'index': place}}
  names = [name for name, _ in commands('cluster/by_hand.sh', place, 'a:2222', 'b:2222')]
  assert names[:2] == ['train_aaf_mgpu', 'train_aaf_mgpu']
  assert bool(names[2:]) == (place == 0) and not any(name.startswith('train') for name in names[2:])


def test_two_machines_under_slurm(fake, tmp_path):
  """srun runs the training everywhere, the rest runs once."""
  (tmp_path / 'srun').write_text('#!/bin/bash\n[ "$PARTS" = train ] && exec "$@"\n')
  (tmp_path / 'srun').chmod(0o755)
  path = f'{tmp_path}:{os.environ["PATH"]}'
  code, names = fake('cluster/slurm.sh', PATH=path, SLURM_GPUS_ON_NODE=8)
  assert (code, names[:3]) == (0, ['train_aaf_mgpu', 'train_aaf_mgpu', 'inference'])
  done = (tmp_path / 'snap shots/stage1/train.done').read_text()
  assert '--num-gpu 8' in done and '--cluster slurm' in done


def test_own_images_become_a_network_and_a_report(tmp_path):
  """The pipeline, which is the same for all recipes, for real."""
  random, data, out = np.random.default_rng(0), tmp_path / 'my data', tmp_path / 'my results'
  colours = np.array([[9, 9, 9], [0, 200, 0], [0, 0, 200]], np.uint8)
  for i, split in enumerate(('train', 'val', 'test') * 6):
    masks = colours[random.integers(0, 3, (40, 52))]
    for kind, picture in (('images', random.integers(0, 256, (40, 52, 3))), ('masks', masks)):
      save(data / kind / split / f'{i}.png', picture)
  (data / 'my_colours.txt').write_text('9 9 9 road\n0 200 0 tree\n0 0 200 sky\n')
  small = {'RESTORE_FROM': '', 'STEPS': 22, 'TRAIN_INPUT_SIZE': '32,32', 'BATCH_SIZE': 2}
  small |= {'LABEL_FLAGS': '--colors my_colours.txt', 'PYTHON': sys.executable, 'OUT': out}
  result = bash('own/finetune.sh', data, **small)
  assert result.returncode == 0, result.stdout + result.stderr
  assert '22 steps of 2 of the 6 images' in result.stdout and ' s per step, measured' in result.stdout
  assert 'class tree: ' in result.stdout
  assert len(list(out.glob('train_aaf/stage1/results/test/color/**/*.png'))) == 6
  assert (out / 'report.html').exists() and list(out.glob('train_aaf/stage1/savedmodel/model.ckpt-*/saved_model.pb'))
  *_, tensorboard, _, predict, _, train = result.stdout.splitlines()
  assert '--logdir' in tensorboard and '--image photo.jpg' in predict
  assert 'model.ckpt-' in train and '--not-restore-classifier' not in train


def test_a_dry_run_of_own_images_prints_every_command(tmp_path):
  values = {'PYTHON': 'a/python', 'OUT': tmp_path / 'out'}
  found, flags = zip(*commands('own/finetune.sh', tmp_path, EPOCHS=40, **values), strict=True)
  assert flags[2]['--extra-loss'] == 'lovasz'
  assert ('fetch_resnet', {'--backbone': 'resnet_v1_50', '--save-dir': f'{ROOT}/snapshots/imagenet'}) in commands(
    'own/finetune.sh', tmp_path, BACKBONE='resnet_v1_50', **values
  )
  expected = 'prepare_own fetch_efficientnet train_aaf inference benchmark_by_mIoU report export_savedmodel'
  assert list(found) == expected.split()
  assert not (tmp_path / 'out').exists()
  first, *_ = bash('own/finetune.sh', tmp_path, DRY_RUN=1, **values).stdout.splitlines()
  assert shlex.split(first)[0] == f'{pathlib.Path.cwd()}/a/python'  # it is run in the folder of the images


def test_own_images_go_no_further_where_the_set_up_fails(tmp_path):
  (tmp_path / 'venv').mkdir()
  (tmp_path / 'venv/thesis.txt').write_text('mine')
  result = bash('own/finetune.sh', tmp_path, VENV=tmp_path / 'venv')
  assert (result.returncode, result.stdout) == (2, '') and 'is no virtual environment' in result.stderr


def test_a_dry_run_of_the_demo_makes_nothing(tmp_path):
  result = bash('demo.sh', DRY_RUN=1, OUT=tmp_path / 'demo')
  assert result.returncode == 0 and result.stdout.count('pyscripts/train/train') == 2, result.stderr
  assert not (tmp_path / 'demo').exists()


@pytest.mark.skipif(not INSTALLED.exists(), reason='not run by bashscripts/test.sh, and so the demo would install')
def test_demo_runs_to_its_end(tmp_path):
  scenes = '--num-train 8 --num-val 2 --image-size 64,64'
  small = {'STEPS': 1, 'SCENES': scenes, 'TRAIN_INPUT_SIZE': '48,48', 'WINDOW': '96,96', 'STRIDES': '96,96'}
  result = bash('demo.sh', VENV=sys.prefix, OUT=tmp_path, TENSORFLOW=BUILD, **small)
  assert result.returncode == 0, result.stdout + result.stderr
  lines = result.stdout.splitlines()
  assert lines[-1].endswith(f'{tmp_path}/report.html') and (tmp_path / 'report.html').exists()
  pictures = [line.split()[-1] for line in lines if line.startswith('the first ')]
  assert len(pictures) == 3 and all(map(os.path.exists, pictures))
  assert sum('on 2 scenes' in line for line in lines) == 2


# Studies.


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
  lines = trainings(result)
  assert len(lines) == 2 and result.stdout.count('inference.py') == 4
  for flags in map(flags_of, map(shlex.split, lines)):
    assert (flags['--num-steps'], flags['--clip-norm'], flags['--random-seed']) == ('2', '9', '7')
    assert flags['--precision'] == 'bfloat16' and flags['--snapshot-dir'].startswith(f'{camvid["OUT"]}/seed-7/')
  wrong = bash('study/camvid.sh', **camvid)
  assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1) and 'give losses' in wrong.stderr


@pytest.mark.skipif(not INSTALLED.exists(), reason='not run by bashscripts/test.sh, and so the demo would install')
def test_demo_trains_on_the_demo_scenes(tmp_path):
  scenes = '--num-train 2 --num-val 1 --image-size 64,64'
  lines = trainings(bash('study/demo.sh', '--dry-run', VENV=sys.prefix, DEMO=tmp_path, SCENES=scenes, TENSORFLOW=BUILD))
  assert len(lines) == 3 * 4 and all('--num-classes 7 ' in line for line in lines)
