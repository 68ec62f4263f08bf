# shellcheck shell=bash
# The recipe of VOC 2012; each script here names its training script, TRAIN, which also names SNAPSHOT_DIR. They train
# 30,000 steps on train+ from ImageNet's weights, then 30,000 on train. The score that a recipe names is the paper's on
# the validation list; that and the time were not measured here. The larger batch and crop of several GPUs should do
# better than those of one.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
# The data: `python dataset/prepare_voc12.py --help`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

case "$TRAIN" in
  *_mgpu) : "${NUM_GPU:=4}" "${BATCH_SIZE:=16}" "${TRAIN_INPUT_SIZE:=480,480}" ;;
  *) : "${BATCH_SIZE:=8}" "${TRAIN_INPUT_SIZE:=336,336}" ;;
esac
: "${SNAPSHOT_DIR:=$root/snapshots/voc12/pspnet${TRAIN#train}}"

: "${DATAROOT:=$root/data}" # holds VOCdevkit
: "${DATA_DIR:=$DATAROOT/VOCdevkit}"
: "${NUM_CLASSES:=21}"
: "${BACKBONE:=resnet_v1_101}"
: "${RESTORE_FROM=$root/snapshots/imagenet/$BACKBONE.ckpt}"

: "${STAGE1_LIST:=$root/dataset/voc12/train+.txt}"
: "${STAGE1_STEPS:=30000}"
: "${STAGE1_LEARNING_RATE:=1e-3}"
: "${STAGE1_PREDICT:=inference}"

: "${STAGE2_LIST=$root/dataset/voc12/train.txt}" # set but empty: no second stage
: "${STAGE2_STEPS:=30000}"
: "${STAGE2_LEARNING_RATE:=1e-4}"
: "${STAGE2_PREDICT:=inference_msc}"

: "${PREDICT_LIST:=$root/dataset/voc12/val.txt}"
: "${WINDOW:=480,480}"
: "${STRIDES:=320,320}"
: "${GT_DIR:=$DATA_DIR/VOC2012/segcls}"
: "${INST_DIR=$DATA_DIR/VOC2012/seginst}"
