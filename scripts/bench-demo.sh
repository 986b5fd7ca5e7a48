#!/usr/bin/env bash
# From a fresh clone to the first table of `make demo`, in seconds: what somebody waits for who tries zerohop and
# wants to see where requests went. The clone has no target/ and no .tools/; crates come from the user's own cache
# where they are there. Writes operating.demo_cold_s to the file that is named, and beside it the time to the end.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
file=${1:-target/bench/operating.json}

mkdir -p "$(dirname "$file")" target
clone=$(mktemp -d target/demo-cold.XXXXXX)
trap 'rm -rf "$clone"' EXIT
git clone --quiet --no-hardlinks . "$clone"

start=$(date +%s.%N)
env -u CARGO_TARGET_DIR make -C "$clone" demo >"$clone.log" 2>&1 &
demo=$!
until grep -qE '^ +[0-9]+ requests, ' "$clone.log" || ! kill -0 "$demo" 2>/dev/null; do
    sleep 0.2
done
shown=$(date +%s.%N)
wait "$demo" || {
    tail -n 40 "$clone.log" >&2
    exit 1
}
end=$(date +%s.%N)
rm -f "$clone.log"

export PATH="$PATH:${ZEROHOP_TOOLS:-.tools}/node/bin"
scripts/get-node.sh >/dev/null
node --input-type=module -e '
import { add } from "./scripts/figures.mjs";
const [file, start, shown, end] = process.argv.slice(1);
const seconds = (moment) => Number((moment - start).toFixed(1));
add(file, [
  { id: "operating.demo_cold_s", value: seconds(shown), unit: "s", goal: 300 },
  { id: "operating.demo_cold_s.whole", value: seconds(end), unit: "s" },
]);
' "$file" "$start" "$shown" "$end"
