#!/usr/bin/env python3
"""20,000 messages a second over a million queues, against the same over one.

    queues.py --bench=queues-1m --dunlin=PATH --dunlinctl=PATH [--count=SECONDS] [--quick]
              [--directory=DIR]

Every queue of a thousand topics gets one message first. Then the load runs SECONDS (30) over one
queue, over queues taken at random, over one again. After a kill -9 the server is started again,
and every message of every run must be in the queue that it was sent to.
"""

import argparse
import statistics
import sys
import time

import bench_server
from bench_server import Failure, Server, fresh, say

RATE = 20_000
RATIO_BOUND = 0.90
RSS_BOUND_MIB = 2048
RESTART_BOUND_SECONDS = 10
TOPIC = "bench"
# A stream has at most 65,536 bindings.
STREAMS = 16


def load(server, spread, topics, queues, *words):
    """A run of `bench produce`; with its place, for the check."""
    cpu, begun = server.cpu_seconds(), time.monotonic()
    place = ["--topics", str(topics), "--queues", str(queues)]
    result = server.load("produce", TOPIC, "--no-verify", "--spread", spread, *place, *words)
    if result["errors"]:
        raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
    result["cpu_cores"] = (server.cpu_seconds() - cpu) / (time.monotonic() - begun)
    result["spread"], result["place"] = spread, place
    say("%s over %d queues: %.0f msg/s, p99 %.1f ms, %.2f cores, RSS %d MiB"
        % (spread, topics * queues, result["rate"], result["latency_us"]["p99"] / 1000,
           result["cpu_cores"], server.memory_mib("VmRSS")))
    return result


def check(server, results):
    """Every message of all runs, which went over the same queues, is where it was sent to."""
    words = ["consume", TOPIC, *results[0]["place"]]
    for result in results:
        words += ["--run", str(result["run"]), "--messages", str(result["messages"]),
                  "--spread", result["spread"]]
    read = server.load(*words)
    if read["messages"] != sum(result["messages"] for result in results):
        raise Failure("%d messages were read" % read["messages"])


def create(server, topics, queues):
    begun = time.monotonic()
    for number in range(topics):
        server.control("topic", "create", "%s-%d" % (TOPIC, number), "--queues", str(queues))
    say("%d topics with %d queues each, made in %.0f s" % (topics, queues,
                                                          time.monotonic() - begun))


def latency(results):
    return {name: round(statistics.median(r["latency_us"][name] for r in results) / 1000, 2)
            for name in ("p50", "p99")}


def queues_1m(options):
    topics, queues = (100, 1000) if options.quick else (1000, 1000)
    seconds = str(options.count or (5 if options.quick else 30))
    steady = ["--rate", str(RATE), "--seconds", seconds, "--streams", str(STREAMS)]
    with Server(options, fresh(options)) as server:
        create(server, topics, queues)
        fill = load(server, "each", topics, queues, "--messages", str(topics * queues),
                    "--streams", str(STREAMS))
        # The one queue has its messages beside those of the first load.
        one = [load(server, "random", 1, 1, *steady)]
        many = [load(server, "random", topics, queues, *steady) for _ in range(2)]
        one.append(load(server, "random", 1, 1, *steady))
        rss = server.memory_mib("VmRSS")
        anonymous = server.memory_mib()
        server.kill()
        begun = time.monotonic()
        server.start()
        restart = time.monotonic() - begun
        say("started again in %.1f s" % restart)
        check(server, [fill, *many])
        check(server, one)
    ratio = (statistics.median(r["rate"] for r in many) / statistics.median(r["rate"] for r in one))
    ok = (ratio >= RATIO_BOUND and rss <= RSS_BOUND_MIB and restart <= RESTART_BOUND_SECONDS)
    return {"bench": "queues-1m", "metric": "rate over very many queues, of that over one",
            "value": round(ratio, 3), "unit": "ratio", "bound": RATIO_BOUND, "better": "higher",
            "ok": ok,
            "detail": {"queues": topics * queues, "topics": topics, "offered": RATE,
                       "rates_one": [round(r["rate"]) for r in one],
                       "rates_many": [round(r["rate"]) for r in many],
                       "latency_ms_one": latency(one), "latency_ms_many": latency(many),
                       "server_cores_one": round(one[0]["cpu_cores"], 2),
                       "server_cores_many": round(many[0]["cpu_cores"], 2),
                       "fill_rate": round(fill["rate"]), "rss_mib": round(rss),
                       "rss_anonymous_mib": round(anonymous), "rss_bound_mib": RSS_BOUND_MIB,
                       "restart_seconds": round(restart, 2),
                       "restart_bound_seconds": RESTART_BOUND_SECONDS}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bench_server.add_options(parser, ["queues-1m"])
    return bench_server.run(parser.parse_args(), queues_1m)


if __name__ == "__main__":
    sys.exit(main())
