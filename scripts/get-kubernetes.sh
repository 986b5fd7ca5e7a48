#!/usr/bin/env bash
# Puts what `make test-kubernetes` needs into <repo>/.tools/kubernetes: kube-apiserver, etcd, helm and
# kustomize, built from their Go modules. Does nothing for those that are already there; installs
# nothing system-wide.
#
# Needs Go (at least the version in scripts/kubernetes/go.mod; Debian: apt install golang-go, where
# that is recent enough), 6 GB of disk while it builds and 0.3 GB afterwards. Takes about 15 minutes of
# one core; everything that was built on the way is removed at the end.
#
# ZEROHOP_TOOLS   where to put it instead of <repo>/.tools
# JOBS            how many packages are compiled at a time; default 2
set -euo pipefail

helm=v4.3.1
kustomize=v5.8.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/kubernetes
go=${GO:-go}

fail() {
    echo "get-kubernetes.sh: $*" >&2
    exit 1
}

# The versions of what is there, one line a tool: another version is built anew.
pinned() {
    sed -n -E "s|^(require)?[[:space:]]*$1 (v[0-9.]+)( .*)?$|\\2|p" "$here/kubernetes/go.mod"
}
kubernetes=$(pinned k8s.io/kubernetes)
etcd=$(pinned go.etcd.io/etcd/server/v3)
[ -n "$kubernetes" ] && [ -n "$etcd" ] || fail "scripts/kubernetes/go.mod names no version"

have() {
    [ -x "$home/$1" ] && grep -qsx "$1 $2" "$home/versions"
}

if have kube-apiserver "$kubernetes" && have etcd "$etcd" && have helm "$helm" && have kustomize "$kustomize"; then
    echo "kubernetes: kube-apiserver $kubernetes, etcd $etcd, helm $helm and kustomize $kustomize are in $home"
    exit 0
fi

command -v "$go" >/dev/null || fail "go is missing (Debian: apt install golang-go)"
wanted=$(sed -n 's/^go //p' "$here/kubernetes/go.mod")
found=$("$go" env GOVERSION)
found=${found#go}
[ "$(printf '%s\n%s\n' "$wanted" "${found%%[!0-9.]*}" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "go $found is too old, at least $wanted is needed"

mkdir -p "$home"
scratch=$(mktemp -d "$home/build.XXXXXX")
# Go makes what it downloads read-only.
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
# A cache of modules that is there already is used and kept; what is built is always removed.
modules=$("$go" env GOMODCACHE)
[ -d "$modules" ] || export GOMODCACHE=$scratch/modules
export CGO_ENABLED=0 GOCACHE=$scratch/cache GOTOOLCHAIN=local GOFLAGS="-buildvcs=false -p=${JOBS:-2}"

# build NAME VERSION DIRECTORY PACKAGE: a package of the module in DIRECTORY, whose go.sum pins all
# that goes into it, or of a module of its own when DIRECTORY is empty.
build() {
    local name=$1 version=$2 directory=$3 package=$4
    ! have "$name" "$version" || return 0
    echo "kubernetes: building $name $version"
    local flags=(-trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes")
    if [ -n "$directory" ]; then
        (cd "$directory" && "$go" build "${flags[@]}" -o "$scratch/$name" "$package")
    else
        # The version pins the module, Go's checksum database its content.
        (cd "$scratch" && GOBIN=$scratch "$go" install "${flags[@]}" "$package@$version")
    fi || fail "$name could not be built"
    # A rename within one file system: nobody ever sees half a binary.
    mv -f "$scratch/$name" "$home/$name"
    touch "$home/versions"
    { grep -v "^$name " "$home/versions" || true; echo "$name $version"; } >"$scratch/versions"
    mv -f "$scratch/versions" "$home/versions"
}

build kube-apiserver "$kubernetes" "$here/kubernetes" k8s.io/kubernetes/cmd/kube-apiserver
# `go install` and `go build` name a program after the last part of its path, which is not "etcd".
build etcd "$etcd" "$here/kubernetes" go.etcd.io/etcd/server/v3
build helm "$helm" "" helm.sh/helm/v4/cmd/helm
build kustomize "$kustomize" "" sigs.k8s.io/kustomize/kustomize/v5
echo "kubernetes: kube-apiserver $kubernetes, etcd $etcd, helm $helm and kustomize $kustomize are in $home"
