#!/usr/bin/env bash
# Makes a built filter smaller with Binaryen, in place. Refuses a result above the limit: control
# planes carry the module inline and every worker of Envoy compiles it.
#
#   scripts/shrink-wasm.sh FILE.wasm
set -euo pipefail

# 440 KiB until admission came, which adds its queues, board and plans: 64 KiB.
limit=524288
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
wasm=${1:?usage: shrink-wasm.sh FILE.wasm}

"$here/get-binaryen.sh" >/dev/null
"$here/get-node.sh" >/dev/null
export PATH="$tools/node/bin:$PATH"

# Exactly what rustc uses for wasm32-wasip1; anything newer need not run in Envoy's V8.
features=(--mvp-features --enable-bulk-memory --enable-bulk-memory-opt
    --enable-call-indirect-overlong --enable-multivalue --enable-mutable-globals
    --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext)
# What Envoy calls of the filter. The SDK exports every callback of the ABI, and Envoy enters the VM
# for each that is there, once a request or once a chunk; what is not in this list is left out with
# all that only it needs.
exports=(_initialize proxy_abi_version_0_2_1 proxy_on_memory_allocate
    proxy_on_vm_start proxy_on_configure proxy_on_context_create proxy_on_tick proxy_on_queue_ready
    proxy_on_grpc_receive proxy_on_grpc_close
    proxy_on_request_headers proxy_on_request_body proxy_on_request_trailers
    proxy_on_response_headers proxy_on_response_body
    proxy_on_log proxy_on_done proxy_on_delete)
graph=$wasm.exports.json pruned=$wasm.pruned
# A new file that takes the name of the old one: cargo holds the old one by another name too (a hard
# link) and must not find it changed.
smaller=$wasm.smaller
trap 'rm -f "$smaller" "$pruned" "$graph"' EXIT
{
    printf '[{"name": "envoy", "root": true, "reaches": ["memory"'
    printf ', "%s"' "${exports[@]}"
    printf ']}, {"name": "memory", "export": "memory"}'
    for export in "${exports[@]}"; do printf ', {"name": "%s", "export": "%s"}' "$export" "$export"; done
    printf ']\n'
} >"$graph"
node "$tools/binaryen/bin/wasm-metadce" "${features[@]}" "$wasm" --graph-file "$graph" \
    -o "$pruned" >/dev/null
# The compiler makes a copy of generic code for each type; those that differ in constants alone become
# one (5 KB of the filter), and the passes are repeated until nothing more goes.
node "$tools/binaryen/bin/wasm-opt" "${features[@]}" --merge-similar-functions -Oz --converge \
    --strip-debug --strip-producers "$pruned" -o "$smaller"
before=$(wc -c <"$wasm") after=$(wc -c <"$smaller")
echo "$(basename "$wasm"): $before bytes, shrunk to $after"
if [ "$after" -gt "$limit" ]; then
    echo "shrink-wasm.sh: more than the $limit bytes allowed" >&2
    exit 1
fi
mv -f "$smaller" "$wasm"
