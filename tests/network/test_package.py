"""`pip install .` brings the losses as `adaptive_affinity`, and nothing else."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSSES = sorted((ROOT / 'network/aaf').rglob('*.py'))


def python(*args, **kwargs):
  return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=300, **kwargs)


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The folder that pip installed a copy of the project into (a copy: building leaves files beside the sources)."""
  source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('target')
  for folder in ('dataset', 'network', 'pyscripts', 'seg_models', 'tests', 'utils'):
    for path in (ROOT / folder).rglob('*.py'):
      (source / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(path, source / path.relative_to(ROOT))
  for name in ('pyproject.toml', 'network/aaf/README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source / name)
  offline = ['--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check']
  result = python('-m', 'pip', 'install', '-q', *offline, '--target', str(target), str(source))
  assert result.returncode == 0, result.stderr
  return target


def test_every_module_and_no_other_top_level_name_is_installed(installed):
  names = {path.name for path in installed.iterdir() if not path.name.endswith('.dist-info')}
  assert names == {'adaptive_affinity'}
  arrived = {path.relative_to(installed / 'adaptive_affinity') for path in installed.rglob('*.py')}
  assert arrived == {path.relative_to(ROOT / 'network/aaf') for path in LOSSES}


def test_losses_work_from_another_folder(installed, tmp_path):
  program = """
import adaptive_affinity, tensorflow as tf
labels = tf.constant([[[0, 0, 1], [0, 1, 1], [0, 0, 1]]])
probs = tf.nn.softmax(tf.zeros([1, 3, 3, 2]))
edge, nonedge = adaptive_affinity.affinity_loss(labels, probs, num_classes=2, kld_margin=3.0)
layer = tf.keras.utils.get_registered_object('adaptive_affinity>EdgeWeights')  # a saved model asks for it
print(adaptive_affinity.__file__, float(edge), float(nonedge), layer.__name__)
"""
  result = python('-c', program, cwd=tmp_path, env={'PYTHONPATH': str(installed), 'TF_CPP_MIN_LOG_LEVEL': '3'})
  assert result.returncode == 0, result.stderr
  path, edge, nonedge, layer = result.stdout.split()
  assert pathlib.Path(path).is_relative_to(installed)
  assert layer == 'EdgeWeights'
  assert float(edge) == 3.0  # equal probabilities: kl = 0, so the whole margin
  assert float(nonedge) == pytest.approx(0.0, abs=1e-7)  # and nothing but kl's rounding
