#!/usr/bin/env bash
# Builds both images from what was built already and checks them: the agent's binary runs alone, and the
# filter's last layer is the module and nothing else. Pulls no base image and needs no network.
#
#   scripts/build-images.sh AGENT FILTER.wasm     two OCI layouts: target/images/agent and .../filter
#
# Needs buildah (Debian: apt install buildah). It runs without a daemon, and within a container too.
set -euo pipefail

agent=${1:?usage: build-images.sh AGENT FILTER.wasm}
wasm=${2:?usage: build-images.sh AGENT FILTER.wasm}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
images=${CARGO_TARGET_DIR:-$here/target}/images

fail() {
    echo "build-images.sh: $*" >&2
    exit 1
}

command -v buildah >/dev/null || fail "buildah is missing (Debian: apt install buildah)"
[ -x "$agent" ] && [ -f "$wasm" ] || fail "there is no $agent or no $wasm"

rm -rf "$images"
mkdir -p "$images/context"
# Copies, since whole build directories would be sent along as the context.
cp "$wasm" "$images/context/plugin.wasm"
cp "$agent" "$images/context/zerohop-agent"
strip "$images/context/zerohop-agent"

scratch=$(mktemp -d "$images/store.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
buildah=(buildah --root "$scratch/root" --runroot "$scratch/run" --storage-driver vfs)
for image in agent filter; do
    "${buildah[@]}" build --quiet --isolation chroot --tag "zerohop/$image" \
        --file "$here/deploy/images/$image.Containerfile" "$images/context" >/dev/null
    "${buildah[@]}" push --quiet "zerohop/$image" "oci:$images/$image"
done

# The agent starts where nothing else is: no libc, no loader, no shell.
container=$("${buildah[@]}" from zerohop/agent)
said=$("${buildah[@]}" run --isolation chroot "$container" -- /zerohop-agent --version) ||
    fail "the agent does not start alone: is it linked statically (make static-agent)?"
case $said in
zerohop-agent\ *) ;;
*) fail "the agent said: $said" ;;
esac

# What an image's last layer holds, without the directories that buildah adds for mounts.
python3 "$here/scripts/check-images.py" "$images" "$images/context/plugin.wasm"
rm -rf "$images/context"
echo "images: $said, $(du -sh "$images/agent" | cut -f 1) and $(du -sh "$images/filter" | cut -f 1), in $images"
