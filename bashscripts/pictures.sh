#!/usr/bin/env bash
# Makes the README's pictures: the demo's study first (three methods, some ten minutes; what it has is kept), then from its
# first seed the predictions side by side, a report of them, and the weights that the adaptive loss learned. The report
# is photographed by Chromium, which must be there. Values can be set from the environment: OUT, and study/demo.sh's.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

: "${DEMO:=$root/demo}"
: "${STUDY:=$DEMO/study}"
: "${OUT:=$root/misc/pictures}"

browser=""
for name in chromium chromium-browser google-chrome chrome; do
  browser="${browser:-$(command -v "$name" || true)}"
done
[ -n "$browser" ] || { echo "error: no Chromium on PATH; install it (for example: apt install chromium)" >&2; exit 2; }

DEMO="$DEMO" OUT="$STUDY" bash "$root/bashscripts/study/demo.sh"
PYTHON="$(bash "$root/bashscripts/setup.sh")"
mkdir -p "$OUT"
seed="$(find "$STUDY" -maxdepth 1 -name 'seed-*' | sort | head -n 1)"
last="$(find "$seed/aaf" -name 'model.ckpt-*.index' | sort -V | tail -n 1)"

cp "$STUDY/study.png" "$OUT/predictions.png"
"$PYTHON" "$root/pyscripts/export/plot_edge_weights.py" "${last%.index}" "$OUT/edge_weights.png" --names "$DEMO/classes.txt"
"$PYTHON" "$root/pyscripts/benchmark/report.py" --title "Demo scenes" --name baseline affinity aaf \
  --pred-dir "$seed/baseline/val/gray" "$seed/affinity/val/gray" "$seed/aaf/val/gray" \
  --gt-dir "$DEMO/VOCdevkit/VOC2012/segcls" --image-dir "$DEMO/VOCdevkit/VOC2012/JPEGImages" \
  --num-classes "$(grep -c . "$DEMO/classes.txt")" --class-names "$DEMO/classes.txt" --out "$STUDY/report.html"
photo="$(mktemp -d)"
trap 'rm -rf "$photo"' EXIT
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$photo/profile" \
  --virtual-time-budget=3000 --window-size=1240,2500 --screenshot="$photo/report.png" "file://$(realpath "$STUDY/report.html")" \
  2>"$photo/log" || { cat "$photo/log" >&2; exit 1; }
mv "$photo/report.png" "$OUT/report.png"
echo "drawn: $OUT/predictions.png $OUT/report.png $OUT/edge_weights.png"
