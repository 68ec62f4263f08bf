#!/usr/bin/env bash
# PSPNet on VOC 2012, one GPU. To reach: the paper's 80.12 % mIoU. More: values.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${TRAIN:=train}"
. "$root/bashscripts/voc12/values.sh"
. "$root/bashscripts/pipeline.sh"
