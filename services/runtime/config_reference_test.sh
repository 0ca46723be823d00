#!/bin/bash
# The committed reference page says what the schema says.
diff -u --label committed "$1" --label generated "$2" && exit 0
echo "docs/reference/config.md is stale: bazel run //services/runtime:update_config_reference" >&2
exit 1
