#!/usr/bin/env python3
"""Builds and runs one bench: `./dev bench NAME [N] [--quick]`; `--list` names them all.

Progress goes to standard error; the last and only line on standard output is the result as JSON.
The exit status is 0 only when the bound was met and the run's own verification passed.
docs/benchmarks.md says what each figure means.
"""

import json
import os
import subprocess
import sys

DUNLIN = "//services/standalone:dunlin"
DUNLINCTL = "//clients/cli:dunlinctl"
DUMP = "//services/store/tool:dunlin-dump"
ECHO = "//e2e/benchmarks:echo_server"

MEMBER = {"broker": "//services/broker/member:dunlin-broker",
          "replicator": "//services/replicator:dunlin-replicator"}
STREAMS = {"dunlin": DUNLIN, "dunlinctl": DUNLINCTL}

# name: (what it shows, its program: a target or a script, with its arguments, the programs it needs
# by the flag that names them)
BENCHES = {
    "unary-vs-echo": ("rate of SendMessage against a bare gRPC echo of the same calls; N pairs",
                      "//e2e/benchmarks:unary_vs_echo", {"dunlin": DUNLIN, "echo": ECHO}),
    "idle": ("memory of an idle server, and how soon it is ready",
             "//e2e/benchmarks:idle", {"dunlin": DUNLIN}),
    "restart": ("kill -9 with a large log behind it, until the first acknowledged send",
                "//e2e/benchmarks:restart", {"dunlin": DUNLIN}),
    "crash": ("kill -9 under load, N cycles in each flush mode",
              "//e2e/chaos:crash_test", {"dunlin": DUNLIN}),
    "failover": ("kill -9 of a broker group's master under load, N times (needs etcd)",
                 "//e2e/chaos:replication_test",
                 MEMBER),
    "faults": ("a broker group whose master is killed N times and cut off N times, and what else may "
               "break, in modes SYNC and QUORUM (needs root and etcd)",
               "e2e/chaos/replication/faults.py",
               {"faults": "//e2e/chaos:faults_sync_test", **MEMBER}),
    "switchover": ("the master of a broker group under load hands over N times: how long nobody "
                   "acknowledges (needs root and etcd)",
                   "//e2e/chaos:faults_sync_test --scenario=switchover", MEMBER),
    "replication-async": ("1 KiB streams to a group of two, ASYNC, against one dunlin; N runs",
                          "e2e/benchmarks/replication.py --bench=replication-async",
                          {**STREAMS, **MEMBER}),
    "replication-sync": ("the same, SYNC; N runs",
                         "e2e/benchmarks/replication.py --bench=replication-sync",
                         {**STREAMS, **MEMBER}),
    "replication-quorum": ("the same to a group of three, QUORUM; N runs",
                           "e2e/benchmarks/replication.py --bench=replication-quorum",
                           {**STREAMS, **MEMBER}),
    "catch-up": ("a slave with an empty disk copies a long log; N runs",
                 "e2e/benchmarks/replication.py --bench=catch-up", {**STREAMS, **MEMBER}),
    "powercut": ("the file system goes away under load, N cycles with SYNC_FLUSH (needs root)",
                 "//e2e/chaos:powercut_test", {"dunlin": DUNLIN}),
    "bitflips": ("N flipped bits in log and index files, then everything is read",
                 "//e2e/chaos:bitflips_test", {"dunlin": DUNLIN, "dump": DUMP}),
    "simulation": ("N simulated broker groups under faults, each from its seed",
                   "//services/replicator/simulation:simulate", {}),
    "fifo": ("order per message group while consumers and broker are killed; N messages",
             "//e2e/chaos:fifo_test", {"dunlin": DUNLIN}),
    "transactions": ("half messages whose producers and broker are killed at every step; N of them",
                     "//e2e/chaos:transactions_test", {"dunlin": DUNLIN}),
    "filters": ("N SQL filters times messages, each held against SQLite",
                "//e2e/benchmarks:filters", {}),
    "stream-128-async": ("Publish, 128 B, ASYNC_FLUSH, 8 queues; N runs",
        "e2e/benchmarks/streams.py --bench=stream-128-async", STREAMS),
    "stream-128-sync": ("the same with fdatasync before each acknowledgement; N runs",
        "e2e/benchmarks/streams.py --bench=stream-128-sync", STREAMS),
    "stream-1k-async": ("Publish, 1 KiB, ASYNC_FLUSH, 8 queues; N runs",
        "e2e/benchmarks/streams.py --bench=stream-1k-async", STREAMS),
    "stream-1k-sync": ("the same with fdatasync before each acknowledgement; N runs",
        "e2e/benchmarks/streams.py --bench=stream-1k-sync", STREAMS),
    "consume-128": ("Subscribe, 128 B, what was just stored; N runs",
        "e2e/benchmarks/streams.py --bench=consume-128", STREAMS),
    "consume-1k": ("Subscribe, 1 KiB, what was just stored; N runs",
        "e2e/benchmarks/streams.py --bench=consume-1k", STREAMS),
    "end-to-end": ("from when a message is due to its delivery, 1000 a second; N runs",
        "e2e/benchmarks/streams.py --bench=end-to-end", STREAMS),
    "cold-read": ("10 GiB read that no page cache holds, while others produce (needs root)",
                  "e2e/benchmarks/streams.py --bench=cold-read", STREAMS),
    "queues-1m": ("20,000 messages a second over a million queues, against one; runs of N seconds",
                  "e2e/benchmarks/queues.py --bench=queues-1m", STREAMS),
    "lite-1m": ("N thousand lightweight topics made, consumed, restarted: memory of each",
                "e2e/benchmarks/lite.py --bench=lite-1m", STREAMS),
    "timers-insert": ("Publish of delayed messages, N millions pending: rate, memory, restart",
                      "e2e/benchmarks/timers.py --bench=timers-insert", STREAMS),
    "timers-burst": ("N millions of messages that are due at one moment, until all are in their "
                     "queues", "e2e/benchmarks/timers.py --bench=timers-burst", STREAMS),
    "timers-crash": ("kill -9 while delayed messages are sent and come due, N times",
                     "e2e/benchmarks/timers.py --bench=timers-crash", STREAMS),
    "timers-clock": ("N delayed messages on a clock that jumps, with 20 crashes: none early or lost",
                     "//e2e/chaos:timers_clock", {}),
    "overload": ("twice the peak for a minute: goodput, memory, refusals, nothing lost",
                 "e2e/benchmarks/overload.py --bench=overload", STREAMS),
    "soak": ("memory under full load, N minutes",
             "e2e/benchmarks/overload.py --bench=soak", STREAMS),
    "peers-native": ("each server's own best client, against the best of Kafka, NATS, RocketMQ; "
                     "N pairs", "e2e/peers/compare.py --bench=peers-native",
                     {"dunlin": DUNLIN, "dunlinctl": DUNLINCTL}),
    "peers-sdk": ("the official SDK for Go, against RocketMQ; N pairs",
                  "e2e/peers/compare.py --bench=peers-sdk",
                  {"dunlin": DUNLIN, "dunlinctl": DUNLINCTL}),
}


def usage(out):
    print("usage: ./dev bench NAME [N] [--quick] [--seed=SEED] [--directory=DIR]", file=out)
    print("       ./dev bench --list", file=out)


def show_list():
    for name, (what, _, _) in BENCHES.items():
        print("%-18s %s" % (name, what))


def path_of(label, root):
    package, name = label[2:].split(":")
    return os.path.join(root, package, name)


def command_of(program, root):
    words = program.split()
    if is_target(program):
        return [path_of(words[0], root), *words[1:]]
    return [sys.executable, *words]


def is_target(program):
    return program.startswith("//")


def build(labels):
    """Builds optimised, everything it has to say on standard error; the root of the outputs."""
    command = ["bazel", "build", "--config=opt", "--noshow_progress"] + labels
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit("bench: the build failed")
    return subprocess.run(["bazel", "info", "--config=opt", "bazel-bin"], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout.strip()


def parse(arguments):
    """The bench's name, and the flags of its program."""
    name, flags = None, []
    for argument in arguments:
        if argument == "--quick" or argument.startswith(("--seed=", "--directory=", "--flush=")):
            flags.append(argument)
        elif argument.startswith("-"):
            sys.exit("bench: no such option: " + argument)
        elif name is None:
            name = argument
        elif argument.isdigit() and int(argument) > 0:
            flags.append("--count=" + argument)
        else:
            sys.exit("bench: N is a number above 0, not " + argument)
    return name, flags


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        show_list()
        return 0
    name, flags = parse(arguments)
    if name is None:
        usage(sys.stderr)
        return 2
    if name not in BENCHES:
        sys.exit("bench: no such bench: %s; there are: %s" % (name, ", ".join(BENCHES)))
    _, program, needed = BENCHES[name]
    root = build([label.split()[0] for label in [program, *needed.values()] if is_target(label)])
    command = command_of(program, root) + flags
    command += ["--%s=%s" % (flag, path_of(label, root)) for flag, label in needed.items()]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = process.stdout.splitlines()
    try:
        result = json.loads(lines[-1])
        ok = result["ok"]
    except (IndexError, KeyError, ValueError):
        sys.stderr.write(process.stdout)
        sys.exit("bench: %s ended with status %d and no result" % (name, process.returncode))
    print(lines[-1])
    return 0 if ok and process.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
