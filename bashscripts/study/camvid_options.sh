#!/usr/bin/env bash
# What does each training option do? Cross-entropy alone against cross-entropy with one option, on CamVid with
# DeepLabv3+ on EfficientNet-Lite0 from ImageNet weights; short runs, sized for a CPU. Give CamVid's folder (train,
# trainannot, ... in SegNet's layout):
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_options.sh
# Values can be set from the environment; more of them: imagenet.sh, study.sh. Stopped, it goes on when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${OUT:=$root/snapshots/camvid/options}"
: "${METHODS:=baseline}"
: "${SEEDS:=1,2}"
: "${STEPS:=250}"
: "${LEARNING_RATE:=1e-2}"
: "${RECIPE=}"
: "${BATCH_NORM_DECAY:=0.97}" # so short a run: averages that keep up with it
: "${VAL_EVERY:=$STEPS}" # no validation but the last
: "${CURVE_EVERY:=20}"
: "${TITLE:=What do the training options do? CamVid}"

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
. "$root/bashscripts/study/imagenet.sh"
