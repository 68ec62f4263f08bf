#!/usr/bin/env bash
# PSPNet with the affinity loss on Cityscapes, four GPUs: 90,000 steps on train from ImageNet's weights.
# To reach: the paper reports 78.72 % mIoU on the validation list. That and the time were not measured here.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_affinity_mgpu}"
: "${NUM_GPU:=4}"
: "${BATCH_SIZE:=8}"
: "${TRAIN_INPUT_SIZE:=720,720}"
: "${SNAPSHOT_DIR:=$root/snapshots/cityscapes/pspnet_affinity_mgpu}"

. "$root/bashscripts/cityscapes/values.sh"
. "$root/bashscripts/pipeline.sh"
