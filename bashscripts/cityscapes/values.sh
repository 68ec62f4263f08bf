# shellcheck shell=bash
# The recipe of Cityscapes; each script here names its training script, TRAIN, which also names SNAPSHOT_DIR. They train
# 90,000 steps on train from ImageNet's weights. The score that a recipe names is the paper's on the validation list.
# That and the time were not measured here.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
# The data: `python dataset/prepare_cityscapes.py --help`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${NUM_GPU:=4}"
: "${BATCH_SIZE:=8}"
: "${TRAIN_INPUT_SIZE:=720,720}"
: "${SNAPSHOT_DIR:=$root/snapshots/cityscapes/pspnet${TRAIN#train}}"

: "${DATAROOT:=$root/data}" # holds Cityscapes, and that leftImg8bit and gtFine
: "${DATA_DIR:=$DATAROOT/Cityscapes}"
: "${NUM_CLASSES:=19}"
: "${BACKBONE:=resnet_v1_101}"
: "${RESTORE_FROM=$root/snapshots/imagenet/$BACKBONE.ckpt}"

: "${STAGE1_LIST:=$root/dataset/cityscapes/train.txt}"
: "${STAGE1_STEPS:=90000}"
: "${STAGE1_LEARNING_RATE:=1e-3}"
: "${STAGE1_PREDICT:=inference_msc}"

: "${PREDICT_LIST:=$root/dataset/cityscapes/val.txt}"
: "${WINDOW:=720,720}"
: "${STRIDES:=480,480}"
: "${GT_DIR:=$DATA_DIR/gtFineId/val}"
: "${INST_DIR=$DATA_DIR/gtFineId/val}"
: "${STRING_REPLACE:=leftImg8bit,gtFineId_labelIds}"
: "${INST_STRING_REPLACE:=leftImg8bit,gtFineId_instanceIds}"
