#!/usr/bin/env python3
"""All faults of a broker group, in the modes that lose nothing, as one table: `./dev bench faults`.

    faults.py --faults=PATH --broker=PATH --replicator=PATH [--count=N] [--quick] [--seed=SEED]
              [--flush=async|sync] [--directory=DIR]

N is the number of times that the master is killed, and that it is cut off: half of them in each
mode. Of the others there are fewer, as below.
"""

import argparse
import json
import math
import os
import subprocess
import sys

MODES = ("SYNC", "QUORUM")
COUNT = 200
# Scenario: how often, of N.
SHARES = {"kill": 1, "partition": 1, "one-way": 1 / 8, "flapping": 1 / 8, "coordinator": 1 / 10,
          "pause": 1 / 20, "power": 1 / 4}


def say(line):
    print(line, file=sys.stderr, flush=True)


def run(options, mode, scenario, count):
    command = [options.faults, "--broker=" + options.broker, "--replicator=" + options.replicator,
               "--mode=" + mode, "--scenario=" + scenario, "--count=%d" % count]
    if options.quick:
        command.append("--quick")
    if options.seed:
        command.append("--seed=" + options.seed)
    if options.flush:
        command.append("--flush=" + options.flush)
    if options.directory:
        command.append("--directory=" + os.path.join(options.directory, mode, scenario))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"ok": False, "value": 0, "bound": count,
                "detail": {"violation": "ended with status %d" % done.returncode}}


def rows(results):
    yield ["mode", "fault", "survived", "acknowledged", "lost", "violations", "p50 s", "p99 s",
           "max s"]
    for (mode, scenario), result in results.items():
        detail = result["detail"]
        times = detail.get("fault_to_first_ack_s", {}).get(scenario, {})
        yield [mode, scenario, "%d of %d" % (result["value"], result["bound"]),
               *(str(detail.get(name, "-")) for name in ("acknowledged", "lost", "violations")),
               *("%.2f" % times[name] if name in times else "-" for name in ("p50", "p99", "max"))]


def show(results):
    table = list(rows(results))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for (mode, scenario), result in results.items():
        if not result["ok"]:
            say("%s %s: %s" % (mode, scenario, result["detail"].get("violation", "not all")))


def main():
    parser = argparse.ArgumentParser()
    for name in ("faults", "broker", "replicator"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--quick", action="store_true")
    for name in ("seed", "flush", "directory"):
        parser.add_argument("--" + name, default="")
    options = parser.parse_args()
    results = {}
    for scenario, share in SHARES.items():
        count = 1 if options.quick else math.ceil(options.count * share / len(MODES))
        for mode in MODES:
            say("%s, %s, %d times" % (scenario, mode, count))
            results[mode, scenario] = run(options, mode, scenario, count)
    show(results)
    survived = sum(result["value"] for result in results.values())
    print(json.dumps({
        "bench": "faults",
        "metric": "faults of a broker group under load survived with nothing lost",
        "value": survived, "unit": "faults",
        "bound": sum(result["bound"] for result in results.values()), "better": "higher",
        "ok": all(result["ok"] for result in results.values()),
        "detail": {"%s %s" % key: {"survived": result["value"], **result["detail"]}
                   for key, result in results.items()}}))
    return 0 if all(result["ok"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
