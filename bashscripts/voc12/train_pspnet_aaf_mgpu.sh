#!/usr/bin/env bash
# PSPNet with the adaptive affinity loss on VOC 2012, four GPUs. To reach: the paper's 82.39 % mIoU. More: values.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_aaf_mgpu}"
. "$root/bashscripts/voc12/values.sh"
. "$root/bashscripts/pipeline.sh"
