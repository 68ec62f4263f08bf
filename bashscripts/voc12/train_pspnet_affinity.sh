#!/usr/bin/env bash
# PSPNet with the affinity loss on VOC 2012, one GPU. To reach: the paper's 81.80 % mIoU. More: values.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train_affinity}"
. "$root/bashscripts/voc12/values.sh"
. "$root/bashscripts/pipeline.sh"
