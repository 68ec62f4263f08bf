#!/usr/bin/env bash
# Does the affinity loss help on CamVid, and what do its settings and other losses do? Sized for a CPU: some hours on two
# cores; sets the project up first (see ../setup.sh) unless PYTHON is given. Give CamVid's folder (train, trainannot, ...
# in SegNet's layout) and a question:
#   export DATA_DIR=data/CamVid
#   bash bashscripts/study/camvid.sh losses      # finetune.sh's network and recipe; Lovasz-softmax, RMI, no decay
#   bash bashscripts/study/camvid.sh recipe      # finetune.sh's network and recipe with one change each: which pays?
#   bash bashscripts/study/camvid.sh settings    # FCN-8s on the same backbone: lambdas, decay, rate and distances
#   bash bashscripts/study/camvid.sh converged   # FCN-8s on a ResNet that cross-entropy trained before
#   bash bashscripts/study/camvid.sh scratch     # the same network from random weights
# TEST=1 scores the test list too, once all is decided. Stopped, it goes on when started again. Values can be set from
# the environment; flags of study.py may follow the question, for example --variant 'half=aaf --kld-lambda-1 0.5'.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${DATA_DIR:=$root/data/CamVid}"
: "${LISTS:=$root/dataset/camvid}" # where the lists are written
: "${IMAGENET:=$root/snapshots/imagenet}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${BACKBONE:=efficientnet_lite0}"
: "${CURVE_EVERY:=4}" # while training, every n-th image of the validation list
: "${TRAIN_FLAGS:=}"  # more flags for every training

question="${1:-}"
[ $# = 0 ] || shift
more_backbones='' adamw='--optimizer adamw --weight-decay 1e-2 --batch-norm-decay 0.99'
case "$question" in
  losses) # about 20 minutes per run
    : "${SEEDS:=1,2,3,4,5}" "${STEPS:=1100}" "${CROP:=320,320}" "${RECIPE:=$adamw --learning-rate 1e-3}"
    variants=('lovasz=baseline --extra-loss lovasz' 'rmi=baseline --extra-loss rmi' 'no-decay=aaf --kld-decay 1')
    ;;
  recipe) # about 12 minutes per run on one core
    : "${SEEDS:=1}" "${STEPS:=600}" "${CROP:=320,320}" "${RECIPE:=$adamw --learning-rate 1e-3}" "${METHODS:=baseline,aaf}"
    : "${VAL_EVERY:=$STEPS}"
    recipe='aaf --kld-lambda-1 2 --kld-lambda-2 2' more_backbones=efficientnet_lite2
    lite2="--backbone efficientnet_lite2 --restore-from $(printf %q "$IMAGENET/efficientnet_lite2.ckpt") --not-restore-classifier"
    variants=("recipe=$recipe" "lovasz=$recipe --extra-loss lovasz" "no-decay=$recipe --kld-decay 1"
      "cosine=$recipe --schedule cosine --warmup-steps 50" "ema=$recipe --ema-decay 0.99"
      "frozen=$recipe --use-global-status" "auxiliary=$recipe --aux-weight 0.4"
      "batch-8=$recipe --batch-size 8 --num-steps $((STEPS / 2)) --learning-rate 2e-3"
      "class-weights=$recipe --class-weights median" "balanced=$recipe --crop-max-share 0.75" "lite2=$recipe $lite2"
      "recipe-917=$recipe --num-steps 917" "lovasz-917=$recipe --extra-loss lovasz --num-steps 917"
      "images-92=$recipe --data-list $(printf %q "$LISTS/train92.txt")")
    ;;
  settings)
    : "${MODEL:=fcn8s}" "${STEPS:=1000}" "${SEEDS:=1,2}" "${CROP:=224,224}"
    : "${RECIPE:=$adamw --scale-range 0.75,1.5 --learning-rate 5e-4}"
    variants=('aaf-double=aaf --kld-lambda-1 2 --kld-lambda-2 2' 'aaf-fourfold=aaf --kld-lambda-1 4 --kld-lambda-2 4'
      'no-decay=aaf --kld-decay 1' 'weight-rate-10=aaf --kld-weight-rate 10' 'sizes-1-2-4=aaf --kld-sizes 1,2,4')
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
    echo "error: '$question' is no question; give losses, recipe, settings, converged or scratch" >&2
    exit 2
    ;;
esac
: "${OUT:=$root/snapshots/camvid/$question}" "${WINDOW:=368,480}"
[ -d "$DATA_DIR" ] || { echo "error: DATA_DIR=$DATA_DIR is not a folder; give CamVid's" >&2 && exit 2; }
[ -n "${PYTHON:-}" ] || PYTHON="$(bash "$root/bashscripts/setup.sh")"

mkdir -p "$OUT"
"$PYTHON" "$root/dataset/prepare_camvid.py" --data-dir "$DATA_DIR" --list-dir "$LISTS"
awk "NR % $CURVE_EVERY == 1 || $CURVE_EVERY == 1" "$LISTS/val.txt" >"$OUT/curve.txt"
[ "$question" != recipe ] || awk 'NR % 4 == 1' "$LISTS/train.txt" >"$LISTS/train92.txt" # beside its classes.csv
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
  more_backbones+=" $BACKBONE"
  start=(--restore-from "$IMAGENET/$BACKBONE.ckpt" --not-restore-classifier)
fi
for backbone in $more_backbones; do
  "$PYTHON" "$root/dataset/fetch_${backbone%%_*}.py" --backbone "$backbone" --save-dir "$IMAGENET"
done
# shellcheck disable=SC2086  # several flags in one value
"$PYTHON" "$root/pyscripts/study/study.py" --out-dir "$OUT" --data-dir "$DATA_DIR" --train-list "$LISTS/train.txt" \
  --val-list "$LISTS/val.txt" ${TEST:+--test-list "$LISTS/test.txt"} --methods "${METHODS:-baseline,affinity,aaf}" \
  --seeds "$SEEDS" --thin-classes pole,signsymbol,fence,pedestrian,bicyclist \
  --predict "--input-size $WINDOW --strides $WINDOW" ${variants[@]+"${variants[@]/#/--variant=}"} "$@" -- "${training[@]}" \
  ${start[@]+"${start[@]}"} --num-steps "$STEPS" --val-every "${VAL_EVERY:-$((STEPS / 9 + 1))}" $RECIPE $TRAIN_FLAGS
