#!/usr/bin/env bash
# Builds wasm-bindgen's test runner into <repo>/.tools/bin; takes some minutes, once.
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
set -euo pipefail

# The same release as the wasm-bindgen in Cargo.lock; the runner refuses any other.
version=0.2.130
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$root/.tools}
runner=$tools/bin/wasm-bindgen-test-runner

fail() {
    echo "get-wasm-bindgen.sh: $*" >&2
    exit 1
}

locked=$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$root/Cargo.lock")
[ "$locked" = "$version" ] ||
    fail "Cargo.lock has wasm-bindgen ${locked:-(none)}, this script builds $version: bring them in step"

if [ -x "$runner" ] && "$runner" --version 2>/dev/null | grep -q " $version"; then
    echo "wasm-bindgen: the test runner $version is in $tools/bin"
    exit 0
fi
command -v cargo >/dev/null || fail "cargo is missing; install Rust first (rustup)"
echo "wasm-bindgen: building the test runner $version (some minutes)"
# Its own lock file names releases that not every registry mirror serves, so it is not used. From a
# neutral folder, because this workspace's .cargo/config.toml is about the workspace.
(cd / && CARGO_TARGET_DIR="$tools/build/wasm-bindgen" \
    cargo install --quiet --force --root "$tools" wasm-bindgen-cli --version "$version") ||
    fail "cargo could not install wasm-bindgen-cli $version"
rm -rf "$tools/build/wasm-bindgen"
echo "wasm-bindgen: the test runner $version is in $tools/bin"
