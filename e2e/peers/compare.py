#!/usr/bin/env python3
"""Compares Dunlin with its peers on this machine: one broker alive at a time, in turns A B, B A.

    e2e/peers/compare.py [--pairs N] [--quick] [--only ROW,...] [--peers NAME,...] [--best]

Every figure that matters is a ratio of two runs that were neighbours. Prints a table (Markdown) on
standard output; every run is one line of JSON in --output. README.md says what is held equal.
"""

import argparse
import collections
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine
import systems

STEAL_MAX = 0.02
DISK_MAX_BYTES = 35e9
STARTS = 5

Row = collections.namedtuple("Row", "name kind size flush peers")
NATIVE_PEERS = ["kafka", "nats", "rocketmq"]
ROWS = [
    Row("native-128-async", "native", 128, "async", NATIVE_PEERS),
    Row("native-128-sync", "native", 128, "sync", NATIVE_PEERS),
    Row("native-1k-async", "native", 1024, "async", NATIVE_PEERS),
    Row("native-1k-sync", "native", 1024, "sync", NATIVE_PEERS),
    Row("sdk-128-async", "sdk", 128, "async", ["rocketmq"]),
    Row("start", "start", 128, "async", NATIVE_PEERS),
]
# Entries of ./dev bench: the rows, and the least that the ratio of rates (and of messages per
# processor second of the broker) may be.
BENCHES = {
    "peers-native": (["native-128-async", "native-128-sync", "native-1k-async", "native-1k-sync"],
                     3, None),
    "peers-sdk": (["sdk-128-async"], 3, 5),
}


def progress(text):
    print(text, file=sys.stderr, flush=True)


def sort_out(pair, good, bad, quick=False):
    """Adds a pair to those that count, or why it does not to the others."""
    steal = max(run.get("steal", 0) for run in pair)
    if any("void" in run for run in pair):
        bad.append(next(run["void"] for run in pair if "void" in run))
    elif steal > STEAL_MAX and not quick:
        bad.append("%.1f %% of the processors stolen" % (steal * 100))
    else:
        good.append(pair)


def read_pairs(paths):
    """What earlier comparisons wrote, as main() has it; two runs in a row are a pair."""
    compared = {}
    for path in paths:
        with open(path) as lines:
            runs = [run for run in map(json.loads, lines) if "row" in run]
        for pair in zip(runs[::2], runs[1::2]):
            ours, peers = sorted(pair, key=lambda run: run["system"] != "dunlin")
            good, bad = compared.setdefault((ours["row"], peers["system"]), ([], []))
            sort_out((ours, peers), good, bad)
    return [(row, peer, *compared[row.name, peer]) for row in ROWS for peer in row.peers
            if (row.name, peer) in compared]


class Comparison:
    def __init__(self, options):
        self.options = options
        if options.directory:
            os.makedirs(options.directory, exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix="dunlin-peers-", dir=options.directory))
        self.output = open(options.output, "a")
        self.number = 0
        self.violations = []  # Dunlin's own: they void a bench, whatever its value

    def record(self, **what):
        self.output.write(json.dumps(what) + "\n")
        self.output.flush()

    def system(self, name):
        self.number += 1
        place = self.directory / str(self.number)
        place.mkdir()
        if name == "dunlin":
            return systems.Dunlin(place / "data", self.options.dunlin, self.options.dunlinctl)
        return systems.PEERS[name](place / "data")

    def run(self, row, name):
        """One run on a fresh directory; what was measured. A run that proves wrong has `void`."""
        machine.come_to_rest()
        system = self.system(name)
        try:
            result = self.starts(system) if row.kind == "start" else self.load(system, row)
        except systems.Failure as failure:
            result = {"void": str(failure)}
        finally:
            system.stop()
            subprocess.run(["rm", "-rf", system.scratch], check=True)
        result = {"row": row.name, "system": name, **result}
        self.record(**result)
        progress(summary(result))
        if name == "dunlin" and "void" in result:
            self.violations.append(f"{row.name}: {result['void']}")
        return result

    def load(self, system, row):
        options = self.options
        load = system.native if row.kind == "native" else system.sdk
        system.start(row.flush)
        system.create_topic()
        warmup = options.warmup if options.warmup is not None else system.warmup_seconds
        settle = min(system.settle_seconds, warmup)
        system.warm_up(row.kind, row.size, row.flush, warmup)
        before, seconds = system.count(), options.seconds
        used = system.disk_bytes()
        seconds = min(seconds, max(5, (DISK_MAX_BYTES - used) / (used / warmup) - settle))
        window = machine.Window(system)
        result = load(row.size, row.flush, seconds, settle)
        result.update(window.end(result["client_cpu_seconds"]))
        stored = system.count() - before
        acknowledged = result.get("all_messages") or result["messages"]
        result["stored"] = stored
        result["messages_per_broker_cpu_second"] = stored / max(result["broker_cpu_seconds"], 0.01)
        result["bytes_per_message"] = result["disk_growth_bytes"] / max(stored, 1)
        if result["errors"]:
            result["void"] = f"{result['errors']} errors"
        elif stored < acknowledged:
            result["void"] = f"{acknowledged} messages acknowledged, {stored} stored"
        return result

    def starts(self, system):
        """From the start of the broker to the first accepted message, on a small existing store."""
        system.start("async")
        system.create_topic()
        system.stop()
        taken, memory = [], []
        for _ in range(1 if self.options.quick else STARTS):
            begin = time.monotonic()
            starter = threading.Thread(target=system.start, args=["async"])
            starter.start()
            try:
                systems.run_client(["timeout", systems.START_LIMIT_SECONDS, *system.first_send()],
                                   system.scratch)
                taken.append(time.monotonic() - begin)
            finally:
                starter.join()
            memory.append(machine.memory_mib(system.pids()))
            system.stop()
        return {"start_seconds": statistics.median(taken), "starts": taken, "errors": 0,
                "rss_mib": statistics.median(rss for rss, _ in memory),
                "anonymous_mib": statistics.median(anonymous for _, anonymous in memory)}

    def pair(self, row, peer, dunlin_first):
        order = ["dunlin", peer] if dunlin_first else [peer, "dunlin"]
        runs = {name: self.run(row, name) for name in order}
        return runs["dunlin"], runs[peer]

    def pairs(self, row, peer):
        """Pairs that count; one that does not is repeated, but not for ever."""
        good, bad = [], []
        while len(good) < self.options.pairs and len(bad) < max(2, self.options.pairs):
            pair = self.pair(row, peer, (len(good) + len(bad)) % 2 == 0)
            sort_out(pair, good, bad, self.options.quick)
        return good, bad

    def best_peer(self, row):
        """The fastest by one run each."""
        runs = [self.run(row, peer) for peer in row.peers]
        return max(runs, key=lambda run: run.get("rate", 0))["system"]


def summary(run):
    text = f"{run['row']} {run['system']}: "
    if "void" in run:
        return text + "VOID: " + run["void"]
    if "start_seconds" in run:
        return text + "%.2f s to the first message, %.0f MiB" % (run["start_seconds"],
                                                               run["rss_mib"])
    return text + ("%.1f k msg/s, %.1f k per broker CPU second, client %.2f cores, others %.2f, "
                   "steal %.1f %%, %.0f MiB, %.0f bytes each" % (
                       run["rate"] / 1e3, run["messages_per_broker_cpu_second"] / 1e3,
                       run["client_cpu_cores"], run["foreign_cpu_cores"], run["steal"] * 100,
                       run["rss_mib"], run["bytes_per_message"]))


# What the table shows: title, field of a run, whether ours is above the line of the ratio (more is
# better) or below it (less is better). Either way above 1 is good for Dunlin.
COLUMNS = [
    ("rate", "rate", True),
    ("per broker CPU second", "messages_per_broker_cpu_second", True),
    # Pages of a mapped log are in the page cache anyway, and count for a process that maps them.
    ("memory", "anonymous_mib", False),
    ("disk per message", "bytes_per_message", False),
    ("p50", "latency_us.p50", False),
    ("p99", "latency_us.p99", False),
    ("p99.9", "latency_us.p99_9", False),
    ("time to start", "start_seconds", False),
]


def figure(run, field):
    """None when the run has none."""
    for name in field.split("."):
        run = run.get(name) if run else None
    return run


def ratios(pairs, field, ours_above):
    values = []
    for ours, peers in pairs:
        above, below = (ours, peers) if ours_above else (peers, ours)
        if figure(above, field) is not None and figure(below, field):
            values.append(figure(above, field) / figure(below, field))
    return values


def spread(values):
    if not values:
        return "–"
    return "%.2f (%.2f..%.2f)" % (statistics.median(values), min(values), max(values))


def table(compared):
    lines = ["Ratios, median (least..most) over the pairs; above 1 is better for Dunlin.", "",
             "| row | peer | pairs (discarded) | msg/s, Dunlin : peer | " +
             " | ".join(title for title, _, _ in COLUMNS) + " |",
             "|---" * (4 + len(COLUMNS)) + "|"]
    for row, peer, good, bad in compared:
        rates = [statistics.median(runs) if runs else 0
                 for runs in zip(*([run.get("rate", 0) for run in pair] for pair in good))]
        cells = [row.name, peer, f"{len(good)} ({len(bad)})",
                 "%.1f k : %.1f k" % tuple(rate / 1e3 for rate in rates) if any(rates) else "–"]
        cells += [spread(ratios(good, field, above)) for _, field, above in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def peers_table(runs):
    """Without Dunlin: the figures themselves."""
    lines = ["| row | system | msg/s | p50, p99 ms | per broker CPU second | client cores | "
             "others' cores | steal | MiB (anonymous) | bytes each | start s |", "|---" * 11 + "|"]
    for run in runs:
        if "void" in run:
            lines.append(f"| {run['row']} | {run['system']} | void: {run['void']} |" + " |" * 8)
            continue
        if "rate" not in run:
            lines.append(f"| {run['row']} | {run['system']} |" + " – |" * 6 +
                         f" {run['rss_mib']:.0f} | – | {run['start_seconds']:.2f} |")
            continue
        latency = run["latency_us"]
        times = ["%.1f" % (latency[name] / 1e3) if name in latency else "–"
                 for name in ("p50", "p99")]
        cells = [run["row"], run["system"], "%.1f k" % (run["rate"] / 1e3), ", ".join(times),
                 "%.1f k" % (run["messages_per_broker_cpu_second"] / 1e3),
                 "%.2f" % run["client_cpu_cores"], "%.2f" % run["foreign_cpu_cores"],
                 "%.1f %%" % (run["steal"] * 100),
                 "%.0f (%.0f)" % (run["rss_mib"], run["anonymous_mib"]),
                 "%.0f" % run["bytes_per_message"], "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def bench_result(options, compared, violations):
    """The line of ./dev bench: the row and peer that Dunlin is least ahead of decide."""
    name = options.bench
    _, bound, efficiency_bound = BENCHES[name]
    rows, missing = [], list(violations)
    for row, peer, good, bad in compared:
        if not good:
            missing.append(f"{row.name} against {peer}: {'; '.join(bad)}")
            continue
        values = ratios(good, "rate", True)
        efficiency = ratios(good, "messages_per_broker_cpu_second", True)
        rows.append({
            "row": row.name, "peer": peer, "pairs": len(good), "discarded": bad,
            "ratio": round(statistics.median(values), 3),
            "ratio_min": round(min(values), 3), "ratio_max": round(max(values), 3),
            "dunlin_rate": round(statistics.median(ours["rate"] for ours, _ in good)),
            "peer_rate": round(statistics.median(theirs["rate"] for _, theirs in good)),
            "per_broker_cpu_second_ratio": round(statistics.median(efficiency), 3),
            "memory_ratio": round(statistics.median(ratios(good, "anonymous_mib", False)), 3),
            "dunlin_client_cores": round(statistics.median(
                ours["client_cpu_cores"] for ours, _ in good), 2),
            "steal_max": round(max(run["steal"] for pair in good for run in pair), 4),
            "foreign_cores_max": round(max(run["foreign_cpu_cores"] for pair in good
                                           for run in pair), 2),
        })
    value = min((row["ratio"] for row in rows), default=0)
    ok = not missing and value >= bound
    detail = {"rows": rows, "seconds": options.seconds}
    if options.quick:
        detail["warning"] = "--quick: a JVM is not warm yet, which flatters Dunlin; not a result"
    if efficiency_bound is not None:
        least = min((row["per_broker_cpu_second_ratio"] for row in rows), default=0)
        detail["per_broker_cpu_second_ratio"] = least
        detail["per_broker_cpu_second_bound"] = efficiency_bound
        ok = ok and least >= efficiency_bound
    if missing:
        detail["violation"] = "; ".join(missing)
    return {"bench": name, "metric": "rate of Dunlin : rate of the best peer", "value": value,
            "unit": "ratio", "bound": bound, "better": "higher", "ok": ok, "detail": detail}


def versions(options):
    def first_line(command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return (done.stdout.splitlines() or ["?"])[0]

    return {"git": first_line(["git", "-C", str(systems.ROOT), "describe", "--always", "--dirty"]),
            "kernel": platform.release(), "processors": os.cpu_count(),
            "arguments": sys.argv[1:], "pairs": options.pairs, "seconds": options.seconds,
            "warmup": options.warmup}


def words(text):
    return [word for word in text.split(",") if word]


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", "--count", type=int, help="pairs of each row (default: 6)")
    parser.add_argument("--quick", action="store_true", help="one pair of short runs: a trial")
    parser.add_argument("--only", type=words, help="rows: " + ", ".join(row.name for row in ROWS))
    parser.add_argument("--peers", type=words, help="of " + ", ".join(NATIVE_PEERS))
    parser.add_argument("--best", action="store_true",
                        help="only the peer that is fastest in the row, by one run of each")
    parser.add_argument("--alone", action="store_true", help="the peers by themselves, no Dunlin")
    parser.add_argument("--seconds", type=float, help="measured in a run (default: 20)")
    parser.add_argument("--warmup", type=float,
                        help="seconds of load before (default: 60 for a JVM, 10 for others)")
    parser.add_argument("--flush", choices=["async", "sync"], help="only rows of this durability")
    parser.add_argument("--directory", default=None, help="where to work (default: below /tmp)")
    parser.add_argument("--output", help="JSON lines are added to it (default: below /tmp)")
    parser.add_argument("--table", nargs="+", metavar="OUTPUT",
                        help="runs nothing: the table of what was written there by --pairs")
    parser.add_argument("--dunlin", default=str(systems.ROOT / "bin/dunlin"))
    parser.add_argument("--dunlinctl", default=str(systems.ROOT / "bin/dunlinctl"))
    parser.add_argument("--bench", choices=BENCHES, help="end with the line of ./dev bench")
    options = parser.parse_args()
    options.pairs = options.pairs or (1 if options.quick else 6)
    options.seconds = options.seconds or (5 if options.quick else 20)
    if options.warmup is None and options.quick:
        options.warmup = 3
    options.output = options.output or "/tmp/dunlin-peers-%d.jsonl" % os.getpid()
    if options.bench:
        options.only, options.best = BENCHES[options.bench][0], True
        if options.quick:
            options.only = options.only[:1]
    unknown = set(options.only or []) - {row.name for row in ROWS}
    unknown |= set(options.peers or []) - set(NATIVE_PEERS)
    if unknown:
        parser.error("no such row or peer: " + ", ".join(sorted(unknown)))
    return options


def main():
    options = parse()
    if options.table:
        print(table(read_pairs(options.table)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare: ended by a signal"))
    comparison = Comparison(options)
    comparison.record(**versions(options))
    progress(f"compare: every run in {options.output}, data below {comparison.directory}")
    compared, runs = [], []
    try:
        for row in ROWS:
            if (options.only and row.name not in options.only or
                    options.flush and row.flush != options.flush):
                continue
            peers = [peer for peer in row.peers if not options.peers or peer in options.peers]
            if options.alone:
                runs += [comparison.run(row, peer) for _ in range(options.pairs) for peer in peers]
                continue
            if options.best and len(peers) > 1 and row.kind != "start":
                peers = [comparison.best_peer(row._replace(peers=peers))]
            compared += [(row, peer, *comparison.pairs(row, peer)) for peer in peers]
    finally:
        subprocess.run(["rm", "-rf", comparison.directory], check=True)
    if options.bench:
        result = bench_result(options, compared, comparison.violations)
        print(json.dumps(result))
        return 0 if result["ok"] else 1
    print(peers_table(runs) if options.alone else table(compared))
    return 0 if all(good for _, _, good, _ in compared) else 1


if __name__ == "__main__":
    sys.exit(main())
