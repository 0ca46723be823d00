#!/usr/bin/env bash
# Builds Helm out of the Go module that its project publishes, into a cache outside the tree, by the
# hash of what it is built from; prints the program's path. Takes a few minutes the first time and
# nothing the second.
#
#   build.sh                     builds what is missing
#   build.sh --update VERSION    rewrites go.mod
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CACHE=${DUNLIN_KUBE_CACHE:-$HOME/.cache/dunlin-kube}
readonly MODULE=helm.sh/helm/v3

command -v go >/dev/null || {
  echo "helm: a Go toolchain is needed (1.24 or newer) and go was not found" >&2
  exit 1
}
if [[ ${1:-} == --update ]]; then
  [[ $# == 2 ]] || { echo "usage: build.sh --update v3.X.Y" >&2; exit 2; }
  go get -tool "$MODULE/cmd/helm@$2"
  go mod tidy
  exit
fi
version=$(go list -m -f '{{.Version}}' "$MODULE")
# What `helm template` takes for the cluster's version unless told: that of its client library.
minor=$(go list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
into=$CACHE/helm-$version-$(cat go.mod go.sum | sha256sum | cut -c1-16)
if [[ ! -x $into ]]; then
  mkdir -p "$CACHE"
  CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" go build -o "$into.new" \
    -ldflags="-s -w -X $MODULE/internal/version.version=$version
      -X $MODULE/pkg/chartutil.k8sVersionMajor=1 -X $MODULE/pkg/chartutil.k8sVersionMinor=$minor" \
    "$MODULE/cmd/helm"
  mv "$into.new" "$into"
fi
echo "$into"
