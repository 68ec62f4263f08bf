#!/usr/bin/env bash
# Does the affinity loss help on the demo scenes? Every method with a few seeds, in about ten minutes on two cores; sets
# the project up first (see ../setup.sh). Values can be set from the environment, for example
# `STEPS=300 SEEDS=1,2,3,4,5 bash bashscripts/study/demo.sh`; more of them: study.sh. Stopped, it goes on when started
# again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${DEMO:=$root/demo}" # the scenes
: "${OUT:=$DEMO/study}"
: "${SCENES:=--num-train 240 --num-val 40 --image-size 144,144}"
: "${MODEL:=fcn8s}" # a step takes a quarter of PSPNet's
: "${STEPS:=300}"
: "${SEEDS:=1,2,3,4}"
: "${CROP:=96,96}"
: "${BATCH_SIZE:=8}"
: "${LEARNING_RATE:=3e-3}"
: "${BATCH_NORM_DECAY:=0.95}" # so short a run: averages that keep up with it
: "${WINDOW:=144,144}"
: "${STRIDES:=96,96}"
: "${THIN_CLASSES:=bicycle,power_line,fence}"
: "${TITLE:=Does the affinity loss help? Demo scenes}"

: "${DATA_DIR:=$DEMO/VOCdevkit}"
: "${TRAIN_LIST:=$DEMO/train.txt}"
: "${VAL_LIST:=$DEMO/val.txt}"
: "${CLASS_NAMES:=$DEMO/classes.txt}"

PYTHON="$(bash "$root/bashscripts/setup.sh")"
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/dataset/make_demo.py" --out-dir "$DEMO" $SCENES
: "${NUM_CLASSES:=$(grep -c . "$CLASS_NAMES")}"
. "$root/bashscripts/study/study.sh"

echo "the report: $OUT/study.html; the same scenes under every method: $OUT/study.png"
