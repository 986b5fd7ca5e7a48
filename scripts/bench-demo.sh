#!/usr/bin/env bash
# From a fresh clone to the end of `make demo`, in seconds: what somebody waits for who tries zerohop. The clone has
# no target/ and no .tools/; crates come from the user's own cache where they are there. Writes
# operating.demo_cold_s to the file that is named.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
file=${1:-target/bench/operating.json}

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

export PATH="$PATH:${ZEROHOP_TOOLS:-.tools}/node/bin"
scripts/get-node.sh >/dev/null
node --input-type=module -e '
import { add } from "./scripts/figures.mjs";
const [file, start, end] = process.argv.slice(1);
const value = Number((end - start).toFixed(1));
add(file, [{ id: "operating.demo_cold_s", value, unit: "s", goal: 300 }]);
' "$file" "$start" "$end"
