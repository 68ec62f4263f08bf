#!/usr/bin/env bash
# PSPNet with the adaptive affinity loss on Cityscapes, four GPUs. To reach: the paper's 79.24 % mIoU. More: values.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_aaf_mgpu}"
. "$root/bashscripts/cityscapes/values.sh"
. "$root/bashscripts/pipeline.sh"
