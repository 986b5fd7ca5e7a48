#!/usr/bin/env bash
# Makes a built filter smaller with Binaryen, in place. Refuses a result above the limit: control
# planes carry the module inline and every worker of Envoy compiles it.
#
#   scripts/shrink-wasm.sh FILE.wasm
set -euo pipefail

limit=409600
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
# A new file that takes the name of the old one: cargo holds the old one by another name too (a hard
# link) and must not find it changed.
smaller=$wasm.smaller
trap 'rm -f "$smaller"' EXIT
node "$tools/binaryen/bin/wasm-opt" "${features[@]}" -Oz --strip-debug --strip-producers \
    "$wasm" -o "$smaller"
before=$(wc -c <"$wasm") after=$(wc -c <"$smaller")
echo "$(basename "$wasm"): $before bytes, shrunk to $after"
if [ "$after" -gt "$limit" ]; then
    echo "shrink-wasm.sh: more than the $limit bytes allowed" >&2
    exit 1
fi
mv -f "$smaller" "$wasm"
