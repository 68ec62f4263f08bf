#!/usr/bin/env bash
# From your own images and labels to a trained network, a score and a report, on a laptop: sets the project up, makes the
# lists, checks the data, fetches ImageNet weights, trains DeepLabv3+ on EfficientNet-Lite0 with the adaptive affinity
# loss, predicts with the checkpoint that was best in validation, scores, writes report.html and a SavedModel.
#   bash bashscripts/own/finetune.sh DATA_ROOT
#   IGNORE_LABEL=11 bash bashscripts/own/finetune.sh data/CamVid    # void is 11 in these masks, besides 255
# DATA_ROOT holds images/ and masks/ (PNGs of class ids with the images' names); or both with the sub-folders train, val
# and test; or SegNet's train/ and trainannot/, val/ and valannot/, ... For other labels (masks of colours, COCO, LabelMe,
# CVAT) set LABEL_FLAGS, for example to '--colors colors.txt'; see dataset/README.md. DATA_ROOT/classes.txt names the
# classes, one a line; without it they have numbers.
# Values can be set from the environment; more of them: ../pipeline.sh. Started again, it goes on where it stopped.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

if [ $# -ne 1 ] || [ ! -d "$1" ]; then
  echo "error: '${1:-}' is not a folder; give the folder of your images: bash bashscripts/own/finetune.sh DATA_ROOT" >&2
  exit 2
fi
DATA_DIR="$(cd "$1" && pwd)"

: "${OUT:=$root/snapshots/own/$(basename "$DATA_DIR")}"
: "${LISTS:=$OUT/lists}"
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
: "${STAGE1_LEARNING_RATE:=1e-2}"
: "${BATCH_NORM_DECAY:=0.99}" # so short a run: averages that keep up with it
: "${KLD_LAMBDA_1:=2}" # twice the weights of 2018: better on CamVid's validation list, not on its test list
: "${KLD_LAMBDA_2:=2}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${VALIDATIONS:=8}"
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${SNAPSHOT_DIR:=$OUT/$TRAIN}"

: "${PYTHON:=$(bash "$root/bashscripts/setup.sh")}"
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/dataset/prepare_own.py" --data-dir "$DATA_DIR" --list-dir "$LISTS" --ignore-label "$IGNORE_LABEL" \
  $SPLIT_FLAGS $LABEL_FLAGS
: "${CLASS_NAMES:=$LISTS/classes.txt}"
: "${NUM_CLASSES:=$(grep -c . "$CLASS_NAMES")}"
for list in "$LISTS"/{train,val,test}.txt; do
  [ ! -e "$list" ] || "$PYTHON" "$root/dataset/check.py" --data-dir "$DATA_DIR" --data-list "$list" \
    --num-classes "$NUM_CLASSES" --ignore-label "$IGNORE_LABEL"
done
if [ ! -e "$LISTS/val.txt" ]; then
  echo "error: $LISTS/val.txt: there is none, so no checkpoint would be the best; make a folder val, or unite the folders" >&2
  exit 2
fi

: "${RESTORE_FROM=$IMAGENET/$BACKBONE.ckpt}" # empty: from random weights
if [ "$RESTORE_FROM" = "$IMAGENET/$BACKBONE.ckpt" ]; then
  "$PYTHON" "$root/dataset/fetch_efficientnet.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"
fi

# 40 epochs, within bounds: fewer steps leave small sets undertrained, more take a CPU a night.
: "${STAGE1_LIST:=$LISTS/train.txt}"
steps=$((40 * $(grep -c . "$STAGE1_LIST") / BATCH_SIZE))
: "${STAGE1_STEPS:=$((steps < 1500 ? 1500 : steps > 20000 ? 20000 : steps))}"
: "${STAGE1_PREDICT:=inference}"
val_every=$(((STAGE1_STEPS + VALIDATIONS - 1) / VALIDATIONS))
VAL_LIST="$LISTS/val.txt"
TRAIN_FLAGS="--batch-norm-decay $BATCH_NORM_DECAY --val-every $val_every --save-minutes 5 ${TRAIN_FLAGS:-}"

# The test list where it has labels, else the validation list. One window an image, up to 1024 pixels a side.
test_list="$LISTS/test.txt"
grep -q '[[:blank:]]' "$test_list" 2>/dev/null || test_list="$LISTS/val.txt"
: "${PREDICT_LIST:=$test_list}"
{ read -r window && read -r image_dir && read -r gt_dir; } < <("$PYTHON" - "$DATA_DIR" "$PREDICT_LIST" <<'END'
import os
import sys

from PIL import Image

folder, data_list = sys.argv[1:]
pairs = [line.rstrip('\n').split('\t' if '\t' in line else ' ') for line in open(data_list)]
width, height = Image.open(os.path.join(folder, pairs[0][0])).size
print(*(min(1024, -(-side // 16) * 16) for side in (height, width)), sep=',')
for paths in zip(*pairs):  # images, labels
  print(os.path.commonpath([os.path.dirname(os.path.join(folder, path)) for path in paths]))
END
)
: "${WINDOW:=$window}"
: "${STRIDES:=$window}"
: "${GT_DIR:=$gt_dir}"

PARTS=train
. "$root/bashscripts/pipeline.sh"
dir="$SNAPSHOT_DIR/stage1"
CHECKPOINT="$dir/$(sed -n 's/.*"checkpoint": "\([^"]*\)".*/\1/p' "$dir/best")"
PARTS='predict score'
run_stages

results="$dir/results/$(basename "$PREDICT_LIST" .txt)"
"$PYTHON" "$root/pyscripts/benchmark/report.py" --pred-dir "$results/gray" --gt-dir "$GT_DIR" --data-list "$PREDICT_LIST" \
  --num-classes "$NUM_CLASSES" --class-names "$CLASS_NAMES" --image-dir "$image_dir" --out "$OUT/report.html"
saved_model="$OUT/savedmodel/$(basename "$CHECKPOINT")"
[ -e "$saved_model" ] || "$PYTHON" "$root/pyscripts/export/export_savedmodel.py" --model "$MODEL" --backbone "$BACKBONE" \
  --num-classes "$NUM_CLASSES" --restore-from "$CHECKPOINT" --input-size "$WINDOW" --strides "$STRIDES" --save-dir "$saved_model"
echo
echo "$(grep '^mean IOU' "$results/mIoU.txt"), on $(grep -c . "$PREDICT_LIST") images of $PREDICT_LIST"
echo "pictures:   $results/color/*.png"
echo "report:     $OUT/report.html"
echo "SavedModel: $saved_model"
