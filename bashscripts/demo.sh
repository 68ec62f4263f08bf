#!/usr/bin/env bash
# The whole main job in a few minutes on a laptop: sets the project up (see setup.sh), draws small street scenes, trains
# a 14-layer PSPNet on them twice, with cross-entropy alone and with the adaptive affinity loss, predicts the validation
# scenes, scores them, and shows both side by side in report.html. To reach: 64 to 68 % and 71 to 72 % mIoU (two seeds,
# two cores with AVX512-BF16, nine minutes of processor time). Values can be set from the environment, for example
# `STEPS=1000 OUT=/tmp/demo bash bashscripts/demo.sh`; more of them: pipeline.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

: "${OUT:=$root/demo}"
: "${STEPS:=200}"
: "${SCENES:=--num-train 240 --num-val 40 --image-size 144,144}"

: "${NUM_CLASSES:=7}"
: "${BACKBONE:=resnet_v1_14}"
: "${BATCH_SIZE:=8}"
: "${TRAIN_INPUT_SIZE:=96,96}"
: "${TRAIN_FLAGS:=--batch-norm-decay 0.95}" # so short a run: averages that keep up with it

: "${STAGE1_LIST:=$OUT/train.txt}"
: "${STAGE1_STEPS:=$STEPS}"
: "${STAGE1_LEARNING_RATE:=3e-3}"
: "${STAGE1_PREDICT:=inference}"

: "${PREDICT_LIST:=$OUT/val.txt}"
: "${WINDOW:=144,144}"
: "${STRIDES:=108,108}"
: "${DATA_DIR:=$OUT/VOCdevkit}"
: "${GT_DIR:=$DATA_DIR/VOC2012/segcls}"

: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"

if [ -n "${DRY_RUN:-}" ]; then PYTHON="${VENV:-$root/.venv}/bin/python"; else PYTHON="$(bash "$root/bashscripts/setup.sh")"; fi
STAGES_LATER=1
. "$root/bashscripts/pipeline.sh"

say="${DRY_RUN:+# }" # what is no command
echo "${say}1 of 4: street scenes are drawn (seconds)"
# shellcheck disable=SC2086  # several flags in one value
run "$PYTHON" "$root/dataset/make_demo.py" --out-dir "$OUT" $SCENES
echo "${say}the first scene: $DATA_DIR/VOC2012/JPEGImages/val_00000.jpg"

results=()
place=2
for TRAIN in train train_aaf; do
  printf '\n%s%s of 4: %s.py, %s steps, then predictions (at 200 steps two to three minutes on two cores)\n' \
    "$say" "$place" "$TRAIN" "$STEPS"
  SNAPSHOT_DIR="$OUT/$TRAIN-$STEPS"
  run_stages
  results+=("$SNAPSHOT_DIR/stage1/results/val")
  echo "${say}the first prediction: $SNAPSHOT_DIR/stage1/results/val/color/val_00000.png"
  place=$((place + 1))
done

printf '\n%s4 of 4: the report (seconds)\n' "$say"
run "$PYTHON" "$root/pyscripts/benchmark/report.py" --title 'Demo scenes' --name 'cross-entropy' 'adaptive affinity' \
  --pred-dir "${results[@]/%//gray}" --gt-dir "$GT_DIR" --image-dir "$DATA_DIR/VOC2012/JPEGImages" \
  --out "$OUT/report.html"
[ -z "${DRY_RUN:-}" ] || exit 0
echo
for folder in "${results[@]}"; do
  echo "$(grep '^mean IOU' "$folder/mIoU.txt"), on $(grep -c . "$PREDICT_LIST") scenes that the network never saw: $folder/color"
done
echo "TensorBoard: $(dirname "$PYTHON")/tensorboard --logdir $OUT"
echo "open in a browser: $OUT/report.html"
