#!/usr/bin/env bash
# How many requests a second one worker queues and dispatches in V8, the engine that runs the filter in
# Envoy, and what admission costs a request when the pool is not full; the overload runs of the simulator;
# all into target/bench/admission.json.
#
#   scripts/bench-admission.sh [arguments of bench-admission, such as --write-docs]
#
# The number is that of the fastest of many rounds. Goals are printed beside it and do not decide the exit
# status: a shared machine may be slow.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}
goal=100000

"$here/get-node.sh" >/dev/null
export PATH="$PATH:$tools/node/bin"
if command -v rustup >/dev/null; then
    rustup target add wasm32-wasip1 >/dev/null 2>&1 || {
        echo "bench-admission.sh: rustup could not add wasm32-wasip1" >&2
        exit 1
    }
fi
cd "$root"
# --no-liftoff: only optimised code, as Envoy runs it.
measured=$(CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-liftoff $here/run-wasi.mjs" \
    cargo bench --quiet --locked -p admission --bench queue_and_dispatch \
    --target wasm32-wasip1 --profile wasm-release)
rate=$(awk '$1 == "ops_per_s" { print $2 }' <<<"$measured")
# What the filter asks of Envoy beside (counted in filter/src/request/tests/held.rs): the board is read twice
# and a counter counts, 750 ns and 60 ns as measured in Envoy 1.40.
idle=$(awk '$1 == "idle_us" { print $2 + 2 * 0.75 + 0.06 }' <<<"$measured")
met=$(awk -v rate="$rate" -v goal="$goal" 'BEGIN { print (rate >= goal) ? "met" : "MISSED" }')
echo "admission.ops_per_s: $rate, goal $goal: $met (queued and dispatched in V8, node $(node --version))"
cargo run --quiet --release --locked -p routing-sim --bin bench-admission -- \
    --ops-per-s "$rate" --idle-overhead-us "$idle" "$@"
