#!/usr/bin/env bash
# PSPNet with the adaptive affinity loss on Cityscapes, four GPUs. To reach: the paper's 79.24 % mIoU. More: values.sh
: "${TRAIN:=train_aaf_mgpu}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
