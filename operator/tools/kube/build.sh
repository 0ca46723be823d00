#!/usr/bin/env bash
# Builds a real Kubernetes control plane for tests, out of the Go modules that its projects publish:
# etcd, kube-apiserver, kube-controller-manager and kubectl. The programs stand in a cache outside
# the tree, by the hash of what they are built from; prints their directory. Takes a quarter of an
# hour on two cores the first time and nothing the second.
#
#   build.sh            builds what is missing
#   build.sh --path     says where the programs stand, or would stand
#   build.sh --update VERSION_OF_KUBERNETES VERSION_OF_ETCD    rewrites the go.mod files
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CACHE=${DUNLIN_KUBE_CACHE:-$HOME/.cache/dunlin-kube}
readonly KUBERNETES="kube-apiserver kube-controller-manager kubectl"

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

build() {
  local into=$1 version
  command -v go >/dev/null || die "a Go toolchain is needed (1.24 or newer) and go was not found"
  mkdir -p "$into"
  export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
  if [[ ! -x $into/etcd ]]; then
    (cd etcd && go build -ldflags='-s -w' -o "$into/.etcd.new" go.etcd.io/etcd/server/v3)
    mv "$into/.etcd.new" "$into/etcd"
  fi
  version=$(cd kubernetes && version_of k8s.io/kubernetes)
  [[ -n $version ]] || die "kubernetes/go.mod does not say which Kubernetes"
  local flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
  flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"
  local program
  for program in $KUBERNETES; do
    [[ -x $into/$program ]] && continue
    (cd kubernetes && go build -ldflags="$flags" -o "$into/.$program.new" \
      "k8s.io/kubernetes/cmd/$program")
    mv "$into/.$program.new" "$into/$program"
  done
  # Tests look here, so that they need not know the hash.
  ln -sfn "$into" "$CACHE/bin.new"
  mv -T "$CACHE/bin.new" "$CACHE/bin"
}

if [[ ${1:-} == --update ]]; then
  [[ $# == 3 ]] || die "usage: build.sh --update v1.X.Y vX.Y.Z"
  update "$2" "$3"
  exit
fi
hash=$(cat kubernetes/go.mod kubernetes/go.sum etcd/go.mod etcd/go.sum | sha256sum | cut -c1-16)
into=$CACHE/$hash
[[ ${1:-} == --path ]] || build "$into"
echo "$into"
