#!/usr/bin/env bash
# Sets the project up (see setup.sh) and runs every check: style, duplicate code, imports between rooms, shell scripts,
# tests: nine minutes on two idle cores, once installed. Arguments go to pytest; then tests alone are run:
#   bash bashscripts/test.sh tests/network/test_losses.py -k recorded
# WORKERS is the number of test processes at a time (0: none but pytest's own, for a debugger); each holds up to 3 GB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="$(bash bashscripts/setup.sh --test)"
bin="$(dirname "$python")"

if [ $# -eq 0 ]; then
  "$bin/ruff" check .
  "$bin/ruff" format --check .
  "$bin/pylint" --rcfile=pyproject.toml --score=no --recursive=y dataset network pyscripts seg_models tests utils
  "$bin/lint-imports" --no-logo --no-cache
  find bashscripts .ci -type f \( -name '*.sh' -o -name run \) -exec "$bin/shellcheck" {} +
fi

export TF_FORCE_GPU_ALLOW_GROWTH=true
if [ $# -gt 0 ]; then
  exec "$python" -m pytest -n "${WORKERS:-0}" --dist loadfile "$@"
fi
# Two test processes: most of a test's time is one thread's (tracing), and each process holds its own TensorFlow. Tests
# of one file share what they train, so they stay together; the longest files come first. In two parts, since what
# TensorFlow compiles stays in memory until a process ends.
status=0
part() { "$python" -m pytest -n "${WORKERS:-2}" --dist loadfile --no-loadscope-reorder "$@" || status=$?; }
first=(tests/network tests/train)
part "${first[@]}"
part tests/test_recipes.py tests/test_devices.py tests/study tests "${first[@]/#/--ignore=}"
exit "$status"
