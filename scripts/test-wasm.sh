#!/usr/bin/env bash
# Runs the tests of the pure crates in V8, the engine that runs the filter in Envoy.
#
#   scripts/test-wasm.sh [more arguments of cargo test]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}

"$here/get-node.sh"
"$here/get-wasm-bindgen.sh"
# tools/node exists only where the system's own node does not suit.
export PATH="$tools/bin:$tools/node/bin:$PATH"
# Some cases take seconds in a debug build; the runner's own limit is 20 s for everything.
export WASM_BINDGEN_TEST_TIMEOUT=${WASM_BINDGEN_TEST_TIMEOUT:-300}

cd "$root"
if command -v rustup >/dev/null; then
    rustup target add wasm32-unknown-unknown >/dev/null 2>&1 || {
        echo "test-wasm.sh: rustup could not add the target wasm32-unknown-unknown" >&2
        exit 1
    }
fi
exec cargo test --locked -p picker -p pool-state -p admission --lib --tests --target wasm32-unknown-unknown "$@"
