#!/usr/bin/env bash
# Does the affinity loss help on CamVid? Every method with every seed, sized for a CPU: a 14-layer FCN-8s is trained with
# cross-entropy until it has converged, in place of ImageNet's weights, and from there with every method; about two hours
# on two cores with AVX512-BF16. Give CamVid's folder (train, trainannot, ... in SegNet's layout):
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid.sh          # trains, scores on the validation list
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid.sh --test   # scores the test list too, once all is decided
# Every method from initial weights, an hour: START_STEPS=0 STEPS=1000 LEARNING_RATE=3e-3 OUT=... bash ...
# Values can be set from the environment; more of them: camvid_data.sh, study.sh. Stopped, it goes on when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${OUT:=$root/snapshots/camvid/study}"
: "${MODEL:=fcn8s}" # a step takes a third of PSPNet's
: "${START_STEPS:=6000}" # of cross-entropy, 65 epochs, which all runs start from
: "${START_RATE:=3e-3}"
: "${STEPS:=1500}"
: "${SEEDS:=1,2,3,4,5}"
: "${CROP:=192,192}"
: "${BATCH_SIZE:=4}"
: "${LEARNING_RATE:=1e-3}"
: "${BATCH_NORM_DECAY:=0.97}" # so short a run: averages that keep up with it
: "${WINDOW:=360,480}" # the whole image
: "${STRIDES:=360,480}"
: "${CURVE_EVERY:=5}"
: "${TITLE:=Does the affinity loss help? CamVid}"

. "$root/bashscripts/study/camvid_data.sh"
. "$root/bashscripts/study/study.sh"
