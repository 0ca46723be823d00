#!/usr/bin/env bash
# Builds the SDK with CMake, installs it, and builds the examples from what was installed: with
# find_package, and one with pkg-config. Nobody answers where they connect to, and they say so.
set -euo pipefail

readonly PREFIX=$TEST_TMPDIR/prefix
readonly ROOT=$PWD

expect_no_broker() {
  local said
  if said=$("$1" 127.0.0.1:1 2>&1); then
    echo "$1 found a broker" >&2
    exit 1
  fi
  [[ $said == *UNAVAILABLE* ]] || { echo "$1 said: $said" >&2; exit 1; }
}

# Without optimisation: what is tested is that it builds and installs.
cmake -S "$ROOT/clients/cpp" -B "$TEST_TMPDIR/sdk" -DCMAKE_INSTALL_PREFIX="$PREFIX" \
  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
cmake --build "$TEST_TMPDIR/sdk" --parallel 2
cmake --install "$TEST_TMPDIR/sdk"

cp -rL "$ROOT/clients/cpp/examples" "$TEST_TMPDIR/examples"
cmake -S "$TEST_TMPDIR/examples" -B "$TEST_TMPDIR/built" -DCMAKE_PREFIX_PATH="$PREFIX"
cmake --build "$TEST_TMPDIR/built" --parallel 2
for example in lite produce pull_consumer push_consumer simple_consumer transaction_producer; do
  expect_no_broker "$TEST_TMPDIR/built/$example"
done

pc=$(find "$PREFIX" -name dunlin.pc)
export PKG_CONFIG_PATH=${pc%/*}
# shellcheck disable=SC2046  # a list of flags
c++ -std=c++20 "$TEST_TMPDIR/examples/produce.cc" -o "$TEST_TMPDIR/produce" \
  $(pkg-config --cflags --libs dunlin) "-Wl,-rpath,$(pkg-config --variable=libdir dunlin)"
expect_no_broker "$TEST_TMPDIR/produce"
