#!/usr/bin/env bash
# PSPNet with the affinity loss on Cityscapes, four GPUs. To reach: the paper's 78.72 % mIoU. More: values.sh
: "${TRAIN:=train_affinity_mgpu}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
