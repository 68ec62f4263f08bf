#!/usr/bin/env bash
# Which settings of the affinity losses are best, from ImageNet weights on CamVid? Lambdas, decay, the rate of the learned
# weights and distances, on the validation list alone. Give CamVid's folder (train, trainannot, ... in SegNet's layout):
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_settings.sh            # logits at stride 4: DeepLabv3+
#   DATA_DIR=data/CamVid bash bashscripts/study/camvid_settings.sh stride-8   # FCN-8s, 1,000 steps
# At stride 4 four methods are those of camvid_imagenet.sh: '--add ITS_OUT/study.json' does not train them again.
# Values can be set from the environment; more of them: imagenet.sh, study.sh. Stopped, it goes on when started again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

stride="stride-4"
case "${1:-}" in
  stride-*)
    stride="$1"
    shift
    ;;
esac
case "$stride" in
  stride-4) ;;
  stride-8)
    : "${MODEL:=fcn8s}"
    : "${STEPS:=1000}"
    ;;
  *)
    echo "error: $stride is neither stride-4 nor stride-8; give one of them, or none" >&2
    exit 2
    ;;
esac
: "${OUT:=$root/snapshots/camvid/settings-$stride}"
: "${SEEDS:=1,2}"
: "${TITLE:=Settings of the affinity losses at $stride, CamVid}"

set -- \
  --variant 'aaf-double=aaf --kld-lambda-1 2 --kld-lambda-2 2' \
  --variant 'aaf-fourfold=aaf --kld-lambda-1 4 --kld-lambda-2 4' \
  --variant 'no-decay=aaf --kld-decay 1' \
  --variant 'weight-rate-10=aaf --kld-weight-rate 10' \
  --variant 'sizes-1-2-4=aaf --kld-sizes 1,2,4' \
  "$@"
. "$root/bashscripts/study/imagenet.sh"
