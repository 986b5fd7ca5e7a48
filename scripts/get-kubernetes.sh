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
# GO, JOBS        see go-tools.sh
set -euo pipefail

helm=v4.3.1
kustomize=v5.8.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${ZEROHOP_TOOLS:-$(dirname "$here")/.tools}
home=$tools/kubernetes
. "$here/go-tools.sh"

# The versions of what is there, one line a tool: another version is built anew.
kubernetes=$(pinned kubernetes k8s.io/kubernetes)
etcd=$(pinned kubernetes go.etcd.io/etcd/server/v3)
[ -n "$kubernetes" ] && [ -n "$etcd" ] || fail "scripts/kubernetes/go.mod names no version"

if have kube-apiserver "$kubernetes" && have etcd "$etcd" && have helm "$helm" && have kustomize "$kustomize"; then
    echo "kubernetes: kube-apiserver $kubernetes, etcd $etcd, helm $helm and kustomize $kustomize are in $home"
    exit 0
fi

prepare kubernetes
version="-X k8s.io/component-base/version.gitVersion=$kubernetes"
build kube-apiserver "$kubernetes" kubernetes k8s.io/kubernetes/cmd/kube-apiserver "$version"
# `go install` and `go build` name a program after the last part of its path, which is not "etcd".
build etcd "$etcd" kubernetes go.etcd.io/etcd/server/v3
build helm "$helm" "" helm.sh/helm/v4/cmd/helm "$version"
build kustomize "$kustomize" "" sigs.k8s.io/kustomize/kustomize/v5
echo "kubernetes: kube-apiserver $kubernetes, etcd $etcd, helm $helm and kustomize $kustomize are in $home"
