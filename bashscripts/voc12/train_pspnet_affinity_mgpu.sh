#!/usr/bin/env bash
# PSPNet with the affinity loss on VOC 2012, four GPUs. To reach: the paper's 81.80 % mIoU. More: values.sh
: "${TRAIN:=train_affinity_mgpu}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
