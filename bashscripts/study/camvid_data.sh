# shellcheck shell=bash
# CamVid for the studies: its folder, classes and lists, which are written here.

: "${DATA_DIR:=$root/data/CamVid}"
: "${LISTS:=$root/dataset/camvid}" # where the lists are written
: "${NUM_CLASSES:=11}"
: "${IGNORE_LABEL:=11}" # CamVid's void
: "${THIN_CLASSES:=pole,signsymbol,fence,pedestrian,bicyclist}"

: "${TRAIN_LIST:=$LISTS/train.txt}"
: "${VAL_LIST:=$LISTS/val.txt}"
: "${TEST_LIST:=$LISTS/test.txt}"
: "${CLASS_NAMES:=$LISTS/classes.csv}"

: "${PYTHON:=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}"
"$PYTHON" "$root/dataset/prepare_camvid.py" --data-dir "$DATA_DIR" --list-dir "$LISTS"
