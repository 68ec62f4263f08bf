#!/usr/bin/env bash
# From your own images and labels to a trained network, a score and a report, on a laptop: sets the project up, makes the
# lists, checks the data, fetches ImageNet weights, trains DeepLabv3+ on EfficientNet-Lite0 with the adaptive affinity
# loss and Lovasz-softmax, predicts with the checkpoint that was best in validation, scores, writes report.html and a
# SavedModel.
#   bash bashscripts/own/finetune.sh DATA_ROOT
#   IGNORE_LABEL=11 bash bashscripts/own/finetune.sh data/CamVid    # void is 11 in these masks, besides 255
#   EPOCHS=40 bash bashscripts/own/finetune.sh DATA_ROOT            # or STEPS=1000
#   DRY_RUN=1 bash bashscripts/own/finetune.sh DATA_ROOT            # prints the commands and runs none
# DATA_ROOT holds images/ and masks/ (PNGs of class ids with the images' names); or both with the sub-folders train, val
# and test; or SegNet's train/ and trainannot/, val/ and valannot/, ... For other labels (masks of colours, COCO, LabelMe,
# CVAT) set LABEL_FLAGS, for example to '--colors colors.txt', with paths relative to DATA_ROOT; see dataset/README.md.
# DATA_ROOT/classes.txt names the classes, one line each; without it they have numbers.
# To reach: CamVid (367 training images, 11 classes) got 64.9 % mIoU on its validation list (two other seeds: 66.1 and
# 64.0) and 59.1 % on its test list (917 steps) in 10 minutes, 8 of them training, on two idle cores of an Intel Xeon
# with bfloat16. Momentum needs twice the steps of AdamW: EPOCHS=20 OPTIMIZER=momentum STAGE1_LEARNING_RATE=1e-2
# WEIGHT_DECAY=5e-4. See ../../misc/results/README.md.
# Values can be set from the environment; more of them: ../pipeline.sh. Started again, it goes on where it stopped.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

if [ $# -ne 1 ] || [ ! -d "$1" ]; then
  echo "error: '${1:-}' is not a folder; give the folder of your images: bash bashscripts/own/finetune.sh DATA_ROOT" >&2
  exit 2
fi
DATA_DIR="$(cd "$1" && pwd)"

: "${OUT:=$root/snapshots/own/$(basename "$DATA_DIR")}"
case "$OUT" in /*) ;; *) OUT="$PWD/$OUT" ;; esac
LISTS="$OUT/lists"
: "${IGNORE_LABEL:=255}"
if [ -d "$DATA_DIR/trainannot" ]; then
  : "${SPLIT_FLAGS:=--images {split\} --masks {split\}annot}"
elif [ -d "$DATA_DIR/images/train" ] && [ -d "$DATA_DIR/masks/train" ]; then
  : "${SPLIT_FLAGS:=--images images/{split\} --masks masks/{split\}}"
fi
: "${SPLIT_FLAGS:=--val-fraction 0.15 --test-fraction 0.15}"
: "${LABEL_FLAGS:=}" # of dataset/prepare_own.py, for labels that are not PNGs of class ids

: "${TRAIN:=train_aaf}"
: "${MODEL:=deeplabv3plus}"
: "${BACKBONE:=efficientnet_lite0}"
: "${BATCH_SIZE:=4}"
: "${TRAIN_INPUT_SIZE:=320,320}"
: "${EPOCHS:=10}"
: "${STEPS:=}" # empty: EPOCHS, but 600 to 20,000 steps
: "${OPTIMIZER:=adamw}" # on CamVid a rate of 5e-4 learned about as fast, of 2e-4 only as fast as momentum
: "${STAGE1_LEARNING_RATE:=1e-3}"
: "${WEIGHT_DECAY:=1e-2}"
: "${BATCH_NORM_DECAY:=0.99}" # so short a run: averages that keep up with it
: "${EXTRA_LOSS=lovasz}" # beside the cross-entropy; empty: none
: "${KLD_LAMBDA_1:=2}" # twice the weights of 2018: better on CamVid's validation list, not on its test list
: "${KLD_LAMBDA_2:=2}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${RESTORE_FROM=$IMAGENET/$BACKBONE.ckpt}" # empty: from random weights
: "${SNAPSHOT_DIR:=$OUT/$TRAIN}"
if [ -z "${PYTHON:-}" ]; then
  if [ -n "${DRY_RUN:-}" ]; then PYTHON="$root/.venv/bin/python"; else PYTHON="$(bash "$root/bashscripts/setup.sh")"; fi
fi
case "$PYTHON" in /*) ;; */*) PYTHON="$PWD/$PYTHON" ;; esac # the lists are made in DATA_DIR

STAGES_LATER=1
. "$root/bashscripts/pipeline.sh"

# shellcheck disable=SC2086  # several flags in one value
(cd "$DATA_DIR" && run "$PYTHON" "$root/dataset/prepare_own.py" --data-dir "$DATA_DIR" --list-dir "$LISTS" \
  --ignore-label "$IGNORE_LABEL" $SPLIT_FLAGS $LABEL_FLAGS)
if [ -e "$LISTS/classes.csv" ]; then NUM_CLASSES="$(tail -n +2 "$LISTS/classes.csv" | grep -c .)"; fi
VAL_LIST="$LISTS/val.txt"
PREDICT_LIST="$LISTS/test.txt" # where that has labels, else the validation list
# A line without a label is an image's name, spaces and all.
{ [ -e "$PREDICT_LIST" ] && [ ! -e "$DATA_DIR/$(head -n 1 "$PREDICT_LIST")" ]; } || PREDICT_LIST="$VAL_LIST"
for list in "$LISTS"/{train,val,test}.txt; do
  [ ! -e "$list" ] || run "$PYTHON" "$root/dataset/check.py" --data-dir "$DATA_DIR" --data-list "$list" \
    --num-classes "$NUM_CLASSES" --ignore-label "$IGNORE_LABEL"
done
[ "$RESTORE_FROM" != "$IMAGENET/$BACKBONE.ckpt" ] ||
  run "$PYTHON" "$root/dataset/fetch_${BACKBONE%%_*}.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"

if [ -e "$LISTS/train.txt" ]; then
  if [ ! -e "$VAL_LIST" ]; then
    echo "error: $VAL_LIST is not there, so no checkpoint would be the best; make a folder val, or unite the folders" >&2
    exit 2
  fi
  images="$(grep -c . "$LISTS/train.txt")" val_images="$(grep -c . "$VAL_LIST")"
else
  images=367 val_images=101 NUM_CLASSES=N
  echo "# There are no lists yet: from here on the numbers are those of CamVid, with $images training images."
fi
steps=$((EPOCHS * images / BATCH_SIZE))
: "${STEPS:=$((steps < 600 ? 600 : steps > 20000 ? 20000 : steps))}"

# At most eight validations, a tenth of the training's time in all: an image is taken for a third of a step (an
# estimate: its four windows are a batch without the way back; larger photos cost more). A longer list is validated in part.
val_budget=$((STEPS * 3 / 10))
validations=$((val_budget / val_images))
validations=$((validations < 1 ? 1 : validations > 8 ? 8 : validations))
val_every=$(((STEPS + validations - 1) / validations))
if [ "$val_images" -gt "$val_budget" ] && [ -z "${DRY_RUN:-}" ]; then
  awk -v every=$((val_images / (val_budget + 1) + 1)) 'NR % every == 1' "$VAL_LIST" >"$LISTS/val_part.txt"
  VAL_LIST="$LISTS/val_part.txt"
fi
TRAIN_FLAGS="--optimizer $OPTIMIZER --batch-norm-decay $BATCH_NORM_DECAY --val-every $val_every --save-minutes 5 \
${EXTRA_LOSS:+--extra-loss $EXTRA_LOSS }$TRAIN_FLAGS"
echo "# Training: $STEPS steps of $BATCH_SIZE of the $images images, $validations times validated on $VAL_LIST."

: "${STAGE1_LIST:=$LISTS/train.txt}"
: "${STAGE1_STEPS:=$STEPS}"
: "${STAGE1_PREDICT:=inference}"
dir="$SNAPSHOT_DIR/stage1"
results="$dir/results/$(basename "$PREDICT_LIST" .txt)"
GT_DIR='' # the list names the ground truth, and the photos
PARTS=train run_stages
CHECKPOINT="$dir/$(sed -n 's/.*"checkpoint": "\([^"]*\)".*/\1/p' "$dir/best" 2>/dev/null || echo "model.ckpt-$STEPS")"
PARTS='predict score' run_stages
run "$PYTHON" "$root/pyscripts/benchmark/report.py" --pred-dir "$results/gray" --data-dir "$DATA_DIR" \
  --data-list "$PREDICT_LIST" --ignore-label "$IGNORE_LABEL" --out "$OUT/report.html"
saved_model="$dir/savedmodel/$(basename "$CHECKPOINT")"
[ -e "$saved_model" ] ||
  run "$PYTHON" "$root/pyscripts/export/export_savedmodel.py" --run "$dir" --save-dir "$saved_model"
[ -z "${DRY_RUN:-}" ] || exit 0

echo
echo "$(grep '^mean IOU' "$results/mIoU.txt"), on $(grep -c . "$PREDICT_LIST") images of $PREDICT_LIST"
echo "pictures:        $results/color/*.png"
echo "report:          $OUT/report.html"
echo "SavedModel:      $saved_model"
echo "TensorBoard:     $(in_words "$(dirname "$PYTHON")/tensorboard" --logdir "$SNAPSHOT_DIR")"
echo 'predict a photo:'
in_words "$PYTHON" "$root/pyscripts/inference/inference.py" --run "$dir" --image photo.jpg --save-dir out
echo 'go on training from it, at a lower rate, into a new folder:'
DRY_RUN=1 train "$SNAPSHOT_DIR/more" "$STAGE1_LIST" "$STEPS" 1e-4 "$CHECKPOINT"
