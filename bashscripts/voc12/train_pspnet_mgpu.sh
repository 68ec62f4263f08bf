#!/usr/bin/env bash
# PSPNet on VOC 2012, four GPUs: 30,000 steps on train+ from ImageNet's weights, then
# 30,000 on train.
# To reach: the paper reports 80.12 % mIoU on the validation list. That and the time were not measured here.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_mgpu}"
: "${NUM_GPU:=4}"
: "${BATCH_SIZE:=16}"
: "${TRAIN_INPUT_SIZE:=480,480}"
: "${SNAPSHOT_DIR:=$root/snapshots/voc12/pspnet_mgpu}"

. "$root/bashscripts/voc12/values.sh"
. "$root/bashscripts/pipeline.sh"
