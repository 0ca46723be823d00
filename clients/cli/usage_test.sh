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
