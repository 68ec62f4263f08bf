#!/usr/bin/env bash
# Does the affinity loss help on CamVid, and what do its settings and other losses do? Sized for a CPU: some hours on two
# cores. Give CamVid's folder (train, trainannot, ... in SegNet's layout) and a question:
#   export DATA_DIR=data/CamVid
#   bash bashscripts/study/camvid.sh rivals              # DeepLabv3+ from ImageNet weights; Lovasz-softmax, RMI, ABL
#   bash bashscripts/study/camvid.sh settings            # the same network: lambdas, decay, rate and distances
#   bash bashscripts/study/camvid.sh settings-stride-8   # FCN-8s on the same backbone
#   bash bashscripts/study/camvid.sh options             # cross-entropy with one training option each, short runs
#   bash bashscripts/study/camvid.sh converged           # FCN-8s on a ResNet that cross-entropy trained before
#   bash bashscripts/study/camvid.sh scratch             # the same network from random weights
# TEST=1 scores the test list too, once all is decided. Stopped, it goes on when started again. Values can be set from
# the environment; flags of study.py may follow the question, for example --variant 'half=aaf --kld-lambda-1 0.5'.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${DATA_DIR:=$root/data/CamVid}"
: "${LISTS:=$root/dataset/camvid}" # where the lists are written
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${PYTHON:=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${BACKBONE:=efficientnet_lite0}"
: "${CURVE_EVERY:=4}" # while training, every so many-th image of the validation list
: "${TRAIN_FLAGS:=}"  # more flags for every training

question="${1:-}"
[ $# = 0 ] || shift
adamw="--optimizer adamw --weight-decay 1e-2 --scale-range 0.75,1.5 --learning-rate 5e-4 --batch-norm-decay 0.99"
case "$question" in
  rivals)
    : "${SEEDS:=1,2,3,4,5}" "${STEPS:=1200}"
    variants=('lovasz=baseline --extra-loss lovasz' 'rmi=baseline --extra-loss rmi' 'abl=baseline --extra-loss abl'
      'aaf-double=aaf --kld-lambda-1 2 --kld-lambda-2 2')
    set -- --variant-seeds "${VARIANT_SEEDS:-1,2,3}" "$@"
    ;;
  settings | settings-stride-8)
    [ "$question" = settings ] || : "${MODEL:=fcn8s}" "${STEPS:=1000}"
    : "${SEEDS:=1,2}" "${STEPS:=1200}"
    variants=('aaf-double=aaf --kld-lambda-1 2 --kld-lambda-2 2' 'aaf-fourfold=aaf --kld-lambda-1 4 --kld-lambda-2 4'
      'no-decay=aaf --kld-decay 1' 'weight-rate-10=aaf --kld-weight-rate 10' 'sizes-1-2-4=aaf --kld-sizes 1,2,4')
    ;;
  options)
    : "${METHODS:=baseline}" "${SEEDS:=1,2}" "${STEPS:=250}" "${RECIPE:=--learning-rate 1e-2 --batch-norm-decay 0.97}"
    variants=('aux=baseline --aux-weight 0.4' 'ohem=baseline --ohem-threshold 0.7 --ohem-min-kept 1000'
      'balanced=baseline --class-weights balanced' 'median=baseline --class-weights median'
      'smoothing=baseline --label-smoothing 0.1' 'jitter=baseline --color-jitter' 'rotate=baseline --random-rotate 10'
      'scale-0.75-1.5=baseline --scale-range 0.75,1.5' 'max-share=baseline --crop-max-share 0.75'
      'cosine=baseline --schedule cosine' 'constant=baseline --schedule constant' 'warmup=baseline --warmup-steps 50'
      'adamw=baseline --optimizer adamw --learning-rate 3e-4 --weight-decay 1e-2'
      'head-rate-1=baseline --head-rate-multiple 1' 'ema=baseline --ema-decay 0.98')
    ;;
  converged | scratch)
    : "${MODEL:=fcn8s}" "${SEEDS:=1,2,3,4,5}" "${CROP:=192,192}" "${WINDOW:=360,480}"
    BACKBONE=resnet_v1_14
    if [ "$question" = scratch ]; then
      : "${STEPS:=1000}" "${RECIPE:=--learning-rate 3e-3 --batch-norm-decay 0.97}"
    else
      : "${STEPS:=1500}" "${RECIPE:=--learning-rate 1e-3 --batch-norm-decay 0.97}" "${START_STEPS:=6000}"
    fi
    variants=()
    ;;
  *)
    echo "error: '$question' is no question; give rivals, settings, settings-stride-8, options, converged or scratch" >&2
    exit 2
    ;;
esac
: "${OUT:=$root/snapshots/camvid/$question}" "${RECIPE:=$adamw}" "${CROP:=224,224}" "${WINDOW:=368,480}"

mkdir -p "$OUT"
"$PYTHON" "$root/dataset/prepare_camvid.py" --data-dir "$DATA_DIR" --list-dir "$LISTS"
awk "NR % $CURVE_EVERY == 1 || $CURVE_EVERY == 1" "$LISTS/val.txt" >"$OUT/curve.txt"
training=(--model "${MODEL:-deeplabv3plus}" --backbone "$BACKBONE" --num-classes 11 --ignore-label 11
  --input-size "$CROP" --batch-size "${BATCH_SIZE:-4}" --iter-size 1 --precision "$PRECISION" --random-mirror
  --random-scale --random-crop --val-list "$OUT/curve.txt" --keep 1 --save-pred-every 250)
start=()
if [ "$question" = converged ]; then
  [[ " $* " == *" --dry-run "* ]] ||
    "$PYTHON" "$root/pyscripts/train/train.py" --data-dir "$DATA_DIR" --data-list "$LISTS/train.txt" "${training[@]}" \
      --num-steps "$START_STEPS" --learning-rate 3e-3 --batch-norm-decay 0.97 --val-every "$((START_STEPS / 6 + 1))" \
      --snapshot-dir "$OUT/start" --resume
  start=(--restore-from "$OUT/start/model.ckpt-$((START_STEPS - 1))")
elif [ "$BACKBONE" != resnet_v1_14 ]; then
  [ -e "$IMAGENET/$BACKBONE.ckpt.index" ] ||
    "$PYTHON" "$root/dataset/fetch_efficientnet.py" --backbone "$BACKBONE" --save-dir "$IMAGENET"
  start=(--restore-from "$IMAGENET/$BACKBONE.ckpt" --not-restore-classifier)
fi
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/pyscripts/study/study.py" --out-dir "$OUT" --data-dir "$DATA_DIR" --train-list "$LISTS/train.txt" \
  --val-list "$LISTS/val.txt" ${TEST:+--test-list "$LISTS/test.txt"} --methods "${METHODS:-baseline,affinity,aaf}" \
  --seeds "$SEEDS" --thin-classes pole,signsymbol,fence,pedestrian,bicyclist \
  --predict "--input-size $WINDOW --strides $WINDOW" ${variants[@]+"${variants[@]/#/--variant=}"} "$@" -- "${training[@]}" \
  ${start[@]+"${start[@]}"} --num-steps "$STEPS" --val-every "${VAL_EVERY:-$((STEPS / 9 + 1))}" $RECIPE $TRAIN_FLAGS
