#!/usr/bin/env python3
"""Twice what the broker can do, for a minute; and all it can do, for long.

    overload.py --bench=overload|soak --dunlin=PATH --dunlinctl=PATH [--count=MINUTES] [--quick]
                [--directory=DIR]

overload: several producers offer twice the measured peak at fixed times, first by SendMessage, then
by streams. What is too much must be refused with the time after which to try again, or not be let
out by a stream's credit; goodput must stay, memory must not grow, and every message must be where
its acknowledgement says, no refused one anywhere.

soak: a producer and a consumer as fast as the two of them go, for MINUTES (10 by default).
"""

import argparse
import os
import sys

import bench_server
from bench_server import Failure, Loads, Server, fresh, growth_mib, say

PRODUCERS = 4
QUEUES = 8
GOODPUT_BOUND = 0.80
MEMORY_BOUND_MIB = 512
GROWTH_BOUND_MIB = 32
# Bytes of the log for a message of 128 bytes, at most.
LOGGED_BYTES = 256

# Of the consumer of a soak, in messages: the log keeps many times as many.
MAX_LAG = 4_000_000

# How the peak is measured, and what drives it beyond. SendMessage is held back by gRPC more than by
# the broker: a small room shows refusals all the same.
CASES = {
    "v2": {"settings": ["broker.max_pending_calls=512"],
           "peak": ["--api", "v2", "--outstanding", "64", "--streams", "2"],
           "over": ["--api", "v2", "--outstanding", "2048", "--streams", "4"]},
    "streams": {"settings": [],
                "peak": ["--streams", "2"],
                "over": ["--streams", "8", "--pending", str(64 << 20)]},
}


def topic(number):
    return "bench%d" % number


def run_loads(server, words, seconds):
    """(messages per second, memory samples, results); whatever was acknowledged is verified."""
    loads = Loads(server, [["produce", topic(number), "--seconds", str(seconds), *words]
                           for number in range(PRODUCERS)])
    samples = loads.watch(seconds)
    results = loads.results()
    for result in results:
        if "verified" not in result:
            raise Failure("%d errors without overload: %s" % (result["errors"],
                                                              result["first_error"]))
    return sum(result["rate"] for result in results), samples, results


def peak(server, case, seconds):
    rate = run_loads(server, case["peak"], seconds)[0]
    say("peak: %.0f msg/s" % rate)
    return rate


def drive(server, case, rate, seconds, extra=()):
    """Twice `rate` for so long; what came of it."""
    refused = int(server.describe()["refused_sends"])
    words = [*case["over"], "--shed", "--rate", str(int(2 * rate / PRODUCERS)), *extra]
    goodput, samples, results = run_loads(server, words, seconds)
    total = {name: sum(result.get(name, 0) for result in results)
             for name in ("messages", "due", "shed", "refused", "refused_unhinted", "errors",
                          "verified")}
    total["sends_refused"] = int(server.describe()["refused_sends"]) - refused
    total["goodput"] = goodput
    total["seconds"] = seconds
    total["rss_anonymous_mib"] = round(max(samples))
    total["growth_mib"] = round(growth_mib(samples), 1)
    total["latency_p99_ms"] = round(max(r["latency_us"]["p99"] for r in results) / 1000)
    say("offered %.0f msg/s: goodput %.0f msg/s, %d sends refused, RssAnon %d MiB, grown by %.1f"
        % (total["due"] / seconds, goodput, total["sends_refused"], total["rss_anonymous_mib"],
           total["growth_mib"]))
    return total


def affordable(options, rate, seconds):
    """So long, or until half of the free disk is full."""
    disk = os.statvfs(options.directory)
    return max(5, min(seconds, int(disk.f_bavail * disk.f_frsize / 2 / LOGGED_BYTES / rate)))


def flat(options, most, growth):
    # A short cut ends before everything has its place.
    return most <= MEMORY_BOUND_MIB and (options.quick or growth <= GROWTH_BOUND_MIB)


def overload_case(options, name, quick):
    case = CASES[name]
    with Server(options, fresh(options), case["settings"]) as server:
        for number in range(PRODUCERS):
            server.control("topic", "create", topic(number), "--queues", str(QUEUES))
        say("%s:" % name)
        peak_seconds = 3 if quick else 10
        before = peak(server, case, peak_seconds)
        over = drive(server, case, before, affordable(options, before, 6 if quick else 60))
        if name == "v2":
            # Not all clients do as they are told.
            deaf = drive(server, case, before, 5 if quick else 20, ["--ignore-hints"])
        after = peak(server, case, peak_seconds)
    over["peak"] = (before + after) / 2
    over["peaks"] = [round(before), round(after)]
    over["ratio"] = round(over["goodput"] / over["peak"], 3)
    if name == "v2":
        over["ratio_when_hints_are_ignored"] = round(deaf["goodput"] / over["peak"], 3)
    over["goodput"], over["peak"] = round(over["goodput"]), round(over["peak"])
    over["refusals_were_right"] = over["sends_refused"] > 0 and over["refused_unhinted"] == 0
    over["memory_was_flat"] = flat(options, over["rss_anonymous_mib"], over["growth_mib"])
    return over


def overload(options):
    detail = {name: overload_case(options, name, options.quick) for name in CASES}
    value = min(case["ratio"] for case in detail.values())
    ok = value >= GOODPUT_BOUND and all(case["refusals_were_right"] and case["memory_was_flat"]
                                        for case in detail.values())
    detail["growth_bound_mib"] = GROWTH_BOUND_MIB
    detail["rss_anonymous_bound_mib"] = MEMORY_BOUND_MIB
    return {"bench": "overload", "metric": "goodput at twice the peak rate, of the peak",
            "value": value, "unit": "ratio", "bound": GOODPUT_BOUND, "better": "higher", "ok": ok,
            "detail": detail}


def soak(options):
    seconds = 20 if options.quick else 60 * (options.count or 10)
    settings = ["store.retention.max_bytes=%d" % (8 << 30)]
    with Server(options, fresh(options), settings) as server:
        server.control("topic", "create", "bench", "--queues", str(QUEUES))
        loads = Loads(server, [["end-to-end", "bench", "--seconds", str(seconds),
                                "--max-lag", str(MAX_LAG)]])
        samples = loads.watch(seconds)
        result = loads.results()[0]
    if result["errors"]:
        raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
    most, growth = round(max(samples), 1), round(growth_mib(samples), 1)
    return {"bench": "soak", "metric": "anonymous memory under full load, most", "value": most,
            "unit": "MiB", "bound": MEMORY_BOUND_MIB, "better": "lower",
            "ok": flat(options, most, growth),
            "detail": {"seconds": seconds, "growth_mib": growth,
                       "growth_bound_mib": GROWTH_BOUND_MIB, "rate": round(result["rate"]),
                       "messages_verified": result["verified"],
                       "samples_mib": [round(s) for s in samples[::max(1, len(samples) // 20)]]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bench_server.add_options(parser, ["overload", "soak"])
    options = parser.parse_args()
    return bench_server.run(options, overload if options.bench == "overload" else soak)


if __name__ == "__main__":
    sys.exit(main())
