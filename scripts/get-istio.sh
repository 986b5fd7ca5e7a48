#!/usr/bin/env bash
# Puts what `make test-istio` needs besides a Kubernetes API into <repo>/.tools/istio: istiod
# (pilot-discovery), built from Istio's Go module, and the resource definitions that this module and
# those of its APIs carry. Does nothing when they are already there; installs nothing system-wide.
#
# Needs Go (at least the version in scripts/istio/go.mod; Debian: apt install golang-go, where that is
# recent enough), 5 GB of disk while it builds and 0.2 GB afterwards. Takes about 15 minutes of one
# core; everything that was built on the way is removed at the end.
#
# Istio's releases have no versions that Go understands, hence a commit of its main branch.
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
# GO, JOBS        see go-tools.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/istio
. "$here/go-tools.sh"

istio=$(pinned istio istio.io/istio)
[ -n "$istio" ] || fail "scripts/istio/go.mod names no version"

if have pilot-discovery "$istio" && [ -d "$home/definitions" ]; then
    echo "istio: pilot-discovery $istio is in $home"
    exit 0
fi

prepare istio
build pilot-discovery "$istio" istio istio.io/istio/pilot/cmd/pilot-discovery

# definitions MODULE PATTERN: the files of a module, in the version that istiod was built with.
definitions() {
    local directory
    directory=$(cd "$here/istio" && "$go" list -m -f '{{.Dir}}' "$1")
    # shellcheck disable=SC2086 # the pattern is one
    install -m 644 "$directory"/$2 "$scratch/definitions/"
}
mkdir "$scratch/definitions"
definitions istio.io/istio 'manifests/charts/base/files/crd-all.gen.yaml'
definitions sigs.k8s.io/gateway-api 'config/crd/standard/gateway.networking.k8s.io_*s.yaml'
definitions sigs.k8s.io/gateway-api-inference-extension 'config/crd/bases/inference.networking.k8s.io_inferencepools.yaml'
rm -rf "$home/definitions"
mv "$scratch/definitions" "$home/definitions"
echo "istio: pilot-discovery $istio is in $home"
