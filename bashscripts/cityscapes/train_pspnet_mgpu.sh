#!/usr/bin/env bash
# PSPNet on Cityscapes, four GPUs. To reach: the paper's 76.72 % mIoU. More: values.sh
: "${TRAIN:=train_mgpu}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
