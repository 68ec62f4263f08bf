"""bashscripts/setup.sh: which Python, which TensorFlow, and what is installed when.

Nothing is downloaded: the Pythons are small shell scripts that note how they were called.
"""

import os
import pathlib
import subprocess

import pytest

SETUP = pathlib.Path(__file__).resolve().parents[1] / 'bashscripts' / 'setup.sh'


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


def write_python(path, version, on_install='exit 1'):
  write_script(
    path,
    f"""case "$*" in
      *version_info*) echo {version} ;;
      *'pip --version'* | *'import cv2'*) ;;
      *'pip install'*) {on_install} ;;
      *'-m venv'* | *'-m pip'*) exit 1 ;;
      *) echo "Python {version}.0" ;;
    esac""",
  )


def set_up(tools, venv, *args, **values):
  inherited = {k: v for k, v in os.environ.items() if k not in ('PYTHON', 'TENSORFLOW')}
  env = {**inherited, 'PATH': f'{tools}:/usr/bin:/bin', 'VENV': str(venv), **values}
  return subprocess.run(['bash', SETUP, *args], env=env, capture_output=True, text=True, timeout=900)


def refused(result) -> str:
  """The one line of a refusal."""
  lines = result.stderr.splitlines()
  assert (result.returncode, len(lines), result.stdout) == (2, 1, ''), result
  return lines[0]


def test_older_and_newer_pythons_are_refused(tools, tmp_path):
  for version in ('3.9', '3.14'):
    write_python(tools / 'my python', version)
    line = refused(set_up(tools, tmp_path / 'venv', PYTHON=str(tools / 'my python')))
    assert f'my python is Python {version}' in line and '3.10 to 3.13' in line and 'PYTHON=' in line


def test_takes_the_newest_python_that_runs_and_says_what_it_lacks(tools, tmp_path):
  for version in ('3.10', '3.12'):
    write_python(tools / f'python{version}', version)
  result = set_up(tools, tmp_path / 'venv')
  assert result.returncode == 2 and 'with Python 3.12' in result.stderr
  assert 'python3.12-venv' in result.stderr.splitlines()[-1]


def test_environment_of_another_version_and_an_unknown_argument(tools, venv):
  write_python(tools / 'python3.12', '3.12')
  assert '--tests' in refused(set_up(tools, venv, '--tests'))
  line = refused(set_up(tools, venv, PYTHON='python3.12'))
  assert str(venv) in line and '3.11' in line and '3.12' in line


def test_installs_once_and_is_silent_after(tools, venv):
  first = set_up(tools, venv)
  assert (first.returncode, first.stdout) == (0, f'{venv}/bin/python\n'), first
  assert 'requirements-cpu.txt' in (venv / 'asked').read_text()
  again = set_up(tools, venv)
  assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, '')
  with_tests = set_up(tools, venv, '--test')
  asked = (venv / 'asked').read_text().splitlines()
  assert with_tests.returncode == 0 and len(asked) == 3
  for_tests = [('--no-deps' in line, 'cityscapesscripts' in line) for line in asked]
  assert for_tests == [(False, False), (False, False), (True, True)]


def test_failed_install_and_changed_requirements_are_installed_again(tools, venv):
  write_python(venv / 'bin/python', '3.11', on_install='exit 1')
  failed = set_up(tools, venv)
  assert failed.returncode == 2 and 'run this again' in failed.stderr
  write_python(venv / 'bin/python', '3.11', on_install=f'echo >>"{venv}/asked"')
  assert set_up(tools, venv).returncode == 0
  (venv / '.installed-requirements-cpu.txt').write_text('of an older checkout\n')
  assert set_up(tools, venv).returncode == 0
  assert (venv / 'asked').read_text() == '\n\n'


@pytest.mark.skipif(os.uname().sysname != 'Linux' or os.uname().machine != 'x86_64', reason='one build elsewhere')
@pytest.mark.parametrize(
  ('held', 'gpu', 'wanted', 'said'),
  [
    (['tensorflow', 'tensorflow_cpu'], False, '', 'both'),
    (['tensorflow_cpu'], False, 'gpu', 'cpu build'),
    (['tensorflow_cpu'], True, '', 'TENSORFLOW=cpu'),
    (['tensorflow'], False, 'cpu', 'gpu build'),
    ([], False, 'tpu', 'tpu'),
    (['tensorflow_cpu'], True, 'cpu', 'requirements-cpu.txt'),
    (['tensorflow'], False, '', 'requirements.txt'),
    ([], True, '', 'requirements.txt'),
  ],
)
def test_the_build_is_that_of_the_machine_and_two_never_share_an_environment(tools, venv, held, gpu, wanted, said):
  for name in held:
    (venv / f'lib/python3.11/site-packages/{name}-2.21.0.dist-info').mkdir()
  if gpu:
    write_script(tools / 'nvidia-smi', 'echo "GPU 0: some GPU (UUID: GPU-0)"')
  result = set_up(tools, venv, TENSORFLOW=wanted)
  if 'requirements' in said:
    assert result.returncode == 0 and said in (venv / 'asked').read_text()
  else:
    assert said in refused(result) and not (venv / 'asked').exists()


def test_a_folder_of_something_else_is_not_cleared(tools, tmp_path):
  write_python(tools / 'python3.12', '3.12')
  (tmp_path / 'work').mkdir()
  (tmp_path / 'work' / 'thesis.txt').write_text('mine')
  assert 'is no virtual environment; set VENV to a new folder' in refused(set_up(tools, tmp_path / 'work'))
  assert (tmp_path / 'work' / 'thesis.txt').read_text() == 'mine'
