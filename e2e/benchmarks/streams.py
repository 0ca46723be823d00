#!/usr/bin/env python3
"""Benches of Dunlin's streams: one server, one load generator on the same machine.

    streams.py --bench=NAME --dunlin=PATH --dunlinctl=PATH [--count=RUNS] [--quick] [--directory=DIR]

Each run has a fresh store. Every message of every run is read back and checked; one that is lost,
changed, repeated, reordered or invented voids the bench.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

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
TICKS = os.sysconf("SC_CLK_TCK")


def say(line):
    print(line, file=sys.stderr, flush=True)


class Failure(Exception):
    pass


class Server:
    def __init__(self, options, directory, flush):
        self.options, self.directory = options, directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.endpoint = "127.0.0.1:%d" % free.getsockname()[1]
        command = [options.dunlin, "--data-dir", os.path.join(directory, "data")]
        for setting in ("server.listen_address=" + self.endpoint, "metrics.listen_address=",
                        "store.flush_mode=%s_FLUSH" % flush.upper()):
            command += ["--set", setting]
        self.log = open(os.path.join(directory, "dunlin.log"), "wb")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        if not self.process.stdout.readline().startswith(b"dunlin is ready"):
            raise Failure("dunlin does not start; see %s" % self.log.name)
        self.control("topic", "create", TOPIC, "--queues", str(QUEUES))

    def control(self, *words):
        command = [self.options.dunlinctl, "--endpoint", self.endpoint, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failure("%s: exit status %d" % (" ".join(words), done.returncode))
        return done.stdout

    def load(self, *words):
        return json.loads(self.control("bench", *words, "-o", "json"))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def anonymous_mib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) / 1024
        return 0

    def stop(self):
        self.process.terminate()
        if self.process.wait(60) != 0:
            raise Failure("dunlin ended with status %d" % self.process.returncode)

    def kill(self):
        self.process.kill()
        self.process.wait()


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
    with_server = Server(options, fresh(options), case["flush"])
    try:
        words = ["produce", TOPIC, "--size", str(case["size"])]
        warm = measure(with_server, words + ["--seconds", "2"])
        check(with_server, warm)
        result = measure(with_server, words + ["--seconds", str(seconds)])
        result["rss_anonymous_mib"] = with_server.anonymous_mib()
        check(with_server, result)
        if case["flush"] == "sync":
            half = measure(with_server, words + ["--seconds", str(seconds), "--rate",
                                                 str(int(result["rate"] / 2))])
            check(with_server, half)
            result["half_load_latency_us"] = half["latency_us"]
        with_server.stop()
    except BaseException:
        with_server.kill()
        raise
    return result


def consume_run(options, case, seconds):
    with_server = Server(options, fresh(options), "async")
    try:
        messages = int(case["bound"] * seconds)
        stored = measure(with_server, ["produce", TOPIC, "--size", str(case["size"]), "--messages",
                                       str(messages)])
        time.sleep(1)
        before = with_server.cpu_seconds()
        result = check(with_server, stored)
        result["server_cpu_seconds"] = with_server.cpu_seconds() - before
        with_server.stop()
    except BaseException:
        with_server.kill()
        raise
    return result


def end_to_end_run(options, seconds):
    with_server = Server(options, fresh(options), "async")
    try:
        result = with_server.load("end-to-end", TOPIC, "--rate", "1000", "--seconds", str(seconds))
        if result["errors"]:
            raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
        with_server.stop()
    except BaseException:
        with_server.kill()
        raise
    return result


def cold_read_run(options, backlog_bytes, seconds):
    """Reads a backlog that no page cache holds while others produce at half load."""
    if os.geteuid() != 0:
        raise Failure("only root can empty the page cache")
    with_server = Server(options, fresh(options), "async")
    try:
        size = ["--size", "1024"]
        words = ["produce", TOPIC, *size]
        backlog = measure(with_server, words + ["--messages", str(backlog_bytes // 1024)])
        half = words + ["--rate", str(int(backlog["rate"] / 2))]
        # Another topic: the reader is to read the backlog, and nothing else.
        half[1] = "other"
        with_server.control("topic", "create", "other", "--queues", str(QUEUES))
        alone = measure(with_server, half + ["--seconds", str(seconds)])
        subprocess.run(["sync"], check=True)
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("1\n")
        command = [options.dunlinctl, "--endpoint", with_server.endpoint, "bench", *half,
                   "--seconds", "600", "--no-verify", "-o", "json"]
        producer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    text=True)
        try:
            read = check(with_server, backlog)
        finally:
            producer.send_signal(signal.SIGINT)
        together = json.loads(producer.communicate(timeout=60)[0])
        if together["errors"]:
            raise Failure("%d errors: %s" % (together["errors"], together["first_error"]))
        read["megabytes_per_second"] = read["rate"] * 1024 / 1e6
        read["producer_p99_alone_us"] = alone["latency_us"]["p99"]
        read["producer_p99_us"] = together["latency_us"]["p99"]
        with_server.stop()
    except BaseException:
        with_server.kill()
        raise
    return read


def fresh(options):
    shutil.rmtree(options.directory, ignore_errors=True)
    os.makedirs(options.directory)
    return options.directory


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*PRODUCE, *CONSUME, "end-to-end", "cold-read"]
    parser.add_argument("--bench", required=True, choices=names)
    parser.add_argument("--dunlin", required=True)
    parser.add_argument("--dunlinctl", required=True)
    parser.add_argument("--count", type=int, default=0, help="runs, 3 by default")
    parser.add_argument("--quick", action="store_true", help="one short run")
    parser.add_argument("--directory", default="")
    options = parser.parse_args()
    made = not options.directory
    if made:
        options.directory = os.path.join(tempfile.mkdtemp(prefix="dunlin-bench-"), "run")
    runs = []
    try:
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
        result = summary(options, runs)
    except Failure as failure:
        say("streams: %s" % failure)
        say("streams: the run's files are in %s" % options.directory)
        print(json.dumps({"bench": options.bench, "value": 0, "ok": False,
                          "detail": {"failure": str(failure)}}))
        return 1
    if made:
        shutil.rmtree(os.path.dirname(options.directory), ignore_errors=True)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
