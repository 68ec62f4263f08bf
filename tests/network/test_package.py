"""`pip install .` brings the losses as `adaptive_affinity`, and nothing else."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
import adaptive_affinity, tensorflow as tf
labels = tf.constant([[[0, 0, 1], [0, 1, 1], [0, 0, 1]]])
probs = tf.nn.softmax(tf.zeros([1, 3, 3, 2]))
edge, nonedge = adaptive_affinity.affinity_loss(labels, probs, num_classes=2, kld_margin=3.0)
layer = tf.keras.utils.get_registered_object('adaptive_affinity>EdgeWeights')  # a saved model asks for it
print(adaptive_affinity.__file__, float(edge), float(nonedge), layer.__name__)
"""


def python(*args, **kwargs) -> str:
  result = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, **kwargs)
  assert result.returncode == 0, result.stderr
  return result.stdout


def test_the_losses_alone_are_installed_and_work_from_another_folder(tmp_path):
  """Of a copy of the project, since building leaves files beside the sources."""
  source, target = tmp_path / 'source', tmp_path / 'target'
  for folder in ('dataset', 'network', 'pyscripts', 'seg_models', 'tests', 'utils'):
    shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns('__pycache__', 'golden'))
  for name in ('pyproject.toml', 'network/aaf/README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source / name)
  offline = ['--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check']
  python('-m', 'pip', 'install', '-q', *offline, '--target', str(target), str(source))
  assert {path.name for path in target.iterdir() if path.suffix != '.dist-info'} == {'adaptive_affinity'}
  arrived = {path.name for path in target.rglob('*.py')}
  assert arrived == {path.name for path in (ROOT / 'network/aaf').glob('*.py')}

  said = python('-c', PROGRAM, cwd=tmp_path, env={'PYTHONPATH': str(target), 'TF_CPP_MIN_LOG_LEVEL': '3'})
  path, edge, nonedge, layer = said.split()
  assert pathlib.Path(path).is_relative_to(target)
  assert layer == 'EdgeWeights'
  assert float(edge) == 3.0  # equal probabilities: kl = 0, so the whole margin
  assert float(nonedge) == pytest.approx(0.0, abs=1e-7)  # and nothing but kl's rounding
