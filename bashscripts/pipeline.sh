# shellcheck shell=bash
# The one pipeline behind every recipe: for each stage train, predict, score. A recipe sets the values and sources this
# file last; one with STAGES_LATER=1 calls run_stages itself. Every value may come from the environment; those that a
# recipe need not set stand below.
#
#   DRY_RUN=1 bash bashscripts/voc12/train_pspnet_aaf.sh              prints the commands and runs none
#   NUM_GPU=8 BATCH_SIZE=16 bash bashscripts/voc12/train_pspnet_mgpu.sh
#   TRAIN_FLAGS='--clip-norm 10' bash ...                             more flags for training (or PREDICT_FLAGS)
#   PARTS=train bash ...                                              some of train, predict, score
#
# Stage N is described by STAGEn_LIST, _STEPS, _LEARNING_RATE and _PREDICT (the script that predicts), starts from stage
# N - 1's last checkpoint, and lives in SNAPSHOT_DIR/stageN: checkpoints, and for a list val.txt pictures and scores in
# results/val/{gray,color,*.txt}.
# The first failure stops everything. Started again, training resumes, and commands that were completed with the same
# words, lists and checkpoints are passed over; so a job that was cut off can simply be queued again.

if [ -z "${PYTHON:-}" ]; then # the project's environment, else the one that is active
  PYTHON="${root:?}/.venv/bin/python"
  [ -x "$PYTHON" ] || PYTHON=python3
  [ -n "${DRY_RUN:-}" ] || "$PYTHON" -c 'import numpy, PIL, scipy' 2>/dev/null || {
    echo "error: $PYTHON lacks the packages of requirements.txt; run: bash bashscripts/setup.sh, or set PYTHON" >&2
    exit 2
  }
fi
: "${PARTS:=train predict score}"
: "${MODEL:=pspnet}"
: "${BACKBONE:=resnet_v1_101}"
: "${NUM_GPU:=}"                # for the *_mgpu scripts
: "${ITER_SIZE:=1}"
: "${WEIGHT_DECAY:=5e-4}"
: "${KLD_MARGIN:=3.0}"
: "${KLD_LAMBDA_1:=1.0}"
: "${KLD_LAMBDA_2:=1.0}"
: "${IGNORE_LABEL:=255}"
: "${RANDOM_SEED:=1234}"
: "${UPDATE_TB_EVERY:=50}"
: "${SAVE_EVERY:=}"             # empty: once, after the stage's last step
: "${VAL_LIST:=}"               # to validate on while training; empty: no validation
: "${RESTORE_FROM:=}"           # what stage 1 starts from; empty: the initial weights
: "${CHECKPOINT:=}"             # predict with this one instead of the stage's own
: "${STRING_REPLACE:=,}"        # from a prediction's file name to its truth's
: "${INST_DIR:=}"               # empty: no instance-wise score
: "${INST_STRING_REPLACE:=$STRING_REPLACE}"
: "${WINDOW:=}"                 # of prediction; empty: the training crop
: "${STRIDES:=}"                # of the windows; empty: those of validation
: "${PRECISION:=float32}"
: "${TRAIN_FLAGS:=}"
: "${PREDICT_FLAGS:=}"

# The command as one line that a shell reads back, with no more quoting than it needs.
in_words() {
  local word line=''
  for word in "$@"; do
    case "$word" in '' | *[!A-Za-z0-9_./,:=+@%-]*) word="$(printf '%q' "$word")" ;; esac
    line="$line $word"
  done
  echo "${line# }"
}

# Runs a command, and says so before; only says it in a dry run.
run() {
  [ -z "${DRY_RUN:-}" ] || { in_words "$@" && return; }
  echo "# $(in_words "$@")"
  "$@"
}

# A checksum of the files among the words: lists, with the sizes of what they name, tables, settings and checkpoints.
contents() {
  local word
  for word in "$@"; do
    case "$word" in
      *.txt) cat "$word" && words_of "$word" | (cd "$DATA_DIR" && LC_ALL=C xargs -0 wc -c | grep -v ' total$') ;;
      *.csv | *.json | *.yaml | *.yml | *.array_record) cksum "$word" ;;
      *.ckpt*) cat "$word.index" || cksum "$word" ;;
    esac 2>/dev/null || true
  done | cksum
}

# The names that the lines of a list may hold, each ended by a zero byte: a line is parted at a tab, or at any space.
words_of() {
  awk 'function put(name) { if (name ~ /^\//) print name; print "./" name }
    { sub(/\r$/, ""); put($0)
      for (i = 1; i < length($0); i++)
        if (substr($0, i, 1) ~ /[ \t]/) { put(substr($0, 1, i - 1)); put(substr($0, i + 1)) } }' "$1" | tr '\n' '\0'
}

steps_of() { sed -n 's/.*--num-steps \([0-9]*\) .*/\1/p' <<<"$1"; }

# Runs a command and notes in the file $1 that it was completed; passes over one that was, with the same lists, images,
# labels and checkpoints. A training that was completed with others would not train again: it is refused.
once() {
  local done_file="$1" dir words before note
  dir="$(dirname "$1")"
  shift
  [ -z "${DRY_RUN:-}" ] || { run "$@" && return; }
  words="$(in_words "$@") # $(contents "$@")"
  before="$(cat "$done_file" 2>/dev/null || true)"
  if [ "$before" = "$words" ] || [ "$before" = "${words% \# *}" ]; then # earlier versions noted the words alone
    echo "# completed before: ${words% \# *}"
    return
  fi
  if [ "$(basename "$done_file")" = train.done ]; then
    if [ "$before" != "${before% \# *}" ] && [ "${before##* \# }" != "${words##* \# }" ] &&
      [ "$(steps_of "$before")" = "$(steps_of "$words")" ]; then
      echo "error: $dir was trained to its end with other lists, images, labels, tables or checkpoint; set another" \
        "SNAPSHOT_DIR, or remove that folder" >&2
      exit 2
    fi
    for note in "$dir"/results/*/predict.done; do [ ! -e "$note" ] || echo 'of other weights' >"$note"; done
  else
    rm -f "$done_file"
    case " $* " in # of pictures that are there, none may be left that other words made
      *' --shard '*) ;;
      *' --skip-existing '*) [ -z "$before" ] || rm -rf "$dir/gray" ;;
    esac
  fi
  run "$@"
  mkdir -p "$dir"
  echo "$words" >"$done_file"
}

# train DIR LIST STEPS LEARNING_RATE RESTORE_FROM [MORE...]: steps 0 to STEPS, so that the last is a round number.
train() {
  local dir="$1" list="$2" steps="$3" learning_rate="$4" restore_from="$5" flags=()
  shift 5
  case "$TRAIN" in *_mgpu) flags+=(--num-gpu "$NUM_GPU") ;; esac
  case "$TRAIN" in
    *affinity* | *aaf*)
      flags+=(--kld-margin "$KLD_MARGIN" --kld-lambda-1 "$KLD_LAMBDA_1" --kld-lambda-2 "$KLD_LAMBDA_2")
      ;;
  esac
  [ -z "$restore_from" ] || flags+=(--restore-from "$restore_from" "$@")
  [ -z "$VAL_LIST" ] || flags+=(--val-list "$VAL_LIST")
  [ "$PRECISION" = float32 ] || flags+=(--precision "$PRECISION")
  # shellcheck disable=SC2206  # several flags in one value
  flags+=($TRAIN_FLAGS)
  once "$dir/train.done" "$PYTHON" "$root/pyscripts/train/$TRAIN.py" \
    --model "$MODEL" --backbone "$BACKBONE" --num-classes "$NUM_CLASSES" --ignore-label "$IGNORE_LABEL" \
    --data-dir "$DATA_DIR" --data-list "$list" --snapshot-dir "$dir" --resume \
    --batch-size "$BATCH_SIZE" --input-size "$TRAIN_INPUT_SIZE" --iter-size "$ITER_SIZE" \
    --num-steps "$((steps + 1))" --save-pred-every "${SAVE_EVERY:-$steps}" --update-tb-every "$UPDATE_TB_EVERY" \
    --learning-rate "$learning_rate" --weight-decay "$WEIGHT_DECAY" --random-seed "$RANDOM_SEED" \
    --random-mirror --random-scale --random-crop --is-training ${flags[@]+"${flags[@]}"}
}

# predict RESULTS CHECKPOINT SCRIPT: the config beside the checkpoint says what network it is.
predict() {
  local results="$1" checkpoint="$2" script="$3" flags=()
  case "$script" in *_msc) flags+=(--flip-aug --scale-aug) ;; esac
  [ -z "$WINDOW" ] || flags+=(--input-size "$WINDOW")
  [ -z "$STRIDES" ] || flags+=(--strides "$STRIDES")
  # shellcheck disable=SC2206
  flags+=($PREDICT_FLAGS)
  once "$results/predict.done" "$PYTHON" "$root/pyscripts/inference/$script.py" \
    --data-dir "$DATA_DIR" --data-list "$PREDICT_LIST" --restore-from "$checkpoint" --save-dir "$results" \
    ${flags[@]+"${flags[@]}"}
}

# score RESULTS: both scores are printed, and kept beside the pictures.
score() {
  local kind kept flags=(--pred-dir "$1/gray" --data-list "$PREDICT_LIST" --string-replace "$STRING_REPLACE")
  if [ -n "${GT_DIR:-}" ]; then flags+=(--gt-dir "$GT_DIR"); else flags+=(--data-dir "$DATA_DIR"); fi
  [ "$IGNORE_LABEL" = 255 ] || flags+=(--ignore-label "$IGNORE_LABEL")
  for kind in mIoU ${INST_DIR:+instance}; do
    [ "$kind" = mIoU ] || flags+=(--inst-dir "$INST_DIR" --inst-string-replace "$INST_STRING_REPLACE")
    kept="$1/$kind.txt"
    [ -z "${DRY_RUN:-}" ] || kept=/dev/null
    run "$PYTHON" "$root/pyscripts/benchmark/benchmark_by_$kind.py" "${flags[@]}" | tee "$kept"
  done
}

# The last checkpoint of a training, in the folder $1: of a completed one the newest (--early-stop ends before step $2).
last_of() {
  local name=''
  ! grep -qs -- "--num-steps $(($2 + 1)) " "$1/train.done" || name="$(sed -n 's/^model_checkpoint_path: "\(.*\)"/\1/p' "$1/checkpoint")"
  echo "$1/${name:-model.ckpt-$2}"
}

run_stages() {
  local stage=1 dir results list steps rate script from="$RESTORE_FROM" part
  local more=(--not-restore-classifier) # ImageNet's classes are not ours
  while list="STAGE${stage}_LIST" && [ -n "${!list:-}" ]; do
    dir="$SNAPSHOT_DIR/stage$stage"
    results="$dir/results/$(basename "$PREDICT_LIST" .txt)"
    steps="STAGE${stage}_STEPS" rate="STAGE${stage}_LEARNING_RATE" script="STAGE${stage}_PREDICT"
    for part in $PARTS; do
      case "$part" in
        train) train "$dir" "${!list}" "${!steps}" "${!rate}" "$from" ${more[@]+"${more[@]}"} ;;
        predict) predict "$results" "${CHECKPOINT:-$(last_of "$dir" "${!steps}")}" "${!script}" ;;
        score) score "$results" ;;
        *) echo "error: PARTS=$PARTS holds '$part'; write some of: train predict score" >&2 && exit 2 ;;
      esac
    done
    from="$(last_of "$dir" "${!steps}")" more=()
    stage=$((stage + 1))
  done
}

[ -n "${STAGES_LATER:-}" ] || run_stages
