#!/usr/bin/env bash
# Measures and checks everything here that needs an NVIDIA GPU, in at most 30 minutes (--quick: five), into a report of
# Markdown and JSON (see pyscripts/profile/README.md). Sets the project up first (see setup.sh), which is not counted.
# Interrupted, or out of time, it goes on where it stopped when called again. Flags are those of
# pyscripts/profile/gpu_check.py.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

python="$(bash "$root/bashscripts/setup.sh")"
exec "$python" "$root/pyscripts/profile/gpu_check.py" "$@"
