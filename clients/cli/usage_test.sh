#!/bin/bash
# What is used wrongly exits with 2 before it looks for a broker.
expect_usage() {
  "$dunlinctl" --endpoint 127.0.0.1:1 "$@" 2>/dev/null
  local status=$?
  [ "$status" = 2 ] && return
  echo "dunlinctl $*: exit status $status instead of 2" >&2
  exit 1
}

dunlinctl=$1
expect_usage bench
expect_usage bench produce t --shed
expect_usage bench produce t --spread each --spread each
expect_usage bench produce t --api v2 --spread each
expect_usage bench consume t --run 1 --messages 1 --messages 2

secret=$TEST_TMPDIR/secret
echo a-good-secret >"$secret"
expect_usage user
expect_usage user create u
expect_usage user create u --secret-file "$TEST_TMPDIR/nowhere"
expect_usage user create u --secret-file "$secret" --generate
expect_usage user create u --generate --allow topic:orders
expect_usage user create u --generate --deny topic:orders:send
expect_usage user create u --generate --super --allow topic:orders:pub
expect_usage user create u --generate --enabled --disabled
expect_usage user update u
expect_usage user update u --super --normal
expect_usage user update u --no-rules --allow topic:orders:pub
echo short >"$TEST_TMPDIR/short"
expect_usage user update u --secret-file "$TEST_TMPDIR/short"

# One half of the credentials.
expect_usage --access-key ann topic list
expect_usage --secret-key-file "$secret" topic list
expect_usage --access-key ann --secret-key-file "$TEST_TMPDIR/nowhere" topic list
DUNLIN_ACCESS_KEY=ann expect_usage topic list
DUNLIN_SECRET_KEY_FILE=$secret expect_usage topic list
DUNLIN_SECRET_KEY=a-good-secret expect_usage topic list

# Both: it looks for a broker.
expect_unreachable() {
  "$dunlinctl" --endpoint 127.0.0.1:1 --timeout 1 "$@" 2>/dev/null
  local status=$?
  [ "$status" = 3 ] && return
  echo "dunlinctl $*: exit status $status instead of 3" >&2
  exit 1
}
expect_unreachable --access-key ann --secret-key-file "$secret" topic list
DUNLIN_ACCESS_KEY=ann DUNLIN_SECRET_KEY_FILE=$secret expect_unreachable topic list
DUNLIN_ACCESS_KEY=ann DUNLIN_SECRET_KEY=a-good-secret expect_unreachable user list
expect_unreachable user create u --generate --allow topic:orders:pub@10.0.0.0/8 --deny cluster:get
expect_unreachable user update u --secret-file "$secret" --super --no-rules
