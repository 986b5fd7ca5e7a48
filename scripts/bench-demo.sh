#!/usr/bin/env bash
# From a fresh clone to the end of `make demo`, in seconds: what somebody waits for who tries zerohop. The clone has
# no target/ and no .tools/; crates come from the user's own cache where they are there. Writes
# operating.demo_cold_s to the file that is named.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
file=${1:-target/bench/operating.json}
goal=300

mkdir -p "$(dirname "$file")" target
clone=$(mktemp -d target/demo-cold.XXXXXX)
trap 'rm -rf "$clone"' EXIT
git clone --quiet --no-hardlinks . "$clone"

start=$(date +%s.%N)
env -u CARGO_TARGET_DIR make -C "$clone" demo >"$clone.log" 2>&1 || {
    tail -n 40 "$clone.log" >&2
    exit 1
}
end=$(date +%s.%N)
rm -f "$clone.log"

python3 - "$file" "$start" "$end" "$goal" <<'PYTHON'
import json
import pathlib
import sys

path, start, end, goal = pathlib.Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
figure = {"id": "operating.demo_cold_s", "value": round(end - start, 1), "unit": "s", "goal": goal, "better": "lower"}
try:
    figures = json.loads(path.read_text())["figures"]
except (OSError, ValueError, KeyError):
    figures = []
figures = [old for old in figures if old["id"] != figure["id"]] + [figure]
path.write_text(json.dumps({"bench": "operating", "figures": figures}) + "\n")
verdict = "" if figure["value"] <= goal else "  MISSED"
print(f"{figure['id']:<50} {figure['value']:>8} s, goal {goal:.0f}{verdict}")
PYTHON
