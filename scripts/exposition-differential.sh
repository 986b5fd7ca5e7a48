#!/usr/bin/env bash
# Prints what Prometheus' own Python client library reads from metrics pages, for the test that
# compares it with our reader (metrics-agent/tests/scrape_differential.rs). Puts the library, in a
# pinned version, into <repo>/.tools/prometheus-client; installs nothing system-wide.
#
# usage: exposition-differential.sh PAGE...
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
set -euo pipefail

version=0.26.0
sha256=fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/prometheus-client-$version

fail() {
    echo "exposition-differential.sh: $*" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is missing (Debian: apt install python3)"

if [ ! -d "$home" ]; then
    python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing (Debian: apt install python3-pip)"
    mkdir -p "$tools"
    scratch=$(mktemp -d "$tools/prometheus-client.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    echo "prometheus_client==$version --hash=sha256:$sha256" >"$scratch/requirements.txt"
    python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action ignore --no-deps \
        --only-binary :all: --require-hashes --requirement "$scratch/requirements.txt" \
        --target "$scratch/site" >&2 ||
        fail "pip could not install prometheus_client $version"
    # Another run may have been faster; then ours is not needed.
    mv -T "$scratch/site" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write to $home"
    rm -rf "$scratch"
fi

PYTHONPATH=$home exec python3 "$here/exposition-differential.py" "$@"
