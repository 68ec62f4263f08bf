#!/usr/bin/env bash
# Sets the project up (see setup.sh) and runs every check: style, duplicate code, shell scripts, tests. Arguments go to
# pytest: `bash bashscripts/test.sh tests/test_losses.py -k void`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="$(bash bashscripts/setup.sh --test)"
bin="$(dirname "$python")"

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/pylint" --rcfile=pyproject.toml --score=no --recursive=y dataset network pyscripts seg_models utils tests
find bashscripts .ci -type f \( -name '*.sh' -o -name run \) -exec "$bin/shellcheck" {} +
exec "$python" -m pytest "$@"
