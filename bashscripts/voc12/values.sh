# shellcheck shell=bash
# What every VOC 2012 recipe shares. The data: `python dataset/prepare_voc12.py --help`.

: "${DATAROOT:=$root/data}" # holds VOCdevkit
: "${DATA_DIR:=$DATAROOT/VOCdevkit}"
: "${NUM_CLASSES:=21}"
: "${RESTORE_FROM=$root/snapshots/imagenet/resnet_v1_101.ckpt}"

: "${STAGE1_LIST:=$root/dataset/voc12/train+.txt}"
: "${STAGE1_STEPS:=30000}"
: "${STAGE1_LEARNING_RATE:=1e-3}"
: "${STAGE1_PREDICT:=inference}"

: "${STAGE2_LIST=$root/dataset/voc12/train.txt}" # set but empty: no second stage
: "${STAGE2_STEPS:=30000}"
: "${STAGE2_LEARNING_RATE:=1e-4}"
: "${STAGE2_PREDICT:=inference_msc}"

: "${PREDICT_LIST:=$root/dataset/voc12/val.txt}"
: "${WINDOW:=480,480}"
: "${STRIDES:=320,320}"
: "${GT_DIR:=$DATA_DIR/VOC2012/segcls}"
: "${INST_DIR=$DATA_DIR/VOC2012/seginst}"
