"""bashscripts/setup.sh: which Python, which TensorFlow, and what happens when it is interrupted or run twice at once.

Nothing is downloaded: the Pythons are small shell scripts that note how they were called.
"""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETUP = ROOT / 'bashscripts' / 'setup.sh'
REAL_GPU = any(pathlib.Path('/proc/driver/nvidia/gpus').glob('*'))


@pytest.fixture
def tools(tmp_path):
  """A folder that stands first on the PATH; its Pythons are shims that do not run, and it has no GPU."""
  folder = tmp_path / 'tools'
  for name in ('python3.13', 'python3.12', 'python3.11', 'python3.10', 'python3', 'python', 'nvidia-smi'):
    write_script(folder / name, 'echo "no such version" >&2; exit 127')
  return folder


@pytest.fixture
def venv(tmp_path):
  """A virtual environment whose Python says it is 3.11 and notes what pip is asked to install."""
  folder = tmp_path / 'my venv'
  (folder / 'lib/python3.11/site-packages').mkdir(parents=True)
  write_python(folder / 'bin/python', '3.11', on_install=f'echo "$*" >>"{folder}/asked"')
  return folder


def write_script(path, body):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f'#!/bin/bash\n{body}\n')
  path.chmod(0o755)


def write_python(path, version, on_install='exit 1', on_venv='exit 1'):
  write_script(
    path,
    f"""case "$*" in
      *version_info*) echo {version} ;;
      *find_spec* | *'pip --version'* | *'import cv2'*) ;;
      *'pip install'*) {on_install} ;;
      *'-m venv'* | *virtualenv* | *ensurepip*) {on_venv} ;;
      *) echo "Python {version}.0" ;;
    esac""",
  )


def holds(venv, *distributions, whole=True):
  for name in distributions:
    info = venv / f'lib/python3.11/site-packages/{name}-2.21.0.dist-info'
    info.mkdir()
    if whole:
      (info / 'RECORD').touch()


def environment(tools, venv, **values):
  inherited = {k: v for k, v in os.environ.items() if k not in ('PYTHON', 'TENSORFLOW')}
  return {**inherited, 'PATH': f'{tools}:/usr/bin:/bin', 'VENV': str(venv), **values}


def set_up(tools, venv, *args, **values):
  return subprocess.run(
    ['bash', SETUP, *args], env=environment(tools, venv, **values), capture_output=True, text=True, timeout=60
  )


def refused(result) -> str:
  """The one line of a refusal."""
  lines = result.stderr.splitlines()
  assert (result.returncode, len(lines), result.stdout) == (2, 1, ''), result
  return lines[0]


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.9', '3.14', '3.15'])
def test_older_and_newer_pythons_are_refused(tools, tmp_path, version):
  write_python(tools / 'named', version)
  line = refused(set_up(tools, tmp_path / 'venv', PYTHON='named'))
  assert version in line and '3.10 to 3.13' in line


def test_only_unsuitable_pythons_on_the_path(tools, tmp_path):
  write_python(tools / 'python3', '3.9')
  write_python(tools / 'python', '3.14')
  line = refused(set_up(tools, tmp_path / 'venv'))
  assert 'python3 is 3.9' in line and 'python is 3.14' in line and 'PYTHON=' in line


def test_takes_the_newest_python_that_runs(tools, tmp_path):
  for version in ('3.10', '3.12'):
    write_python(tools / f'python{version}', version)
  result = set_up(tools, tmp_path / 'venv')
  assert 'with Python 3.12' in result.stderr


def test_python_without_a_way_to_make_environments(tools, tmp_path):
  write_python(tools / 'python3.12', '3.12')
  result = set_up(tools, tmp_path / 'venv')
  assert result.returncode == 2
  last = result.stderr.splitlines()[-1]
  assert 'python3.12-venv' in last and 'virtualenv' in last


def test_environment_of_another_version(tools, venv):
  write_python(tools / 'python3.12', '3.12')
  line = refused(set_up(tools, venv, PYTHON='python3.12'))
  assert str(venv) in line and '3.11' in line and '3.12' in line


def test_installs_once_and_is_silent_after(tools, venv):
  first = set_up(tools, venv, TENSORFLOW='cpu')
  assert (first.returncode, first.stdout) == (0, f'{venv}/bin/python\n'), first
  assert 'requirements-cpu.txt' in (venv / 'asked').read_text()
  again = set_up(tools, venv, TENSORFLOW='cpu')
  assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, '')
  with_tests = set_up(tools, venv, '--test', TENSORFLOW='cpu')
  asked = (venv / 'asked').read_text().splitlines()
  assert with_tests.returncode == 0 and len(asked) == 3
  for_tests = [('--no-deps' in line, 'cityscapesscripts' in line) for line in asked]
  assert for_tests == [(False, False), (False, False), (True, True)]


def test_failed_install_is_tried_again(tools, venv):
  write_python(venv / 'bin/python', '3.11', on_install='exit 1')
  failed = set_up(tools, venv, TENSORFLOW='cpu')
  assert failed.returncode == 2 and 'run this again' in failed.stderr
  write_python(venv / 'bin/python', '3.11', on_install=f'touch "{venv}/asked"')
  assert set_up(tools, venv, TENSORFLOW='cpu').returncode == 0 and (venv / 'asked').exists()


def test_half_copied_packages_are_installed_again(tools, venv):
  holds(venv, 'scipy', whole=False)
  holds(venv, 'numpy')
  assert set_up(tools, venv, TENSORFLOW='cpu').returncode == 0
  left = [path.name.split('-')[0] for path in venv.glob('lib/python3.11/site-packages/*.dist-info')]
  assert left == ['numpy']


def test_changed_requirements_are_installed(tools, venv):
  set_up(tools, venv, TENSORFLOW='cpu')
  (venv / '.installed-requirements-cpu.txt').write_text('of an older checkout\n')
  set_up(tools, venv, TENSORFLOW='cpu')
  assert len((venv / 'asked').read_text().splitlines()) == 2


@pytest.mark.parametrize(
  ('held', 'values', 'said'),
  [
    (['tensorflow', 'tensorflow_cpu'], {}, 'both'),
    (['tensorflow_cpu'], {'TENSORFLOW': 'gpu'}, 'tensorflow-cpu'),
    (['tensorflow'], {'TENSORFLOW': 'cpu'}, 'GPU build'),
    ([], {'TENSORFLOW': 'tpu'}, 'tpu'),
    pytest.param(['tensorflow'], {}, 'no NVIDIA GPU', marks=pytest.mark.skipif(REAL_GPU, reason='there is a GPU')),
  ],
)
@pytest.mark.skipif(os.uname().sysname != 'Linux' or os.uname().machine != 'x86_64', reason='one build elsewhere')
def test_two_builds_never_share_an_environment(tools, venv, held, values, said):
  holds(venv, *held)
  assert said in refused(set_up(tools, venv, **values))
  assert not (venv / 'asked').exists()


def test_gpu_decides_the_build(tools, venv):
  write_script(tools / 'nvidia-smi', 'for i in 0 1; do echo "GPU $i: some GPU (UUID: GPU-$i)"; done')
  assert set_up(tools, venv).returncode == 0
  assert 'requirements.txt' in (venv / 'asked').read_text()


def test_environment_without_the_gpu_build_on_a_gpu_machine(tools, venv):
  write_script(tools / 'nvidia-smi', 'echo "GPU 0: some GPU (UUID: GPU-0)"')
  holds(venv, 'tensorflow_cpu')
  assert 'TENSORFLOW=cpu' in refused(set_up(tools, venv))
  assert set_up(tools, venv, TENSORFLOW='cpu').returncode == 0


def test_two_set_ups_at_once(tools, venv):
  """The second one waits and then finds nothing to do."""
  if not pathlib.Path('/usr/bin/flock').exists():
    pytest.skip('no flock')
  write_python(venv / 'bin/python', '3.11', on_install=f'echo "$*" >>"{venv}/asked"; sleep 1')
  command, env = ['bash', SETUP], environment(tools, venv, TENSORFLOW='cpu')
  both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
  assert [process.communicate(timeout=60)[0].decode() for process in both] == [f'{venv}/bin/python\n'] * 2
  assert len((venv / 'asked').read_text().splitlines()) == 1


def test_unknown_argument(tools, venv):
  assert '--tests' in refused(set_up(tools, venv, '--tests'))
