#!/usr/bin/env bash
# Puts Binaryen's wasm-opt and wasm-metadce into <repo>/.tools/binaryen, taken from its npm package, which is
# JavaScript and WebAssembly and runs wherever node does. Does nothing when it is already there;
# installs nothing system-wide.
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
set -euo pipefail

version=132.0.0
sha512=e14b20ef212fc0edc532ca373a8bfaaa438e1d2a1dd4812ff9ba0a921efb9139
sha512+=6333e78d068baa0936ea5acc06cdb1bebc334efdbfefd82e207c48755a007d2e
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/binaryen

fail() {
    echo "get-binaryen.sh: $*" >&2
    exit 1
}

if [ -f "$home/bin/wasm-opt" ] && [ -f "$home/bin/wasm-metadce" ] &&
    grep -qs "\"version\": \"$version\"" "$home/package.json"; then
    echo "binaryen: $version is in $home"
    exit 0
fi

"$here/get-node.sh" --npm
export PATH="$tools/node/bin:$PATH"
npm=(npm)
own=$tools/node/lib/node_modules/npm/bin/npm-cli.js
[ ! -f "$own" ] || npm=(node "$own")

mkdir -p "$tools"
scratch=$(mktemp -d "$tools/binaryen.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "binaryen: downloading version $version (23 MB)"
# From a folder of its own: npm would read the settings of the project that it runs in.
(cd "$scratch" && "${npm[@]}" pack --silent --cache "$scratch/cache" "binaryen@$version" >/dev/null) ||
    fail "npm could not download binaryen $version"
archive=$scratch/binaryen-$version.tgz
echo "$sha512  $archive" | sha512sum --check --quiet - ||
    fail "the package is not the one that was reviewed (sha512 differs)"
tar -xzf "$archive" -C "$scratch" \
    package/package.json package/LICENSE package/bin/package.json package/bin/wasm-opt \
    package/bin/wasm-metadce
for tool in wasm-opt wasm-metadce; do
    node "$scratch/package/bin/$tool" --version >/dev/null || fail "$tool does not run here"
done
rm -rf "$home"
mv "$scratch/package" "$home"
echo "binaryen: $version is in $home"
