#!/bin/bash
# The committed reference page says what the program says.
set -o pipefail
"$2" | diff -u --label committed --label printed "$1" - && exit 0
echo "stale: bazel run //clients/cli:print_reference > docs/reference/cli.md" >&2
exit 1
