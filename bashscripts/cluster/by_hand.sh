#!/usr/bin/env bash
# A recipe on several machines, started by hand: run this on each of them, with its place in the list (0 first) and the
# same list of machines, each with a free port. The first machine also predicts and scores. On two machines a and b:
#   a$ bash bashscripts/cluster/by_hand.sh 0 a:2222 b:2222
#   b$ bash bashscripts/cluster/by_hand.sh 1 a:2222 b:2222
# RECIPE names another recipe; its values come from the environment as ever. NUM_GPU counts one machine's GPUs,
# BATCH_SIZE all machines' images. Data and SNAPSHOT_DIR must have the same paths on all machines (a shared disk): a
# second stage starts everywhere from what the first machine saved.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

: "${RECIPE:=$root/bashscripts/voc12/train_pspnet_aaf_mgpu.sh}"

case "${1:-}" in
  '' | *[!0-9]*) echo "usage: bash $0 PLACE HOST:PORT HOST:PORT... (PLACE counts from 0)" >&2 && exit 2 ;;
esac
place="$1"
shift
[ "$place" -lt "$#" ] || { echo "error: place $place, but $# machines; places count from 0" >&2 && exit 2; }

workers="$(printf '"%s", ' "$@")"
export TF_CONFIG='{"cluster": {"worker": ['"${workers%, }"']}, "task": {"type": "worker", "index": '"$place"'}}'
[ -z "${DRY_RUN:-}" ] || echo "TF_CONFIG='$TF_CONFIG'"
PARTS=train bash "$RECIPE"

unset TF_CONFIG
[ "$place" -gt 0 ] || PARTS='predict score' bash "$RECIPE"
