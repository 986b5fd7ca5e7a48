#!/usr/bin/env bash
# Puts the clients of `make test-clients` into <repo>/.tools/clients: a virtual environment with what
# python/requirements.txt pins, the packages of node/package-lock.json, and a tokenizer made here.
# Does nothing when this very set has already been put there; installs nothing system-wide.
#
# Needs Python 3.12 (inference-perf does), 0.2 GB of download and 0.9 GB of disk.
#
# PYTHON          the Python to use; default: python3.12 from the path or from pyenv
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$here")
tools=${ZEROHOP_TOOLS:-$repository/.tools}
home=$tools/clients

fail() {
    echo "clients/setup.sh: $*" >&2
    exit 1
}

recipe=$(cat "$here/setup.sh" "$here/python/requirements.txt" "$here/node/package-lock.json" \
    "$repository/vllm/make_model.py" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$home/complete" 2>/dev/null)" = "$recipe" ]; then
    echo "clients: already set up in $home"
    exit 0
fi

is_3_12() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null
}
python=${PYTHON:-}
# A python3.12 of pyenv's may be on the path and refuse to start, so each is tried.
for candidate in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python3.12; do
    [ -n "$python" ] || ! is_3_12 "$candidate" || python=$candidate
done
[ -n "$python" ] || fail "python3.12 is missing; PYTHON may name it"
is_3_12 "$python" || fail "$python is not 3.12, for which the list is pinned"
[ "$(uname -sm)" = "Linux x86_64" ] || fail "the pinned wheels are for Linux on x86_64, this is $(uname -sm)"

mkdir -p "$home"
rm -f "$home/complete"
echo "clients: installing into $home"
"$python" -m venv --clear "$home/venv"
"$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
    --require-hashes --only-binary :all: -r "$here/python/requirements.txt"

# The OpenAI client for Node wants a newer one than our own scripts do.
ZEROHOP_NODE_OLDEST=22 "$repository/scripts/get-node.sh" --npm
node=$tools/node/bin/node
[ -x "$node" ] || node=$(command -v node)
rm -rf "$home/node"
mkdir "$home/node"
cp "$here/node/package.json" "$here/node/package-lock.json" "$home/node/"
npm=$tools/node/lib/node_modules/npm/bin/npm-cli.js
if [ -f "$npm" ]; then
    (cd "$home/node" && "$node" "$npm" ci --silent --ignore-scripts --no-audit --no-fund)
else
    (cd "$home/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
fi
ln -sf "$node" "$home/node/node"

# The load clients count tokens with it; nothing is fetched for it.
"$home/venv/bin/python" "$repository/vllm/make_model.py" "$home/tiny" >/dev/null
echo "$recipe" >"$home/complete"
echo "clients: set up in $home"
