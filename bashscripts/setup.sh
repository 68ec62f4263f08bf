#!/usr/bin/env bash
# Makes or reuses the project's virtual environment, installs what is missing, and prints the path of its Python (the
# only line on standard output). With `--test`, what the tests need too. Quick when there is nothing to do; after an
# interruption, run it again. From the environment:
#   VENV        the virtual environment                  (default: .venv in the project)
#   PYTHON      the Python that makes it                 (default: the newest of 3.13 to 3.10 on the PATH)
#   TENSORFLOW  gpu or cpu: which build to install       (default: gpu where there is an NVIDIA GPU)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
python="$venv/bin/python"

say() { echo "$*" >&2; }
fail() { say "error: $*" && exit 2; }

# Prints `3.12` for a Python that runs; fails for one that does not (a version manager's empty shim, for example).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

supported() { case "$1" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) false ;; esac; }

# Prints the first Python of the right version among those named.
choose_python() {
  local candidate version found=''
  for candidate in "$@"; do
    version="$(version_of "$candidate")" || continue
    supported "$version" && echo "$candidate" && return
    found="$found $candidate is Python $version,"
  done
  fail "TensorFlow needs Python 3.10 to 3.13, and${found:- of $* none runs,} so make the environment with another one:" \
    "PYTHON=/path/to/python3.12 bash $root/bashscripts/setup.sh"
}

# Debian and Ubuntu part venv from Python (no ensurepip): there the maker's own pip installs the environment's.
make_environment() {
  say "making $venv with $("$1" --version 2>&1)"
  "$1" -m venv --clear "$venv" >/dev/null 2>&1 && return
  "$1" -m venv --clear --without-pip "$venv" && "$1" -m pip -q --python "$python" install pip >&2 && return
  fail "$1 cannot make a virtual environment: install its venv (Debian, Ubuntu: apt install python$(version_of "$1")-venv)"
}

holds() { compgen -G "$venv/lib/python3*/site-packages/$1-*.dist-info" >/dev/null; }

has_gpu() { case "$(nvidia-smi -L 2>/dev/null)" in GPU*) ;; *) false ;; esac; }

# Prints gpu or cpu. The two builds overwrite each other's files, so an environment keeps the one that it has. (Away
# from Linux on x86 there is one build only.)
choose_tensorflow() {
  local wanted="${TENSORFLOW:-}" held='' again="remove it (rm -r $venv) and run this again"
  case "$wanted" in '' | cpu | gpu) ;; *) fail "TENSORFLOW=$wanted is neither cpu nor gpu" ;; esac
  if [ "$(uname -sm)" = 'Linux x86_64' ]; then
    ! holds tensorflow || held=gpu
    ! holds tensorflow_cpu || held="${held}cpu"
  fi
  [ "$held" != gpucpu ] || fail "$venv holds both tensorflow and tensorflow-cpu, which break each other: $again"
  [ -z "$held" ] || [ "${wanted:-$held}" = "$held" ] || fail "$venv holds TensorFlow's $held build, not the $wanted one: $again"
  [ "$held$wanted" != cpu ] || ! has_gpu ||
    fail "$venv holds the cpu build, and here is an NVIDIA GPU: $again, or keep it by TENSORFLOW=cpu"
  wanted="${wanted:-$held}"
  if [ -z "$wanted" ] && has_gpu; then wanted=gpu; fi
  echo "${wanted:-cpu}"
}

pip_install() {
  "$python" -m pip install --disable-pip-version-check --no-input --prefer-binary "$@" >&2 ||
    fail "pip could not install (its last lines are above); run this again to go on"
}

# Installs a requirements file that has changed since it was installed: its checksum is kept in the environment.
install() {
  local stamp
  stamp="$(cat "$root"/requirements*.txt | cksum)"
  [ "$stamp" != "$(cat "$venv/.installed-$1" 2>/dev/null)" ] || return 0
  say "installing $1 into $venv (the first time several hundred MB)"
  pip_install -r "$root/$1"
  # Without its dependencies: by its list the reference for Cityscapes' scores brings plotting and networking.
  [ "$1" != requirements-test.txt ] ||
    pip_install --no-deps 'cityscapesscripts>=2.2,<3' 'pyquaternion>=0.9,<1' 'appdirs>=1.4,<2'
  "$python" -c 'import cv2, numpy, PIL, scipy, tensorboard, tensorflow, tqdm' 2>"$venv/.import-error" ||
    fail "$venv does not import ($(tail -n 1 "$venv/.import-error")); remove it (rm -r $venv) and run this again"
  echo "$stamp" >"$venv/.installed-$1"
}

case "$*" in '' | --test) ;; *) fail "what is '$*'? The only argument is --test" ;; esac
wanted=(python3.13 python3.12 python3.11 python3.10 python3 python)
[ -z "${PYTHON:-}" ] || wanted=("$PYTHON")
[ "$(uname -sm)" != 'Darwin x86_64' ] || fail "there is no TensorFlow 2.21 for Macs with Intel processors"
if ! "$python" -m pip --version >/dev/null 2>&1; then
  [ ! -d "$venv" ] || [ -e "$venv/pyvenv.cfg" ] || [ -z "$(ls -A "$venv")" ] ||
    fail "$venv is there and is no virtual environment; set VENV to a new folder"
  maker="$(choose_python "${wanted[@]}")"
  make_environment "$maker"
fi
version="$(version_of "$python")"
{ supported "$version" && [ "$version" = "$(version_of "${PYTHON:-$python}")" ]; } ||
  fail "$venv is of Python $version${PYTHON:+, not of $PYTHON}; remove it (rm -r $venv), or set VENV to another folder"
build="$(choose_tensorflow)"
if [ "$build" = gpu ]; then install requirements.txt; else install requirements-cpu.txt; fi
[ -z "$*" ] || install requirements-test.txt
echo "$python"
