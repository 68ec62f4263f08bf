#!/usr/bin/env bash
# The whole main job in a few minutes on a laptop: sets the project up (see setup.sh), draws small street scenes, trains
# a 14-layer PSPNet on them with the adaptive affinity loss, predicts the validation scenes and scores them. Values can
# be set from the environment, for example `STEPS=2000 OUT=/tmp/demo bash bashscripts/demo.sh`; more of them: pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

: "${OUT:=$root/demo}"
: "${STEPS:=300}"
: "${SCENES:=--num-train 240 --num-val 40 --image-size 144,144}"

: "${TRAIN:=train_aaf}"
: "${BACKBONE:=resnet_v1_14}"
: "${BATCH_SIZE:=8}"
: "${TRAIN_INPUT_SIZE:=96,96}"
: "${TRAIN_FLAGS:=--batch-norm-decay 0.95}" # so short a run: averages that keep up with it
: "${SNAPSHOT_DIR:=$OUT/$TRAIN-$STEPS}"
: "${RESTORE_FROM:=}"

: "${STAGE1_LIST:=$OUT/train.txt}"
: "${STAGE1_STEPS:=$STEPS}"
: "${STAGE1_LEARNING_RATE:=3e-3}"
: "${STAGE1_PREDICT:=inference_msc}"

: "${PREDICT_LIST:=$OUT/val.txt}"
: "${WINDOW:=144,144}"
: "${STRIDES:=108,108}" # four windows cover the largest scale
: "${DATA_DIR:=$OUT/VOCdevkit}"
: "${GT_DIR:=$DATA_DIR/VOC2012/segcls}"
: "${INST_DIR:=$DATA_DIR/VOC2012/seginst}"
: "${CLASS_NAMES:=$OUT/classes.txt}"

: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"

PYTHON="$(bash "$root/bashscripts/setup.sh")"
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/dataset/make_demo.py" --out-dir "$OUT" $SCENES
: "${NUM_CLASSES:=$(grep -c . "$CLASS_NAMES")}"
. "$root/bashscripts/pipeline.sh"

results="$SNAPSHOT_DIR/stage1/results/val"
echo
echo "$(grep '^mean' "$results/mIoU.txt" | paste -s -d ',' -), on $(grep -c . "$PREDICT_LIST") scenes that the network never saw"
echo "pictures:    $results/color/*.png"
echo "the truth:   $GT_DIR/val_*.png, the scenes $DATA_DIR/VOC2012/JPEGImages/val_*.jpg"
echo "TensorBoard: $(dirname "$PYTHON")/tensorboard --logdir $SNAPSHOT_DIR"
