#!/usr/bin/env bash
# PSPNet on VOC 2012, one GPU. To reach: the paper's 80.12 % mIoU. More: values.sh
: "${TRAIN:=train}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
