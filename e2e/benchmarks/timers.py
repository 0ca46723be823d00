#!/usr/bin/env python3
"""Benches of delayed messages: one server, one load generator on the same machine.

    timers.py --bench=NAME --dunlin=PATH --dunlinctl=PATH [--count=MILLIONS] [--quick] [--directory=DIR]

Every message is counted when it waits; those that come due are read back and checked: one that is
lost, repeated or early voids the bench.
"""

import argparse
import json
import random
import subprocess
import sys
import time

import bench_server
from bench_server import Failure, fresh, say

TOPIC = "bench"
QUEUES = 8
INSERT_BOUND = 150_000
BURST_BOUND = 300_000
# Most memory for what is pending, MiB over that of the same server before.
PENDING_MIB = 200


class Server(bench_server.Server):
    def __init__(self, options, directory):
        super().__init__(options, directory)
        self.control("topic", "create", TOPIC, "--queues", str(QUEUES), "--kinds", "DELAY")

    def queues(self):
        """Messages that wait, and messages that stand in their queues."""
        queues = json.loads(self.control("topic", "describe", TOPIC, "-o", "json"))["queues"]
        return (sum(int(queue.get("delayed", 0)) for queue in queues),
                sum(int(queue.get("max_offset", 0)) for queue in queues))

    def produce(self, messages, delay, spread=0):
        """Returns when all of it is stored and indexed."""
        words = ["produce", TOPIC, "--messages", str(messages), "--size", "128", "--no-verify",
                 "--delay-seconds", str(delay)]
        if spread:
            words += ["--delay-spread-seconds", str(spread)]
        before, _ = self.queues()
        begun = time.monotonic()
        result = self.load(*words)
        if result["errors"]:
            raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
        while self.queues()[0] < before + messages:
            if time.monotonic() > begun + 300:
                raise Failure("%d of %d messages wait" % (self.queues()[0] - before, messages))
        result["indexed_seconds"] = time.monotonic() - begun
        return result


def insert(options):
    millions = options.count or (1 if options.quick else 5)
    messages = millions * 1_000_000
    with Server(options, fresh(options)) as server:
        server.produce(100_000, 3600, 3600)
        memory = server.memory_mib()
        cpu = server.cpu_seconds()
        result = server.produce(messages, 3600, 3600)
        cpu = server.cpu_seconds() - cpu
        rate = messages / max(result["indexed_seconds"], result["seconds"])
        time.sleep(4)  # a checkpoint
        grown = server.memory_mib() - memory
        say("%.0f msg/s, %.0f MiB more" % (rate, grown))
        server.kill()
        begun = time.monotonic()
        server.start()
        waiting, _ = server.queues()
        restart = time.monotonic() - begun
        if waiting != messages + 100_000:
            raise Failure("%d messages wait after the restart, not %d" % (waiting, messages + 100_000))
        after = server.memory_mib()
    return {"bench": "timers-insert", "metric": "delayed messages stored and indexed",
            "unit": "msg/s", "better": "higher", "value": round(rate), "bound": INSERT_BOUND,
            "ok": rate >= INSERT_BOUND and grown <= PENDING_MIB,
            "detail": {"messages": messages, "acknowledged_per_second": round(result["rate"]),
                       "grown_mib": round(grown), "grown_bound_mib": PENDING_MIB,
                       "rss_anonymous_after_restart_mib": round(after),
                       "kill_to_counted_seconds": round(restart, 2),
                       "messages_per_server_cpu_second": round(messages / cpu)}}


def burst(options):
    millions = options.count or (1 if options.quick else 3)
    messages = millions * 1_000_000
    with Server(options, fresh(options)) as server:
        delay = 5 + millions * 8
        result = server.produce(messages, delay)
        due = result["first_due_ms"] / 1000
        if time.time() > due:
            raise Failure("storing them took longer than %d s" % delay)
        time.sleep(max(0, due - time.time() - 1))
        if server.queues()[1] != 0:
            raise Failure("%d messages came early" % server.queues()[1])
        time.sleep(max(0, due - time.time()))
        cpu = server.cpu_seconds()
        waiting, delivered = server.queues()
        while waiting:
            if time.time() > due + 120:
                raise Failure("%d messages still wait" % waiting)
            waiting, delivered = server.queues()
        seconds = time.time() - due
        cpu = server.cpu_seconds() - cpu
        if delivered != messages:
            raise Failure("%d messages were delivered, not %d" % (delivered, messages))
        say("%d due messages in %.2f s" % (messages, seconds))
        checked = server.load("consume", TOPIC, "--run", str(result["run"]), "--messages",
                              str(messages), "--delay-seconds", "1")
    rate = messages / seconds
    return {"bench": "timers-burst", "metric": "messages of one due time into their queues",
            "unit": "msg/s", "better": "higher", "value": round(rate), "bound": BURST_BOUND,
            "ok": rate >= BURST_BOUND,
            "detail": {"messages": messages, "seconds": round(seconds, 2),
                       "messages_per_server_cpu_second": round(messages / max(cpu, 0.01)),
                       "read_back_per_second": round(checked["rate"]),
                       "messages_verified": checked["verified"]}}


def crash(options):
    """The producer is idempotent and goes on behind each crash: every message exists once."""
    cycles = options.count or (5 if options.quick else 20)
    chance = random.Random(cycles)
    messages = cycles * 60_000
    with Server(options, fresh(options)) as server:
        words = ["bench", "produce", TOPIC, "--messages", str(messages), "--rate", "30000",
                 "--no-verify", "--delay-seconds", "1", "--delay-spread-seconds", "3", "-o", "json"]
        producer = subprocess.Popen(server.command(*words), stdout=subprocess.PIPE, text=True,
                                    stderr=subprocess.DEVNULL)
        for cycle in range(cycles):
            time.sleep(chance.uniform(0.3, 2.0))
            server.kill()
            server.start()
            say("crash %d: %d wait, %d were delivered" % (cycle + 1, *server.queues()))
        produced = json.loads(producer.communicate(timeout=300)[0])
        if produced["errors"]:
            raise Failure("%d errors: %s" % (produced["errors"], produced["first_error"]))
        begun = time.monotonic()
        while server.queues()[0]:
            if time.monotonic() > begun + 60:
                raise Failure("%d messages still wait" % server.queues()[0])
        delivered = server.queues()[1]
        checked = server.load("consume", TOPIC, "--run", str(produced["run"]), "--messages",
                              str(messages), "--delay-seconds", "1")
    wrong = abs(delivered - messages)
    return {"bench": "timers-crash", "metric": "messages lost or repeated", "unit": "messages",
            "better": "lower", "value": wrong, "bound": 0, "ok": wrong == 0,
            "detail": {"crashes": cycles, "messages_verified": checked["verified"],
                       "delivered": delivered}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    benches = {"timers-insert": insert, "timers-burst": burst, "timers-crash": crash}
    bench_server.add_options(parser, list(benches))
    options = parser.parse_args()
    return bench_server.run(options, benches[options.bench])


if __name__ == "__main__":
    sys.exit(main())
