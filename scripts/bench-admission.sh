#!/usr/bin/env bash
# How many requests a second one worker queues and dispatches in V8, the engine that runs the filter in
# Envoy; the overload runs of the simulator; both into target/bench/admission.json.
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
rate=$(CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-liftoff $here/run-wasi.mjs" \
    cargo bench --quiet --locked -p admission --bench queue_and_dispatch \
    --target wasm32-wasip1 --profile wasm-release)
met=$(awk -v rate="$rate" -v goal="$goal" 'BEGIN { print (rate >= goal) ? "met" : "MISSED" }')
echo "admission.ops_per_s: $rate, goal $goal: $met (queued and dispatched in V8, node $(node --version))"
cargo run --quiet --release --locked -p routing-sim --bin bench-admission -- --ops-per-s "$rate" "$@"
