#!/usr/bin/env bash
# What policies cost, into target/bench/policy.json: size and decoding of a policy of 1,000 models in
# V8, the engine that runs the filter in Envoy; then on real Envoy the time from a changed file to
# every worker, and the agent's memory. Needs the filter, the agent and Envoy (make bench-policy).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}
target=${CARGO_TARGET_DIR:-$root/target}

cd "$root"
"$here/get-node.sh" >/dev/null
export PATH="$PATH:$tools/node/bin"
# --no-liftoff: only optimised code, as Envoy runs it.
line=$(CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-liftoff $here/run-wasi.mjs" \
    cargo bench --quiet --locked -p pool-state --bench policy_decode \
    --target wasm32-wasip1 --profile wasm-release)
read -r kib decode_us lookup_us <<<"$line"
echo "a policy of 1,000 models in V8: $kib KiB, decoded in $decode_us us; a lookup and draw: $lookup_us us"
cargo build --locked --release -p e2e --bin bench-policy
"$target/release/bench-policy" "$kib" "$decode_us"
