#!/bin/bash
# Copies the generated reference page into the source tree; run by `bazel run`.
set -euo pipefail
install -m 0644 "$1" "${BUILD_WORKSPACE_DIRECTORY:?run me with bazel run}/docs/reference/config.md"
