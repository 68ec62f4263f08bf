#!/usr/bin/env bash
# What does each training option do? Cross-entropy alone against cross-entropy with one option, on CamVid with
# DeepLabv3+ on EfficientNet-Lite0 from ImageNet weights; short runs, sized for a CPU. Give CamVid's folder (train,
# trainannot, ... in SegNet's layout):
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_options.sh
# Values can be set from the environment; more of them: study.sh. Stopped, it goes on when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${DATA_DIR:=$root/data/CamVid}"
: "${LISTS:=$root/dataset/camvid}" # where the lists are written
: "${OUT:=$root/snapshots/camvid/options}"
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${MODEL:=deeplabv3plus}"
: "${BACKBONE:=efficientnet_lite0}"
: "${METHODS:=baseline}"
: "${SEEDS:=1,2}"
: "${STEPS:=250}"
: "${CROP:=224,224}"
: "${BATCH_SIZE:=4}"
: "${LEARNING_RATE:=1e-2}"
: "${BATCH_NORM_DECAY:=0.97}" # so short a run: averages that keep up with it
: "${VAL_EVERY:=$STEPS}" # no validation but the last
: "${WINDOW:=368,480}" # the whole image, and 8 lines of padding
: "${STRIDES:=368,480}"
: "${CURVE_EVERY:=20}"
: "${NUM_CLASSES:=11}"
: "${IGNORE_LABEL:=11}" # CamVid's void
: "${THIN_CLASSES:=pole,signsymbol,fence,pedestrian,bicyclist}"
: "${TITLE:=What do the training options do? CamVid}"

: "${TRAIN_LIST:=$LISTS/train.txt}"
: "${VAL_LIST:=$LISTS/val.txt}"

: "${PYTHON:=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}"
"$PYTHON" "$root/dataset/prepare_camvid.py" --data-dir "$DATA_DIR" --list-dir "$LISTS"
"$PYTHON" "$root/dataset/fetch_efficientnet.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"
TRAIN_FLAGS="--restore-from $IMAGENET/$BACKBONE.ckpt --not-restore-classifier ${TRAIN_FLAGS:-}"

set -- \
  --variant 'aux=baseline --aux-weight 0.4' \
  --variant 'ohem=baseline --ohem-threshold 0.7 --ohem-min-kept 1000' \
  --variant 'balanced=baseline --class-weights balanced' \
  --variant 'median=baseline --class-weights median' \
  --variant 'smoothing=baseline --label-smoothing 0.1' \
  --variant 'jitter=baseline --color-jitter' \
  --variant 'rotate=baseline --random-rotate 10' \
  --variant 'scale-0.75-1.5=baseline --scale-range 0.75,1.5' \
  --variant 'max-share=baseline --crop-max-share 0.75' \
  --variant 'cosine=baseline --schedule cosine' \
  --variant 'constant=baseline --schedule constant' \
  --variant 'warmup=baseline --warmup-steps 50' \
  --variant 'adamw=baseline --optimizer adamw --learning-rate 3e-4 --weight-decay 1e-2' \
  --variant 'head-rate-1=baseline --head-rate-multiple 1' \
  --variant 'ema=baseline --ema-decay 0.98' \
  "$@"
. "$root/bashscripts/study/study.sh"
