#!/usr/bin/env bash
# Does the affinity loss help a network that starts from ImageNet, and against which rivals? DeepLabv3+ on
# EfficientNet-Lite0, CamVid: cross-entropy alone, with the affinity losses, and with the losses that a researcher would
# take instead, each with weight 1. Give CamVid's folder (train, trainannot, ... in SegNet's layout):
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_imagenet.sh          # trains, scores on the validation list
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_imagenet.sh --test   # scores the test list too, once all is decided
# On two cores, two runs at a time are faster than one after the other: start the command twice at once, with
#   export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1
# Values can be set from the environment; more of them: imagenet.sh, study.sh. Stopped, it goes on when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${OUT:=$root/snapshots/camvid/imagenet}"
: "${SEEDS:=1,2,3,4,5}"
: "${VARIANT_SEEDS:=1,2,3}"
: "${TITLE:=From ImageNet weights: the affinity losses and their rivals on CamVid}"

set -- --variant-seeds "$VARIANT_SEEDS" \
  --variant 'lovasz=baseline --extra-loss lovasz' \
  --variant 'rmi=baseline --extra-loss rmi' \
  --variant 'abl=baseline --extra-loss abl' \
  --variant 'aaf-double=aaf --kld-lambda-1 2 --kld-lambda-2 2' \
  "$@"
. "$root/bashscripts/study/imagenet.sh"
