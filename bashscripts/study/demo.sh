#!/usr/bin/env bash
# Does the affinity loss help on the demo scenes? Every method with a few seeds, in about ten minutes on two cores; sets
# the project up first (see ../setup.sh). Stopped, it goes on when started again. Values can be set from the environment,
# and flags of study.py may follow, for example a method more:
#   STEPS=600 SEEDS=1,2 bash bashscripts/study/demo.sh --variant 'steady=aaf --kld-decay 1'
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${DEMO:=$root/demo}" # the scenes
: "${OUT:=$DEMO/study}"
: "${SCENES:=--num-train 240 --num-val 40 --image-size 144,144}"
: "${STEPS:=300}"
: "${SEEDS:=1,2,3,4}"
: "${CROP:=96,96}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${TRAIN_FLAGS:=}" # more flags for every training

PYTHON="$(bash "$root/bashscripts/setup.sh")"
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/dataset/make_demo.py" --out-dir "$DEMO" $SCENES
# shellcheck disable=SC2086
"$PYTHON" "$root/pyscripts/study/study.py" --out-dir "$OUT" --data-dir "$DEMO/VOCdevkit" --train-list "$DEMO/train.txt" \
  --val-list "$DEMO/val.txt" --seeds "$SEEDS" --thin-classes bicycle,power_line,fence \
  --predict '--input-size 144,144 --strides 96,96' "$@" -- \
  --model fcn8s --backbone resnet_v1_14 --num-classes "$(grep -c . "$DEMO/classes.txt")" --precision "$PRECISION" \
  --input-size "$CROP" --random-mirror --random-scale --random-crop --batch-size 8 --iter-size 1 --num-steps "$STEPS" \
  --learning-rate 3e-3 --batch-norm-decay 0.95 --val-every "$((STEPS / 5 + 1))" --keep 1 --save-pred-every 250 $TRAIN_FLAGS
echo "the tables: $OUT/study.md; every score of every run: $OUT/study.csv"
echo "pictures of one seed: python pyscripts/benchmark/report.py --pred-dir $OUT/seed-${SEEDS%%,*}/*/val/gray" \
  "--data-dir $DEMO/VOCdevkit --data-list $DEMO/val.txt --out $OUT/report.html"
