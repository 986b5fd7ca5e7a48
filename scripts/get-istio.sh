#!/usr/bin/env bash
# Puts what `make test-istio` needs besides a Kubernetes API into <repo>/.tools/istio: istiod
# (pilot-discovery), built from Istio's Go module, and the resource definitions that this module, those
# of its APIs and that of Envoy Gateway carry. Does nothing when they are already there; installs nothing system-wide.
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

envoy_gateway=v1.9.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/istio
. "$here/go-tools.sh"

istio=$(pinned istio istio.io/istio)
[ -n "$istio" ] || fail "scripts/istio/go.mod names no version"

defined="$istio+$envoy_gateway"

if have pilot-discovery "$istio" && grep -qsx "definitions $defined" "$home/versions"; then
    echo "istio: pilot-discovery $istio is in $home"
    exit 0
fi

prepare istio
build pilot-discovery "$istio" istio istio.io/istio/pilot/cmd/pilot-discovery

# definitions DIRECTORY PATTERN TO: the files of a module.
definitions() {
    mkdir -p "$scratch/definitions/$3"
    # shellcheck disable=SC2086 # the pattern is one
    install -m 644 "$1"/$2 "$scratch/definitions/$3"
}
# module NAME: where it is, in the version that istiod was built with.
module() {
    (cd "$here/istio" && "$go" list -m -f '{{.Dir}}' "$1")
}
definitions "$(module istio.io/istio)" 'manifests/charts/base/files/crd-all.gen.yaml' istio
definitions "$(module sigs.k8s.io/gateway-api)" 'config/crd/standard/gateway.networking.k8s.io_*s.yaml' istio
definitions "$(module sigs.k8s.io/gateway-api-inference-extension)" \
    'config/crd/bases/inference.networking.k8s.io_inferencepools.yaml' istio
# Only its definitions are wanted, so nothing here requires the module.
fetched=$(cd "$scratch" && "$go" mod download -json "github.com/envoyproxy/gateway@$envoy_gateway" |
    sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
[ -d "$fetched" ] || fail "Envoy Gateway $envoy_gateway could not be fetched"
definitions "$fetched" 'charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_*.yaml' envoy-gateway
rm -rf "$home/definitions"
mv "$scratch/definitions" "$home/definitions"
{ grep -v "^definitions " "$home/versions" || true; echo "definitions $defined"; } >"$scratch/versions"
mv -f "$scratch/versions" "$home/versions"
echo "istio: pilot-discovery $istio is in $home"
