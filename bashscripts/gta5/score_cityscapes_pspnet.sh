#!/usr/bin/env bash
# How well does a network trained on Cityscapes do on GTA5's game scenes? (The paper's transfer test.) Predicts GTA5 with
# a checkpoint of ../cityscapes/*.sh, by default the adaptive affinity loss's, and scores it. For another one:
#   CHECKPOINT=snapshots/cityscapes/pspnet_mgpu/stage1/model.ckpt-90000 SNAPSHOT_DIR=snapshots/gta5/pspnet bash ...
# A checkpoint of 2018 has no config beside it: PREDICT_FLAGS='--num-classes 19' says what it is.
# To reach: the paper reports 36.52 % mIoU (78.28 % of the pixels) for this loss, 36.86 % (75.13 %) for the affinity loss
# and 35.06 % (68.78 %) for cross-entropy alone. That and the time were not measured here.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${CHECKPOINT:=$root/snapshots/cityscapes/pspnet_aaf_mgpu/stage1/model.ckpt-90000}"
: "${SNAPSHOT_DIR:=$root/snapshots/gta5/pspnet_aaf}"
: "${PARTS:=predict score}"

# The data: `python dataset/prepare_gta5.py --help`. The paper scores GTA5's part 1 alone (2,500 images).
: "${DATAROOT:=$root/data}" # holds GTA5, and that images and labels
: "${DATA_DIR:=$DATAROOT/GTA5}"
: "${PREDICT_LIST:=$root/dataset/gta5/all.txt}"
: "${GT_DIR:=$DATA_DIR/trainids}"
: "${INST_DIR=}" # GTA5 has no instance masks
: "${STRING_REPLACE:=,}"

. "$root/bashscripts/cityscapes/values.sh"
. "$root/bashscripts/pipeline.sh"
