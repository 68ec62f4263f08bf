# shellcheck shell=bash
# The one command behind the studies: a study sets its values and sources this file last. Every value may come from the
# environment; METHODS, SEEDS, STEPS, CROP and BATCH_SIZE are the ones to think about. More flags for study.py may follow
# the script's name: `bash bashscripts/study/camvid.sh --test`, or variants of the methods, each a line of the table more:
#
#   --variant 'half=aaf --kld-lambda-1 0.5 --kld-lambda-2 0.5'    other lambdas
#   --variant 'steady=aaf --kld-decay 1'                          no decay over the run
#   --variant 'margin-1=aaf --kld-margin 1'
#   --variant 'uniform=affinity --kld-sizes 1,2,3 --kld-lambda-1 0.333333 --kld-lambda-2 0.333333'
#
# The last is the adaptive loss with its weights held at a third each, which is where they start. At one size the
# adaptive weights are 1, so that `aaf --kld-sizes 1` is the affinity loss.
#
# START_STEPS above 0 makes a start for all runs in place of ImageNet's weights: so many steps of cross-entropy with
# START_RATE, once, from initial weights. The methods then go on from a network that has converged.

: "${MODEL:=pspnet}"
: "${BACKBONE:=resnet_v1_14}"
: "${IGNORE_LABEL:=255}"
: "${METHODS:=baseline,affinity,aaf}"
: "${PRECISION:=$(bash "$root/bashscripts/precision.sh")}"
: "${ITER_SIZE:=1}"
: "${STRIDES:=}"        # of the windows; empty: two thirds of the crop
: "${VAL_EVERY:=$((STEPS / 5 + 1))}" # steps between validations, for the curves; the last step is validated always
: "${CURVE_EVERY:=1}"   # these validations take every so many-th image of the validation list
: "${SAVE_EVERY:=250}"  # steps between checkpoints, which a stopped run goes on from
: "${TRAIN_FLAGS:=}"    # more flags for every training, for example '--clip-norm 10'
: "${TEST_LIST:=}"
: "${CLASS_NAMES:=}"
: "${NUM_IMAGES:=4}"
: "${RESTORE_FROM:=}"     # what every run starts from; empty: initial weights
: "${START_STEPS:=0}"
: "${START_RATE:=$LEARNING_RATE}"

# shellcheck disable=SC2154  # the study that sources this sets root
study="$root/pyscripts/study/study.py"
flags=()
[ -z "$TEST_LIST" ] || flags+=(--test-list "$TEST_LIST")
[ -z "$CLASS_NAMES" ] || flags+=(--class-names "$CLASS_NAMES")
[ -z "${WINDOW:-}" ] || flags+=(--window "$WINDOW")
[ -z "$STRIDES" ] || flags+=(--strides "$STRIDES")

curve_list="$VAL_LIST"
if [ "$CURVE_EVERY" != 1 ]; then
  mkdir -p "$OUT"
  curve_list="$OUT/curve.txt"
  awk "NR % $CURVE_EVERY == 1" "$VAL_LIST" >"$curve_list"
  flags+=(--curve-list "$curve_list")
fi

training=(--model "$MODEL" --backbone "$BACKBONE" --num-classes "$NUM_CLASSES" --ignore-label "$IGNORE_LABEL"
  --batch-size "$BATCH_SIZE" --iter-size "$ITER_SIZE" --input-size "$CROP" --batch-norm-decay "$BATCH_NORM_DECAY"
  --precision "$PRECISION" --random-mirror --random-scale --random-crop --keep 1 --save-pred-every "$SAVE_EVERY")

run_study() {
  # shellcheck disable=SC2086  # several flags in one value
  "$PYTHON" "$study" --out-dir "$OUT" --data-dir "$DATA_DIR" \
    --train-list "$TRAIN_LIST" --val-list "$VAL_LIST" --thin-classes "$THIN_CLASSES" --title "$TITLE" \
    --methods "$METHODS" --seeds "$SEEDS" --num-images "$NUM_IMAGES" ${flags[@]+"${flags[@]}"} "$@" -- \
    "${training[@]}" ${start:+--restore-from "$start"} --num-steps "$STEPS" --learning-rate "$LEARNING_RATE" \
    --val-every "$VAL_EVERY" --update-tb-every "$STEPS" $TRAIN_FLAGS
}

start="$RESTORE_FROM"
if [ "$START_STEPS" != 0 ]; then
  start="$OUT/start/model.ckpt-$((START_STEPS - 1))"
  # shellcheck disable=SC2206  # several flags in one value
  start_flags=(--data-dir "$DATA_DIR" --data-list "$TRAIN_LIST" --val-list "$curve_list" "${training[@]}"
    --num-steps "$START_STEPS" --learning-rate "$START_RATE" --val-every "$((START_STEPS / 6 + 1))"
    --snapshot-dir "$OUT/start" --resume $TRAIN_FLAGS)
  case " $* " in
    *" --dry-run "*) echo "python pyscripts/train/train.py$(printf ' %q' "${start_flags[@]}")" ;;
    *" --report-only "* | *" --help "* | *" -h "*) ;;
    *)
      if [ ! -e "$start.index" ]; then
        run_study "$@" --dry-run >/dev/null # refuses wrong flags of the study before the start is trained
        "$PYTHON" "$root/pyscripts/train/train.py" "${start_flags[@]}"
      fi
      ;;
  esac
fi

run_study "$@"
