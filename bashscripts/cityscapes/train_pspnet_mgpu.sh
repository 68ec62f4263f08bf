#!/usr/bin/env bash
# PSPNet on Cityscapes, four GPUs. To reach: the paper's 76.72 % mIoU. More: values.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_mgpu}"
. "$root/bashscripts/cityscapes/values.sh"
. "$root/bashscripts/pipeline.sh"
