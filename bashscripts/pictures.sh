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
data="$(cd "$DEMO/VOCdevkit" && pwd)"
seed="$(find "$(cd "$STUDY" && pwd)" -maxdepth 1 -name 'seed-*' | sort | head -n 1)"
methods=(baseline affinity aaf)
folders=()
for method in "${methods[@]}"; do
  folders+=("$(find "$seed" -maxdepth 1 -name "$method-*" | head -n 1)")
done
last="$(find "${folders[2]}" -name 'model.ckpt-*.index' | sort -V | tail -n 1)"
"$PYTHON" "$root/pyscripts/export/plot_edge_weights.py" "${last%.index}" "$OUT/edge_weights.png" --names "$DEMO/classes.txt"
"$PYTHON" "$root/pyscripts/benchmark/report.py" --title "Demo scenes" --name "${methods[@]}" \
  --pred-dir "${folders[@]/%//val/gray}" --data-dir "$data" --data-list "$DEMO/val.txt" --out "$STUDY/report.html"

photo="$(mktemp -d)"
trap 'rm -rf "$photo"' EXIT
photograph() { # page, picture, size
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$photo/profile" \
    --virtual-time-budget=3000 --window-size="$3" --screenshot="$photo/$2" "file://$1" 2>"$photo/log" ||
    { cat "$photo/log" >&2 && exit 1; }
  mv "$photo/$2" "$OUT/$2"
}
photograph "$(realpath "$STUDY/report.html")" report.png 1240,2545

# Four scenes, spread evenly over the list: nobody picked them.
cell() { echo "<td><img src='file://$1'></td>"; }
{
  echo '<style>body{margin:0;font:14px sans-serif}table{border-spacing:4px 2px}img{width:288px;image-rendering:pixelated}</style>'
  echo "<table><tr><td>image<td>truth$(printf '<td>%s' "${methods[@]}")</tr>"
  awk '{ all[NR] = $0 } END { for (i = 1; i < 8; i += 2) print all[int(i * NR / 8) + 1] }' "$DEMO/val.txt" |
    while read -r image truth; do
      echo "<tr>$(cell "$data/$image")$(cell "$data/$truth")"
      for folder in "${folders[@]}"; do cell "$folder/val/color/$(basename "$truth")"; done
    done
} >"$photo/page.html"
photograph "$photo/page.html" predictions.png 1464,1192
echo "drawn: $OUT/predictions.png $OUT/report.png $OUT/edge_weights.png"
