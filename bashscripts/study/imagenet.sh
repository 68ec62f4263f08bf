# shellcheck shell=bash
# What the studies from ImageNet weights share: CamVid's lists, the weights, and DeepLabv3+ on EfficientNet-Lite0. A study
# sets its values and sources this file last; the command line's words go on to study.sh.

: "${DATA_DIR:=$root/data/CamVid}"
: "${LISTS:=$root/dataset/camvid}" # where the lists are written
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${MODEL:=deeplabv3plus}"
: "${BACKBONE:=efficientnet_lite0}"
: "${CROP:=224,224}"
: "${BATCH_SIZE:=4}"
: "${LEARNING_RATE:=1e-2}"
: "${WINDOW:=368,480}" # the whole image, and 8 lines of padding
: "${STRIDES:=368,480}"
: "${NUM_CLASSES:=11}"
: "${IGNORE_LABEL:=11}" # CamVid's void
: "${THIN_CLASSES:=pole,signsymbol,fence,pedestrian,bicyclist}"

: "${TRAIN_LIST:=$LISTS/train.txt}"
: "${VAL_LIST:=$LISTS/val.txt}"
: "${TEST_LIST:=$LISTS/test.txt}"

: "${PYTHON:=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}"
"$PYTHON" "$root/dataset/prepare_camvid.py" --data-dir "$DATA_DIR" --list-dir "$LISTS"
"$PYTHON" "$root/dataset/fetch_efficientnet.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"
TRAIN_FLAGS="--restore-from $IMAGENET/$BACKBONE.ckpt --not-restore-classifier ${TRAIN_FLAGS:-}"
. "$root/bashscripts/study/study.sh"
