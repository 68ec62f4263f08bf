#!/usr/bin/env bash
# PSPNet with the adaptive affinity loss on VOC 2012, one GPU. To reach: the paper's 82.39 % mIoU. More: values.sh
: "${TRAIN:=train_aaf}"
. "$(dirname "${BASH_SOURCE[0]}")/values.sh"
. "$root/bashscripts/pipeline.sh"
