#!/usr/bin/env bash
# What the prefix index costs: the memory of 1 and of 8 workers' indexes of 100 endpoints with 30,000
# blocks each (native, Linux), and the time of noting and matching a prompt (in V8, which runs the
# filter in Envoy, and native). Writes target/bench/prefix.json.
#
#   scripts/bench-prefix.sh
#
# Goals are printed beside the figures. Exceeding a memory goal fails: memory does not depend on how
# busy the machine is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}
report=$root/target/bench/prefix.json
blocks=$((100 * 30000))

fail() {
    echo "bench-prefix.sh: $*" >&2
    exit 1
}

cd "$root"
"$here/get-node.sh" >/dev/null
export PATH="$PATH:$tools/node/bin"
if command -v rustup >/dev/null; then
    rustup target add wasm32-wasip1 >/dev/null 2>&1 || fail "rustup could not add wasm32-wasip1"
fi

figures="" over=0
# add ID VALUE UNIT [GOAL]
add() {
    local goal=${4:-} verdict=""
    if [ -n "$goal" ] && awk -v value="$2" -v goal="$goal" 'BEGIN { exit !(value > goal) }'; then
        verdict="  MISSED"
        over=1
    fi
    printf '  %-34s %10s  %8s %s%s\n' "$1" "$2" "${goal:--}" "$3" "$verdict"
    figures+="${figures:+,}
    {\"id\": \"$1\", \"value\": $2, \"unit\": \"$3\", ${goal:+\"goal\": $goal, }\"better\": \"lower\"}"
}
mib() { awk -v bytes="$1" 'BEGIN { printf "%.2f", bytes / 1048576 }'; }

printf '  %-34s %10s  %8s\n' figure measured goal
memory=$(cargo bench --quiet --locked -p picker --bench prefix_memory)
if [ -n "$memory" ]; then
    one=$(awk '$1 == 1 { print $2 }' <<<"$memory")
    eight=$(awk '$1 == 8 { print $2 }' <<<"$memory")
    add prefix.bytes_per_block "$(awk -v b="$eight" -v n="$blocks" 'BEGIN { printf "%.2f", b / 8 / n }')" B 32
    add prefix.mib.100x30k.1worker "$(mib "$one")" MiB
    add prefix.mib.100x30k.8workers "$(mib "$eight")" MiB 128
fi
times() { # times SUFFIX LINE
    read -r insert none all <<<"$2"
    add "prefix.us.insert_64_blocks.$1" "$insert" us
    add "prefix.us.match_100_endpoints_cold.$1" "$none" us
    add "prefix.us.match_100_endpoints_10_hold.$1" "$all" us
}
times native "$(cargo bench --quiet --locked -p picker --bench prefix_time)"
# --no-liftoff: only optimised code, as Envoy runs it.
times v8 "$(CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-liftoff $here/run-wasi.mjs" \
    cargo bench --quiet --locked -p picker --bench prefix_time \
    --target wasm32-wasip1 --profile wasm-release)"

mkdir -p "$(dirname "$report")"
printf '{"bench": "prefix", "figures": [%s\n]}\n' "$figures" >"$report"
echo "figures are in ${report#"$root"/}"
[ "$over" = 0 ] || fail "the index takes more memory than it may"
