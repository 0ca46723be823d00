#!/usr/bin/env python3
"""Counts the instructions of the hot operations and holds them against bounds.json.

    count.py             each operation within 3 % of its bound, more or less, is a case that passes
    count.py --update    writes what was counted into bounds.json instead

The operations are Google Benchmarks beside the code. Each runs one batch under callgrind, which
collects inside dunlin::CountedBatch only (services/base/testing/measure.h): a figure is what one
operation executes on its own thread, libraries included. Fewer instructions fail as well: a bound
that is not tight lets the next change for the worse through. To add an operation, give it any
number in bounds.json and update. The last line is `N passed, N failed, N skipped`.
"""

import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOUNDS = pathlib.Path(__file__).with_name("bounds.json")
TOLERANCE = 0.03

# Nothing of the caller's environment, and the C library without what some processors lack: counts
# are the same on all that valgrind takes for an x86-64.
ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM",
    "LC_ALL": "C",
    "LD_BIND_NOW": "1",
    "PATH": "/usr/bin:/bin",
}


def build(labels):
    """The root of the outputs."""
    subprocess.run(["bazel", "build", "--config=opt", "--noshow_progress"] + labels, cwd=ROOT,
                   check=True, stdout=sys.stderr)
    return pathlib.Path(subprocess.run(
        ["bazel", "info", "--config=opt", "bazel-bin"], cwd=ROOT, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip())


def count(program, name, directory):
    """Instructions of one operation."""
    collected = os.path.join(directory, "callgrind.out")
    run = subprocess.run(
        ["valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no",
         "--toggle-collect=void dunlin::CountedBatch<*", "--callgrind-out-file=" + collected,
         program, "--benchmark_filter=^%s$" % name, "--benchmark_min_time=0",
         "--benchmark_format=json"],
        env=dict(ENVIRONMENT, TEST_TMPDIR=directory), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if run.returncode != 0:
            raise ValueError("status %d" % run.returncode)
        [benchmark] = json.loads(run.stdout)["benchmarks"]
        with open(collected) as lines:
            total = re.search(r"^totals: (\d+)$", lines.read(), re.MULTILINE)
        if total is None or int(total[1]) == 0:
            raise ValueError("nothing was counted")
        return int(total[1]) / benchmark["iterations"]
    except (KeyError, OSError, ValueError) as error:
        sys.stderr.write(run.stderr)
        print("%s: no count: %s" % (name, error))
        return None


def settle(program, name, bound, directory):
    """The same, from more than one run where that one is not what was expected: how much malloc has
    to search depends a little on what RocksDB's threads did before."""
    counts = [count(program, name, directory)]
    if counts[0] is None or bound and abs(counts[0] / bound - 1) <= TOLERANCE / 3:
        return counts[0]
    counts += [count(program, name, directory) for _ in range(2)]
    return None if None in counts else statistics.median(counts)


def strip(program, directory):
    """A copy without debug information: Debian's valgrind cannot read that of clang."""
    stripped = os.path.join(directory, os.path.basename(program))
    subprocess.run(["strip", "--strip-debug", "-o", stripped, program], check=True)
    return stripped


def compare(label, name, bound, counted):
    """Whether the bound is kept."""
    if counted is None:
        return False
    change = counted / bound - 1 if bound else float("inf")
    kept = abs(change) <= TOLERANCE
    print("%-42s %-22s %10.1f  bound %10.1f  %+6.1f %%%s" %
          (label, name, counted, bound, change * 100, "" if kept else "  outside"), flush=True)
    return kept


def main():
    if sys.argv[1:] not in ([], ["--update"]):
        sys.exit("usage: count.py [--update]")
    update = sys.argv[1:] == ["--update"]
    bounds = json.loads(BOUNDS.read_text())
    if platform.machine() != "x86_64":
        print("the bounds are those of x86-64")
        print("0 passed, 0 failed, %d skipped" % sum(len(names) for names in bounds.values()))
        return 0
    outputs = build(list(bounds))
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for label, names in bounds.items():
            program = strip(outputs / label[2:].replace(":", "/"), directory)
            for name, bound in names.items():
                counted = settle(program, name, bound, directory)
                if compare(label, name, bound, counted) or (update and counted is not None):
                    passed += 1
                else:
                    failed += 1
                names[name] = bound if counted is None else round(counted, 1)
    if update and failed == 0:
        BOUNDS.write_text(json.dumps(bounds, indent=2) + "\n")
    elif failed > 0:
        print("if it is meant: e2e/instructions/count.py --update, and the commit says why")
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
