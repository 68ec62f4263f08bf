#!/usr/bin/env bash
# PSPNet on VOC 2012, four GPUs. To reach: the paper's 80.12 % mIoU. More: values.sh
: "${TRAIN:=train_mgpu}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
