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

say() { echo "$*" >&2; }
fail() {
  say "error: $*"
  exit 2
}

# --- Which Python -----------------------------------------------------------------------------------------------------

# Prints `3.12` for a Python that runs; fails for one that does not (a version manager's empty shim, say).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

supported() { case "$1" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) false ;; esac; }

# Can this Python make an environment with pip in it, one way or another? (See make_environment.)
can_install() {
  "$1" -c 'import importlib.util as u, sys
sys.exit(not any(map(u.find_spec, ("ensurepip", "pip", "virtualenv"))))' 2>/dev/null
}

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
    elif ! can_install "$candidate"; then
      found="$found; $candidate has no ensurepip, pip or virtualenv (Debian, Ubuntu: apt install python$version-venv)"
    else
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.10 to 3.13 is on the PATH$found: install one, or name it: PYTHON=/path/to/python3.12"
}

# --- The environment --------------------------------------------------------------------------------------------------

has_pip() { "$python" -m pip --version >/dev/null 2>&1; }

# Some systems part venv from Python (no ensurepip), so there are three ways; each ends in a Python with pip.
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

check_environment() {
  local version asked
  version="$(version_of "$python")"
  supported "$version" || fail "$venv has Python $version; remove it (rm -r $venv) and run this with 3.10 to 3.13"
  asked="$(version_of "${PYTHON:-$python}")"
  [ "$asked" = "$version" ] ||
    fail "$venv has Python $version, PYTHON=$PYTHON is $asked; remove it (rm -r $venv) or set VENV to another folder"
}

# --- Which TensorFlow -------------------------------------------------------------------------------------------------

has_gpu() {
  case "$(nvidia-smi -L 2>/dev/null)" in GPU*) return ;; esac
  [ -n "$(ls /proc/driver/nvidia/gpus 2>/dev/null)" ]
}

# Is the distribution here? (A glob that may match nothing, hence the loop.)
holds() {
  local found
  for found in "$venv"/lib/python3*/site-packages/"$1"-*.dist-info; do
    [ ! -e "$found" ] || return 0
  done
  return 1
}

# Prints gpu or cpu. The two builds overwrite each other's files, so an environment keeps the one it has. (Away from
# Linux on x86 there is but one build, and nothing to keep apart.)
choose_tensorflow() {
  local wanted="${TENSORFLOW:-}" remove="remove it (rm -r $venv)"
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

# --- Installing -------------------------------------------------------------------------------------------------------

# What was installed from a requirements file: a checksum of all that it says.
stamp_of() { cat "$root/$1" "$root/requirements-common.txt" "$root/requirements-test-alone.txt" | cksum; }

# A package whose files were being copied when pip was stopped has no RECORD yet: pip shall copy it again.
forget_halves() {
  local info
  for info in "$venv"/lib/python3*/site-packages/*.dist-info; do
    [ ! -d "$info" ] || [ -e "$info/RECORD" ] || rm -r "$info"
  done
}

pip_install() { "$python" -m pip install --disable-pip-version-check --no-input --prefer-binary "$@" >&2; }

install() {
  local name missing=() files=() again alone="$root/requirements-test-alone.txt"
  for name in "$@"; do
    if [ "$(stamp_of "$name")" != "$(cat "$venv/.installed-$name" 2>/dev/null)" ]; then
      missing+=("$name") files+=(-r "$root/$name")
    fi
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  forget_halves
  say "installing ${missing[*]} into $venv (the first time several hundred MB)"
  again="(pip's last lines are above); run this again to go on where it stopped"
  pip_install "${files[@]}" || fail "could not install ${missing[*]} $again"
  [[ "${missing[*]}" != *test* ]] || pip_install --no-deps -r "$alone" || fail "could not install $alone $again"
  "$python" -c 'import cv2, numpy, PIL, scipy, tensorboard, tensorflow, tqdm' 2>"$venv/.import-error" ||
    fail "$venv does not import ($(tail -n 1 "$venv/.import-error")); remove it (rm -r $venv) and run this again"
  rm "$venv/.import-error"
  for name in "${missing[@]}"; do
    stamp_of "$name" >"$venv/.installed-$name"
  done
}

main() {
  local maker build test=''
  case "$*" in '') ;; --test) test=requirements-test.txt ;; *) fail "what is '$*'? The only argument is --test" ;; esac
  if command -v flock >/dev/null; then # one set-up at a time; the lock goes with this process
    exec 9<"$root/requirements-common.txt"
    flock -n 9 || { say "waiting for another set-up to end" && flock 9; }
  fi
  [ -z "${PYTHON:-}" ] || choose_python >/dev/null
  if ! has_pip && ! { "$python" -m ensurepip && has_pip; } >/dev/null 2>&1; then
    maker="$(choose_python)"
    make_environment "$maker"
  fi
  check_environment
  build="$(choose_tensorflow)"
  if [ "$build" = gpu ]; then build=requirements.txt; else build=requirements-cpu.txt; fi
  install "$build" ${test:+"$test"}
  echo "$python"
}

main "$@"
