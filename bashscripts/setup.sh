#!/usr/bin/env bash
# Makes or reuses the project's virtual environment, installs what is missing, and prints the path of its Python (the
# only line on standard output). With `--test`, what the tests need too. Quick when there is nothing to do; an
# interrupted run is completed by the next one. From the environment:
#   VENV        the virtual environment                  (default: .venv in the project)
#   PYTHON      the Python that makes it                 (default: the newest of 3.13 to 3.10 on the PATH)
#   TENSORFLOW  gpu or cpu: which build to install       (default: gpu where there is an NVIDIA GPU)
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
python="$venv/bin/python"
remove="remove it (rm -r $venv)"
# Without their dependencies: by its own list the reference for Cityscapes' scores brings plotting, networking and a
# package that Python itself replaced.
test_alone=('cityscapesscripts>=2.2,<3' 'pyquaternion>=0.9,<1' 'appdirs>=1.4,<2')

say() { echo "$*" >&2; }
fail() {
  say "error: $*"
  exit 2
}

# Prints `3.12` for a Python that runs; fails for one that does not (a version manager's empty shim, for example).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

supported() { case "$1" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) false ;; esac; }

# Prints the Python that makes the environment.
choose_python() {
  local candidate version found=''
  if [ -n "${PYTHON:-}" ]; then
    version="$(version_of "$PYTHON")" || fail "PYTHON=$PYTHON does not run; give a Python 3.10 to 3.13"
    supported "$version" || fail "PYTHON=$PYTHON is Python $version; TensorFlow needs 3.10 to 3.13: name one of those"
    echo "$PYTHON"
    return
  fi
  for candidate in python3.13 python3.12 python3.11 python3.10 python3 python; do
    version="$(version_of "$candidate")" || continue
    if ! supported "$version"; then
      found="$found; $candidate is $version"
    elif ! "$candidate" -c 'import importlib.util as u
exit(not any(map(u.find_spec, ("ensurepip", "pip", "virtualenv"))))'; then
      found="$found; $candidate has no ensurepip, pip or virtualenv (Debian, Ubuntu: apt install python$version-venv)"
    else
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.10 to 3.13 is on the PATH$found: install one, or name it: PYTHON=/path/to/python3.12"
}

# Debian and Ubuntu part venv from Python (no ensurepip), so there are three ways; each ends in a Python with pip.
make_environment() {
  local maker="$1"
  say "making $venv with $("$maker" --version 2>&1)"
  "$maker" -m venv --clear "$venv" >/dev/null 2>&1 && return
  if "$maker" -m venv --clear --without-pip "$venv" >/dev/null 2>&1; then
    "$maker" -m pip install -q --target "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
      pip >&2 && return
  fi
  "$maker" -m virtualenv --clear -q "$venv" >&2 && return
  fail "$maker cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install" \
    "python$(version_of "$maker")-venv) or virtualenv (pip install --user virtualenv), and run this again"
}

has_gpu() {
  case "$(nvidia-smi -L 2>/dev/null)" in GPU*) return ;; esac
  [ -n "$(ls /proc/driver/nvidia/gpus 2>/dev/null)" ]
}

holds() { compgen -G "$venv/lib/python3*/site-packages/$1-*.dist-info" >/dev/null; }

# Prints gpu or cpu. The two builds overwrite each other's files, so an environment keeps the one that it has. (Away
# from Linux on x86 there is one build only.)
choose_tensorflow() {
  local wanted="${TENSORFLOW:-}"
  case "$wanted" in '' | cpu | gpu) ;; *) fail "TENSORFLOW=$wanted is neither cpu nor gpu" ;; esac
  if holds tensorflow_cpu && holds tensorflow; then
    fail "$venv holds both tensorflow and tensorflow-cpu, which break each other; $remove and run this again"
  elif holds tensorflow_cpu; then
    [ "$wanted" != gpu ] || fail "$venv holds tensorflow-cpu; $remove to install the GPU build"
    [ -n "$wanted" ] || ! has_gpu || fail "$venv holds tensorflow-cpu, but this machine has an NVIDIA GPU; $remove" \
      "and run this again, or go on without the GPU by TENSORFLOW=cpu"
    echo cpu
  elif holds tensorflow && [ "$(uname -sm)" = 'Linux x86_64' ]; then
    [ "$wanted" != cpu ] || fail "$venv holds the GPU build of TensorFlow; $remove to install tensorflow-cpu"
    [ -n "$wanted" ] || [ -e "$venv/.installed-requirements.txt" ] || has_gpu || fail "$venv holds the GPU build of" \
      "TensorFlow, but this machine has no NVIDIA GPU; $remove and run this again, or keep it by TENSORFLOW=gpu"
    echo gpu
  elif [ -n "$wanted" ]; then
    echo "$wanted"
  elif has_gpu; then
    echo gpu
  else
    echo cpu
  fi
}

pip_install() { "$python" -m pip install --disable-pip-version-check --no-input --prefer-binary "$@" >&2; }

# Installs the requirements files that have changed since they were installed: their checksum is kept beside them.
install() {
  local name stamp missing=() files=() again info
  stamp="$(cat "$root"/requirements*.txt "$root/bashscripts/setup.sh" | cksum)"
  for name in "$@"; do
    [ "$stamp" = "$(cat "$venv/.installed-$name" 2>/dev/null)" ] || missing+=("$name") files+=(-r "$root/$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  # A package whose files were being copied when pip was stopped has no RECORD: pip must copy it again.
  for info in "$venv"/lib/python3*/site-packages/*.dist-info; do
    [ ! -d "$info" ] || [ -e "$info/RECORD" ] || rm -r "$info"
  done
  say "installing ${missing[*]} into $venv (the first time several hundred MB)"
  again="(pip's last lines are above); run this again to go on where it stopped"
  pip_install "${files[@]}" || fail "could not install ${missing[*]} $again"
  [[ "${missing[*]}" != *test* ]] || pip_install --no-deps "${test_alone[@]}" || fail "could not install cityscapesscripts $again"
  "$python" -c 'import cv2, numpy, PIL, scipy, tensorboard, tensorflow, tqdm' 2>"$venv/.import-error" ||
    fail "$venv does not import ($(tail -n 1 "$venv/.import-error")); $remove and run this again"
  for name in "${missing[@]}"; do
    echo "$stamp" >"$venv/.installed-$name"
  done
}

main() {
  local maker version build test=''
  case "$*" in '') ;; --test) test=requirements-test.txt ;; *) fail "what is '$*'? The only argument is --test" ;; esac
  if command -v flock >/dev/null; then # one set-up at a time; the lock goes with this process
    exec 9<"$root/requirements.txt"
    flock -n 9 || { say "waiting for another set-up to end" && flock 9; }
  fi
  [ -z "${PYTHON:-}" ] || choose_python >/dev/null
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    maker="$(choose_python)"
    make_environment "$maker"
  fi
  version="$(version_of "$python")"
  supported "$version" || fail "$venv has Python $version; $remove and run this with 3.10 to 3.13"
  [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$version" ] ||
    fail "$venv has Python $version, PYTHON=$PYTHON is $(version_of "$PYTHON"); $remove or set VENV to another folder"
  build="$(choose_tensorflow)"
  if [ "$build" = gpu ]; then build=requirements.txt; else build=requirements-cpu.txt; fi
  install "$build" ${test:+"$test"}
  echo "$python"
}

main "$@"
