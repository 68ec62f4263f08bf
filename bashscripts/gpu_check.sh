#!/usr/bin/env bash
# Measures and checks what needs an NVIDIA GPU, and writes one page of Markdown:
#   bash bashscripts/gpu_check.sh [PAGE]        (default: gpu_check/report.md)
# Sets the project up first (see setup.sh). Each part is a process of its own: one that fails, or takes more than
# PART_SECONDS (default: 600), is a line of the page, and the exit code is 1. From the environment:
#   TORCH_PYTHON  a Python that has PyTorch, for its twin of the step  (default: that part is left out)
#   DRY_RUN=1     only prints the commands that it would run on two GPUs
# Without a GPU the parts run on the CPU at tiny sizes, which shows that they work and says nothing about speed. For Linux.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
page="${1:-$root/gpu_check/report.md}"
case "$page" in /*) ;; *) page="$PWD/$page" ;; esac
cd "$root"

export TF_CPP_MIN_LOG_LEVEL=3 TF_FORCE_GPU_ALLOW_GROWTH=true # processes that a part starts find room on the GPU
failed=0
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

say() { printf '%s\n' "$@" | tee -a "$page"; }

# Runs a command, `VARIABLE=value` in front of it or not, and adds its table (below `header`, if it prints rows alone)
# and the line that names the machine.
part() {
  local code=0
  say '' "    ${*//"$python"/python}" '' ${header:+"$header" "${header//[a-z ]/-}"}
  [ -z "${DRY_RUN:-}" ] || return 0
  timeout -k 9 "${PART_SECONDS:-600}" env "$@" >"$log" 2>&1 || code=$?
  sed -n 's/; Python .*/&\n/p; /^|/p' "$log" | tee -a "$page"
  [ "$code" = 0 ] && return
  failed=1
  say '' "FAILED, exit code $code: $(tail -n 1 "$log" | cut -c 1-300)"
}

measure() { part "$python" pyscripts/profile/measure.py "$@"; }
without_tf32() { part NVIDIA_TF32_OVERRIDE=0 "$python" pyscripts/profile/measure.py "$@"; }

# The tests of the values that the 2018 code gave, on this machine's device.
recorded() {
  local header='| value | products in | relative error | tolerance |'
  local tests=(tests/network/test_losses.py tests/seg_models/test_models.py)
  part "$@" "$python" -m pytest -q -s -p no:cacheprovider -k recorded "${tests[@]}"
}

# For that many GPUs.
on_gpus() {
  say '' '## Recorded values without and with TF32. Goal: all within their tolerances'
  recorded NVIDIA_TF32_OVERRIDE=0
  recorded
  say '' '## The loss. Goal: at least 20 times faster than pairs x classes'
  measure loss
  say '' '## Step in bfloat16. Goals: 0.45 of the matrix product, with or without XLA; adaptive affinity 1.02 of plain'
  measure step --batch-size 8 --precision bfloat16
  measure step --batch-size 8 --precision bfloat16 --plain --xla
  local size precision
  for size in '--batch-size 8' '--batch-size 4 --input-size 720,720'; do
    # shellcheck disable=SC2086 # several words
    for precision in bfloat16 float16 float32; do measure step --plain --precision "$precision" $size; done
    # shellcheck disable=SC2086
    without_tf32 step --plain $size
  done
  say '' '## Replicas: seconds to the first step; two train as one. Goal: what they change differs by at most 1 %'
  without_tf32 replicas --backbone resnet_v1_50
  if [ "$1" -gt 1 ]; then
    measure replicas --num-gpu "$1" --batch-size "$((8 * $1))" --input-size 336,336 --precision bfloat16
  fi
  say '' '## Prediction and the reader'
  measure predict --images 4 --batch-sizes 1 16 --precision bfloat16
  measure reader
  [ -z "${TORCH_PYTHON:-}" ] && return
  say '' '## The same step in PyTorch. Goal: not faster than the bfloat16 step above'
  part "$TORCH_PYTHON" pyscripts/profile/torch_step.py
}

on_cpu() {
  local tiny=(--model fcn8s --backbone resnet_v1_14 --num-classes 3 --input-size '48,48' --repeat 1)
  say '' '**No GPU: the parts ran on the CPU at tiny sizes. No figure here says anything about speed.**'
  recorded
  measure loss --shape 1 12 12 3 --repeat 1
  measure step "${tiny[@]}"
  measure replicas "${tiny[@]}"
  measure predict "${tiny[@]}" --strides 48,48 --image-size 60,60 --batch-sizes 1 2
  measure reader --batches 2 --input-size 48,48 --repeat 1
  [ -z "${TORCH_PYTHON:-}" ] || part "$TORCH_PYTHON" pyscripts/profile/torch_step.py --side 48 --units 1 --no-compile
}

if [ -n "${DRY_RUN:-}" ]; then
  python=python page=/dev/null
  on_gpus 2
  exit
fi
python="$(bash bashscripts/setup.sh --test)"
mkdir -p "$(dirname "$page")"
printf '# GPU check\n' >"$page"
gpus="$("$python" -c 'import tensorflow as tf; print(len(tf.config.list_physical_devices("GPU")))' 2>"$log")" ||
  { echo "error: TensorFlow does not load: $(tail -n 1 "$log")" >&2 && exit 1; }
if [ "$gpus" != 0 ]; then
  say '' "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader)"
  on_gpus "$gpus"
elif nvidia-smi -L 2>/dev/null | grep -q '^GPU' && [ -z "${CUDA_VISIBLE_DEVICES+set}" ]; then
  echo 'error: nvidia-smi lists a GPU that TensorFlow does not see: fix the driver, or the environment' \
    '(bashscripts/setup.sh installs the GPU build where the environment has no CPU build)' >&2
  exit 2
else
  on_cpu
fi
echo "$page"
exit "$failed"
