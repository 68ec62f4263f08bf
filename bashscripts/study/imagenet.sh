# shellcheck shell=bash
# What the studies from ImageNet weights share: CamVid's lists, the weights, and DeepLabv3+ on EfficientNet-Lite0. A study
# sets its values and sources this file last; the command line's words go on to study.sh.

: "${IMAGENET:=$root/snapshots/imagenet}"
: "${MODEL:=deeplabv3plus}"
: "${BACKBONE:=efficientnet_lite0}"
: "${CROP:=224,224}"
: "${BATCH_SIZE:=4}"
: "${STEPS:=1200}"
: "${LEARNING_RATE:=5e-4}"
: "${BATCH_NORM_DECAY:=0.99}"
: "${VAL_EVERY:=$((STEPS / 9 + 1))}"
: "${CURVE_EVERY:=4}"
: "${RECIPE=--optimizer adamw --weight-decay 1e-2 --scale-range 0.75,1.5}" # flags; may be empty
: "${WINDOW:=368,480}" # the whole image, and 8 lines of padding
: "${STRIDES:=368,480}"

. "$root/bashscripts/study/camvid_data.sh"
"$PYTHON" "$root/dataset/fetch_efficientnet.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"
RESTORE_FROM="$IMAGENET/$BACKBONE.ckpt"
TRAIN_FLAGS="--not-restore-classifier $RECIPE ${TRAIN_FLAGS:-}"
. "$root/bashscripts/study/study.sh"
