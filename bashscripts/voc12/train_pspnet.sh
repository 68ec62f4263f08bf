#!/usr/bin/env bash
# PSPNet on VOC 2012, one GPU: 30,000 steps on train+ from ImageNet's weights, then
# 30,000 on train.
# To reach: the paper reports 80.12 % mIoU on the validation list. That and the time were not measured here;
# a larger batch and crop (the *_mgpu.sh beside this) should do better.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train}"
: "${BATCH_SIZE:=8}"
: "${TRAIN_INPUT_SIZE:=336,336}"
: "${SNAPSHOT_DIR:=$root/snapshots/voc12/pspnet}"

. "$root/bashscripts/voc12/values.sh"
. "$root/bashscripts/pipeline.sh"
