#!/usr/bin/env bash
# Installs what e2e/compat needs: the Java, Go, Python and Node.js toolchains where they are
# missing, and RocketMQ's official SDKs at the versions this repository pins. Part of ./dev setup.
#
#   bazel/tools/setup_sdks.sh [java] [go] [python] [nodejs]      (default: all four)
#
# Run it as often as you like: what is there already is left alone. Registries, mirrors and proxies
# are those of this machine's own settings (Maven's settings.xml, GOPROXY, pip.conf, .npmrc).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly compat=$PWD/e2e/compat
readonly go_version=1.24.13 # the Go SDK needs 1.24; Debian 12 has 1.19

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

step() { printf 'setup: %s\n' "$*"; }

# Is there a command $1 whose version, the first number pair that `$1 $2` prints, is at least $3?
at_least() {
  local found
  command -v "$1" >/dev/null || return 1
  found=$("$1" "$2" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)?' | head -n 1) || return 1
  [ "$(printf '%s\n' "$3" "$found" | sort -V | head -n 1)" = "$3" ]
}

install() {
  local as_root=()
  command -v apt-get >/dev/null || fail "install these and run ./dev setup again: $*"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "as root: apt-get install $*; then run ./dev setup again"
    as_root=(sudo)
  fi
  step "installing $*"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    fail "apt-get could not install $*; try apt-get update, then ./dev setup again"
}

setup_java() {
  at_least javac -version 11 || install openjdk-17-jdk-headless
  command -v mvn >/dev/null || install maven
  # Offline first: once everything is in the local repository no registry is asked again.
  mvn -o -q -B -f "$compat/java" package >/dev/null 2>&1 && return
  step "fetching the Java SDK"
  mvn -q -B -f "$compat/java" package ||
    fail "Maven could not build e2e/compat/java; does it reach Maven Central or your mirror?"
}

setup_go() {
  local go=go
  if ! at_least go version 1.24; then
    go=$PWD/.cache/go/bin/go
    [ -x "$go" ] || fetch_go
  fi
  (cd "$compat/go" && GOTOOLCHAIN=local "$go" mod download) ||
    fail "Go could not fetch the modules of e2e/compat/go; check GOPROXY"
}

# Go before 1.21 cannot change its own toolchain, but newer ones are published as a module, which
# any Go downloads and checks against the checksum database. What newer Gos do after that is done
# here: files of a module are not executable and its go.mod has another name.
fetch_go() {
  local arch module directory
  command -v go >/dev/null || install golang-go
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) fail "install Go 1.24 or newer for $(uname -m) and run ./dev setup again" ;;
  esac
  step "fetching Go $go_version as a module"
  module=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
  directory=$(cd / && GOFLAGS= go mod download -json "$module" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') || fail "Go could not fetch $module; check GOPROXY"
  [ -d "$directory" ] || fail "Go could not fetch $module; check GOPROXY"
  rm -rf .cache/go.new .cache/go
  mkdir -p .cache
  cp -r "$directory" .cache/go.new
  chmod -R u+w .cache/go.new
  find .cache/go.new -name _go.mod -execdir mv {} go.mod \;
  chmod +x .cache/go.new/bin/* .cache/go.new/pkg/tool/*/*
  mv .cache/go.new .cache/go
}

setup_python() {
  at_least python3 --version 3.9 || install python3
  if [ ! -x .venv/bin/pip ]; then
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    rm -rf .venv
    python3 -m venv .venv
  fi
  .venv/bin/pip install -q --disable-pip-version-check -r "$compat/python/requirements.txt" ||
    fail "pip could not install e2e/compat/python/requirements.txt; check your pip configuration"
}

setup_nodejs() {
  at_least node --version 18 || install nodejs
  at_least node --version 18 || fail "Node.js 18 or newer is needed, this one is $(node --version)"
  command -v npm >/dev/null || install npm
  cmp -s "$compat/nodejs/package-lock.json" "$compat/nodejs/node_modules/.setup-lock" && return
  step "fetching the Node.js SDK"
  (cd "$compat/nodejs" && npm ci --silent) ||
    fail "npm could not install e2e/compat/nodejs; check your npm configuration"
  cp "$compat/nodejs/package-lock.json" "$compat/nodejs/node_modules/.setup-lock"
}

[ $# -gt 0 ] || set -- java go python nodejs
for name in "$@"; do
  case $name in
    java | go | python | nodejs) "setup_$name" ;;
    *) fail "unknown SDK: $name (java, go, python, nodejs)" ;;
  esac
done
step "the SDKs are ready"
