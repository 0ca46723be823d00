#!/usr/bin/env bash
# Checks the model with spin: check.sh clean|bug NAME DEFINES...
#
# clean: nothing may be found, in the whole state space. bug: something has to be found.
set -euo pipefail
readonly expect=$1 name=$2 model=$PWD/services/replicator/model/group.pml
shift 2

command -v spin >/dev/null || { echo "spin is missing: run ./dev setup" >&2; exit 1; }
cd "${TEST_TMPDIR:-$(mktemp -d)}"
spin -a "$@" "$model"
# The model has one process: there is nothing to reduce. -E: to come to an end is no mistake.
cc -O2 -w -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c
./pan -E -m500000 >pan.log || true
grep -E 'State-vector|states, stored|errors:|assertion' pan.log | sed "s/^/$name: /"
if grep -qE 'max search depth too small|out of memory|reached -DMEMLIM' pan.log; then
  echo "$name: the state space was not searched whole" >&2
  exit 1
fi
case $expect in
  clean) grep -q 'errors: 0' pan.log || { ./pan -r | tail -60; exit 1; } ;;
  bug) grep -qE 'assertion violated \(' pan.log || { echo "$name: not found" >&2; exit 1; } ;;
esac
