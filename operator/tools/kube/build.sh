#!/usr/bin/env bash
# Builds a real Kubernetes control plane for tests, out of the Go modules that its projects publish:
# etcd, kube-apiserver, kube-controller-manager and kubectl; for nodes also kube-scheduler, kubelet,
# kube-proxy, coredns and pause. The programs stand in a cache outside the tree, by the hash of what
# they are built from; prints their directory. Takes a quarter of an hour on two cores the first
# time, ten minutes more with those of nodes, and nothing the second.
#
#   build.sh            builds what is missing of the control plane
#   build.sh --nodes    also of what nodes need
#   build.sh --path     says where the programs stand, or would stand
#   build.sh --update VERSION_OF_KUBERNETES VERSION_OF_ETCD    rewrites the go.mod files
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CACHE=${DUNLIN_KUBE_CACHE:-$HOME/.cache/dunlin-kube}
readonly CONTROL_PLANE="kube-apiserver kube-controller-manager kubectl"
readonly NODES="kube-scheduler kubelet kube-proxy"

die() {
  printf 'kube: %s\n' "$*" >&2
  exit 1
}

# The version of a required module, in the go.mod of the working directory.
version_of() {
  sed -nE "s#^(require )?[[:space:]]*$1 (v[0-9.]+)( //.*)?\$#\2#p" go.mod | head -1
}

# The staging repositories are tagged v0.X.Y for v1.X.Y; Kubernetes' own go.mod points at folders of
# its tree instead, which holds for its main module only. So ours has to say it again.
update() {
  local version=$1 staging=v0.${1#v1.} published module
  (
    cd kubernetes
    published=$(go mod download -json "k8s.io/kubernetes@$version" |
      sed -n 's|^\t"GoMod": "\(.*\)",\?$|\1|p')
    sed -n 's|^\t*\(k8s.io/[^ ]*\) => ./staging/.*|\1|p' "$published" | while read -r module; do
      go mod edit -replace="$module=$module@$staging"
    done
    go mod edit -require="k8s.io/kubernetes@$version"
    go mod tidy
  )
  (
    cd etcd
    go mod edit -require="go.etcd.io/etcd/server/v3@$2"
    go mod tidy
  )
}

# A program of another main module beside this script: build_of MODULE PACKAGE PROGRAM
build_of() {
  [[ -x $into/$3 ]] && return
  (cd "$1" && go build -ldflags='-s -w' -o "$into/.$3.new" "$2")
  mv "$into/.$3.new" "$into/$3"
}

# etcd, and programs of Kubernetes: build PROGRAM...
build() {
  local version
  command -v go >/dev/null || die "a Go toolchain is needed (1.24 or newer) and go was not found"
  mkdir -p "$into"
  export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
  build_of etcd go.etcd.io/etcd/server/v3 etcd
  version=$(cd kubernetes && version_of k8s.io/kubernetes)
  [[ -n $version ]] || die "kubernetes/go.mod does not say which Kubernetes"
  local flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
  flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"
  local program
  for program in "$@"; do
    [[ -x $into/$program ]] && continue
    (cd kubernetes && go build -ldflags="$flags" -o "$into/.$program.new" \
      "k8s.io/kubernetes/cmd/$program")
    mv "$into/.$program.new" "$into/$program"
  done
}

# Tests look here, so that they need not know the hash.
link() {
  ln -sfn "$into" "$CACHE/bin.new"
  mv -T "$CACHE/bin.new" "$CACHE/bin"
}

if [[ ${1:-} == --update ]]; then
  [[ $# == 3 ]] || die "usage: build.sh --update v1.X.Y vX.Y.Z"
  update "$2" "$3"
  exit
fi
hash=$(cat {kubernetes,etcd,nodes}/go.{mod,sum} nodes/*/main.go | sha256sum | cut -c1-16)
into=$CACHE/$hash
# shellcheck disable=SC2086  # lists of words
case ${1:-} in
  --path) ;;
  --nodes)
    build $CONTROL_PLANE $NODES
    build_of nodes ./dns coredns
    build_of nodes ./pause pause
    link
    ;;
  "")
    build $CONTROL_PLANE
    link
    ;;
  *) die "no such option: $1" ;;
esac
echo "$into"
