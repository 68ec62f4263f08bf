#!/usr/bin/env bash
# PSPNet with the adaptive affinity loss on CamVid, small enough for a CPU: a 14-layer ResNet from its initial weights.
# It shows the pipeline on real photos: 1,000 steps, from random weights. For CamVid in earnest: ../own/finetune.sh, which
# starts from ImageNet's weights.
# Every value can be set from the environment; DRY_RUN=1 prints the commands. More: ../pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_aaf}"
: "${BACKBONE:=resnet_v1_14}"
: "${BATCH_SIZE:=4}"
: "${TRAIN_INPUT_SIZE:=192,192}"
: "${TRAIN_FLAGS:=--batch-norm-decay 0.97}" # so short a run: averages that keep up with it
: "${SNAPSHOT_DIR:=$root/snapshots/camvid/pspnet_aaf}"

# The data: `python dataset/prepare_camvid.py --help`.
: "${DATAROOT:=$root/data}" # holds CamVid, and that train, trainannot, ...
: "${DATA_DIR:=$DATAROOT/CamVid}"
: "${NUM_CLASSES:=11}"
: "${IGNORE_LABEL:=11}" # CamVid's void

: "${STAGE1_LIST:=$root/dataset/camvid/train.txt}"
: "${STAGE1_STEPS:=1000}"
: "${STAGE1_LEARNING_RATE:=3e-3}"
: "${STAGE1_PREDICT:=inference_msc}"

: "${PREDICT_LIST:=$root/dataset/camvid/test.txt}"
: "${WINDOW:=240,240}"
: "${STRIDES:=160,160}"
: "${GT_DIR:=$DATA_DIR/testannot}"

. "$root/bashscripts/pipeline.sh"
