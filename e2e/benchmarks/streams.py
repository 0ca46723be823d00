#!/usr/bin/env python3
"""Benches of Dunlin's streams: one server, one load generator on the same machine.

    streams.py --bench=NAME --dunlin=PATH --dunlinctl=PATH [--count=RUNS] [--quick] [--directory=DIR]

Each run has a fresh store. Every message of every run is read back and checked; one that is lost,
changed, repeated, reordered or invented voids the bench.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import bench_server
from bench_server import Failure, fresh, say

TOPIC = "bench"
QUEUES = 8

# name: what is measured
PRODUCE = {
    "stream-128-async": {"size": 128, "flush": "async", "bound": 2_500_000},
    "stream-128-sync": {"size": 128, "flush": "sync", "bound": 1_500_000},
    "stream-1k-async": {"size": 1024, "flush": "async", "bound": 450_000},
    "stream-1k-sync": {"size": 1024, "flush": "sync", "bound": 300_000},
}
CONSUME = {
    "consume-128": {"size": 128, "bound": 2_500_000},
    "consume-1k": {"size": 1024, "bound": 700_000},
}


class Server(bench_server.Server):
    def __init__(self, options, directory, flush):
        super().__init__(options, directory, ["store.flush_mode=%s_FLUSH" % flush.upper()])
        self.control("topic", "create", TOPIC, "--queues", str(QUEUES))


def measure(server, produce):
    """One load of `bench produce`, with what it cost the server."""
    before = server.cpu_seconds()
    result = server.load(*produce, "--no-verify")
    result["server_cpu_seconds"] = server.cpu_seconds() - before
    if result["errors"]:
        raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
    return result


def check(server, result):
    """Reads everything back; dunlinctl fails when a message is not as it was sent."""
    return server.load("consume", TOPIC, "--run", str(result["run"]), "--messages",
                       str(result["messages"]))


def produce_run(options, case, seconds):
    with Server(options, fresh(options), case["flush"]) as server:
        words = ["produce", TOPIC, "--size", str(case["size"])]
        warm = measure(server, words + ["--seconds", "2"])
        check(server, warm)
        result = measure(server, words + ["--seconds", str(seconds)])
        result["rss_anonymous_mib"] = server.memory_mib()
        check(server, result)
        if case["flush"] == "sync":
            half = measure(server, words + ["--seconds", str(seconds), "--rate",
                                                 str(int(result["rate"] / 2))])
            check(server, half)
            result["half_load_latency_us"] = half["latency_us"]
    return result


def consume_run(options, case, seconds):
    with Server(options, fresh(options), "async") as server:
        messages = int(case["bound"] * seconds)
        stored = measure(server, ["produce", TOPIC, "--size", str(case["size"]), "--messages",
                                       str(messages)])
        time.sleep(1)
        before = server.cpu_seconds()
        result = check(server, stored)
        result["server_cpu_seconds"] = server.cpu_seconds() - before
    return result


def end_to_end_run(options, seconds):
    with Server(options, fresh(options), "async") as server:
        result = server.load("end-to-end", TOPIC, "--rate", "1000", "--seconds", str(seconds))
        if result["errors"]:
            raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
    return result


def cold_read_run(options, backlog_bytes, seconds):
    """Reads a backlog that no page cache holds while others produce at half load."""
    if os.geteuid() != 0:
        raise Failure("only root can empty the page cache")
    with Server(options, fresh(options), "async") as server:
        size = ["--size", "1024"]
        words = ["produce", TOPIC, *size]
        backlog = measure(server, words + ["--messages", str(backlog_bytes // 1024)])
        half = words + ["--rate", str(int(backlog["rate"] / 2))]
        # Another topic: the reader is to read the backlog, and nothing else.
        half[1] = "other"
        server.control("topic", "create", "other", "--queues", str(QUEUES))
        alone = measure(server, half + ["--seconds", str(seconds)])
        subprocess.run(["sync"], check=True)
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("1\n")
        command = [options.dunlinctl, "--endpoint", server.endpoint, "bench", *half,
                   "--seconds", "600", "--no-verify", "-o", "json"]
        producer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    text=True)
        try:
            read = check(server, backlog)
        finally:
            producer.send_signal(signal.SIGINT)
        together = json.loads(producer.communicate(timeout=60)[0])
        if together["errors"]:
            raise Failure("%d errors: %s" % (together["errors"], together["first_error"]))
        read["megabytes_per_second"] = read["rate"] * 1024 / 1e6
        read["producer_p99_alone_us"] = alone["latency_us"]["p99"]
        read["producer_p99_us"] = together["latency_us"]["p99"]
    return read


def summary(options, runs):
    """The line of JSON."""
    name = options.bench
    result = {"bench": name, "metric": "throughput", "unit": "msg/s", "better": "higher"}
    rates = [run["rate"] for run in runs]
    detail = {"runs": len(runs)}
    if name == "end-to-end":
        p99 = [run["latency_us"]["p99"] / 1000 for run in runs]
        p50 = statistics.median(run["latency_us"]["p50"] / 1000 for run in runs)
        result.update(metric="p99 from due to delivered, 1000 msg/s", unit="ms", better="lower",
                      value=round(statistics.median(p99), 3), bound=1.0)
        detail.update(p50_ms=round(p50, 3), p50_bound_ms=0.3, p99_min=round(min(p99), 3),
                      p99_max=round(max(p99), 3),
                      p99_9_ms=[round(run["latency_us"]["p99_9"] / 1000, 3) for run in runs])
        met = result["value"] <= result["bound"] and p50 <= 0.3
    elif name == "cold-read":
        speeds = [run["megabytes_per_second"] for run in runs]
        ratios = [run["producer_p99_us"] / run["producer_p99_alone_us"] for run in runs]
        result.update(metric="backlog read while others produce at half load", unit="MB/s",
                      value=round(statistics.median(speeds)), bound=300)
        detail.update(min=round(min(speeds)), max=round(max(speeds)),
                      producer_p99_ratio=round(statistics.median(ratios), 2),
                      producer_p99_ratio_bound=2,
                      producer_p99_alone_us=runs[0]["producer_p99_alone_us"])
        met = result["value"] >= 300 and detail["producer_p99_ratio"] <= 2
    else:
        bound = {**PRODUCE, **CONSUME}[name]["bound"]
        result.update(value=round(statistics.median(rates)), bound=bound)
        detail.update(rate_min=round(min(rates)), rate_max=round(max(rates)))
        met = result["value"] >= bound
        for field in ("server_cpu_seconds", "client_cpu_seconds"):
            detail["messages_per_" + field[:-1]] = round(statistics.median(
                run["messages"] / run[field] for run in runs))
        detail["latency_us"] = runs[len(runs) // 2]["latency_us"]
        if name in PRODUCE:
            detail["rss_anonymous_mib"] = round(max(run["rss_anonymous_mib"] for run in runs))
        if name.endswith("-sync"):
            half = [run["half_load_latency_us"]["p99"] / 1000 for run in runs]
            detail.update(half_load_ack_p99_ms=round(statistics.median(half), 3),
                          half_load_ack_p99_bound_ms=3)
            met = met and statistics.median(half) <= 3
    detail["messages_verified"] = sum(run["messages"] for run in runs)
    return {**result, "ok": met, "detail": detail}


def bench(options):
    runs = []
    for number in range(options.count or (1 if options.quick else 3)):
        if options.bench in PRODUCE:
            run = produce_run(options, PRODUCE[options.bench], 3 if options.quick else 6)
        elif options.bench in CONSUME:
            run = consume_run(options, CONSUME[options.bench], 2 if options.quick else 6)
        elif options.bench == "cold-read":
            gib = 1 if options.quick else 10
            run = cold_read_run(options, gib << 30, 5 if options.quick else 10)
        else:
            run = end_to_end_run(options, 5 if options.quick else 20)
        runs.append(run)
        say("run %d: %.0f msg/s, p99 %.0f us" % (number + 1, run["rate"],
                                                run["latency_us"]["p99"]))
    return summary(options, runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bench_server.add_options(parser, [*PRODUCE, *CONSUME, "end-to-end", "cold-read"])
    return bench_server.run(parser.parse_args(), bench)


if __name__ == "__main__":
    sys.exit(main())
