#!/usr/bin/env python3
"""What replication costs: a broker group on this machine, against one dunlin on the same cores.

    replication.py --bench=NAME --dunlin=PATH --dunlinctl=PATH --broker=PATH --replicator=PATH
                   [--count=RUNS] [--quick] [--directory=DIR]

Members, load generator and, in its turn, the unreplicated server have the same processors: a group
of two does its work twice on them. They have the same disk, too, to which a group writes everything
twice: the loads last as long as the page cache takes it. Every message is read back and checked.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

import bench_server
from bench_server import KEEP_ALL, Failure, fresh, say, touch_memory

TOPIC = "bench"
SIZE = 1024
PATIENCE_SECONDS = 60
LAG_BOUND_SECONDS = 1.0

# name: mode, members, least share of the unreplicated rate
SHARES = {
    "replication-async": ("ASYNC", 2, 0.60),
    "replication-sync": ("SYNC", 2, 0.50),
    "replication-quorum": ("QUORUM", 3, 0.40),
}
CATCH_UP_BOUND = 300  # MB/s


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Group:
    """Members a, b, ... of which a is the master by configuration; with QUORUM, who is elected by an
    etcd of its own. To the load it looks like a bench_server.Server: that is its master."""

    def __init__(self, options, directory, mode, members):
        self.options, self.directory = options, directory
        self.names = [chr(ord("a") + i) for i in range(members)]
        ports = free_ports(2 * members)
        self.brokers = dict(zip(self.names, ports))
        self.replicators = dict(zip(self.names, ports[members:]))
        self.mode = mode
        self.master = "a"
        self.processes = {}
        self.log = open(os.path.join(directory, "members.log"), "ab")

    @property
    def endpoint(self):
        return "127.0.0.1:%d" % self.brokers[self.master]

    command = bench_server.Server.command
    control = bench_server.Server.control
    load = bench_server.Server.load

    def start_etcd(self):
        """Returns its settings."""
        client, peer = ("http://127.0.0.1:%d" % port for port in free_ports(2))
        self.processes["etcd", "etcd"] = subprocess.Popen(
            ["etcd", "--data-dir", os.path.join(self.directory, "etcd"), "--unsafe-no-fsync",
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", "default=" + peer],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return ["replication.coordinator=ETCD",
                "replication.etcd_endpoints=" + client.removeprefix("http://")]

    def start(self, *names):
        if not self.processes:
            self.coordinator = (self.start_etcd() if self.mode == "QUORUM" else
                                ["replication.coordinator=STATIC", "replication.master=a"])
        for name in names or self.names:
            settings = [
                "data_dir=" + os.path.join(self.directory, name),
                "server.listen_address=127.0.0.1:%d" % self.brokers[name], "server.tls.mode=OFF",
                "metrics.listen_address=", "store.flush_mode=ASYNC_FLUSH", *KEEP_ALL,
                "replication.member=" + name, "replication.mode=" + self.mode,
                "replication.members=" + ", ".join("%s=127.0.0.1:%d" % item
                                                   for item in self.replicators.items()),
                *self.coordinator,
                "replication.listen_address=127.0.0.1:%d" % self.replicators[name],
                "replication.metrics_listen_address="]
            words = [word for setting in settings for word in ("--set", setting)]
            for program in (self.options.broker, self.options.replicator):
                process = subprocess.Popen([program, *words], stdout=subprocess.PIPE,
                                           stderr=self.log)
                self.processes[name, program] = process
                if b"is ready on" not in process.stdout.readline():
                    raise Failure("%s of %s does not start; see %s" % (program, name,
                                                                      self.log.name))

    def state(self):
        """What the master says of itself and of its slaves; empty when it does not answer."""
        done = subprocess.run(
            [self.options.dunlinctl, "--endpoint",
             "127.0.0.1:%d" % self.replicators[self.master], "-o",
             "json", "replica", "list"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        # One object after the other: each member by its own words.
        text, members = done.stdout.strip(), []
        while text:
            try:
                member, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            members.append(member)
            text = text[end:].lstrip()
        return next((one for one in members if one.get("member") == self.master), {})

    def lags(self):
        slaves = self.state().get("slaves", [])
        return [int(slave.get("lagBytes", slave.get("lag_bytes", 0))) for slave in slaves]

    def await_ready(self):
        self.await_(self.find_master, "no master takes messages")

    def find_master(self):
        for self.master in self.names:
            if self.state().get("accepting"):
                return True
        return False

    def await_caught_up(self, slaves):
        """Seconds until that many slaves have all of the log."""
        begun = time.monotonic()
        # Whoever looks has the same two processors.
        self.await_(lambda: self.caught_up() >= slaves, "the slaves do not catch up", pause=0.2)
        return time.monotonic() - begun

    def caught_up(self):
        state = self.state()
        end = int(state.get("end", 0))
        return sum(1 for slave in state.get("slaves", []) if int(slave.get("received", 0)) >= end)

    def await_(self, condition, what, pause=0.05):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.check_running()
            if time.monotonic() > deadline:
                raise Failure("%s within %d s; see %s" % (what, PATIENCE_SECONDS, self.log.name))
            time.sleep(pause)

    def check_running(self):
        for (name, program), process in self.processes.items():
            if process.poll() is not None:
                raise Failure("%s of %s ended with status %d; see %s" %
                              (program, name, process.returncode, self.log.name))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.log.close()


class LagWatch(threading.Thread):
    """The largest number of bytes that a slave was behind, whenever all could be asked."""

    def __init__(self, group, slaves):
        super().__init__()
        self.group, self.slaves, self.largest, self.samples = group, slaves, 0, 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            lags = self.group.lags()
            if len(lags) == self.slaves:
                self.largest = max([self.largest, *lags])
                self.samples += 1


def produce(server, *words):
    result = server.load("produce", TOPIC, "--size", str(SIZE), "--no-verify", *words)
    if result["errors"]:
        raise Failure("%d errors: %s" % (result["errors"], result["first_error"]))
    return result


def check(server, result):
    server.load("consume", TOPIC, "--run", str(result["run"]), "--messages",
                str(result["messages"]))


def load(server, seconds):
    server.control("topic", "create", TOPIC, "--queues", "8")
    check(server, produce(server, "--seconds", "2"))
    result = produce(server, "--seconds", str(seconds))
    check(server, result)
    return result


def share_run(options, seconds):
    """The rate of the group as a share of that of a server alone, and the lag at half of it."""
    mode, members, _ = SHARES[options.bench]
    touch_memory()
    directory = fresh(options)
    with bench_server.Server(options, directory, ["store.flush_mode=ASYNC_FLUSH"]) as server:
        alone = load(server, seconds)
    directory = fresh(options)  # what is not on the disk yet need not be written any more
    touch_memory()
    with Group(options, directory, mode, members) as group:
        group.start()
        group.await_ready()
        group.await_caught_up(members - 1)
        result = load(group, seconds)
        group.await_caught_up(members - 1)
        os.sync()
        rate = int(result["rate"] / 2)
        watch = LagWatch(group, members - 1)
        watch.start()
        try:
            half = produce(group, "--seconds", str(seconds), "--rate", str(rate))
        finally:
            watch.over.set()
            watch.join()
        check(group, half)
        group.check_running()
        if not watch.samples:
            raise Failure("nobody told how far the slaves were behind")
    return {"share": result["rate"] / alone["rate"], "rate": result["rate"],
            "alone": alone["rate"], "lag_seconds": watch.largest / SIZE / rate,
            "lag_samples": watch.samples, "latency_us": result["latency_us"],
            "messages": result["messages"] + half["messages"]}


def share(options):
    _, members, bound = SHARES[options.bench]
    runs = []
    for number in range(options.count or (1 if options.quick else 3)):
        runs.append(share_run(options, 3 if options.quick else 5))
        say("run %d: %.0f msg/s, %.0f alone, %.2f; %.2f s behind at half of it" % (
            number + 1, runs[-1]["rate"], runs[-1]["alone"], runs[-1]["share"],
            runs[-1]["lag_seconds"]))
    value = statistics.median(run["share"] for run in runs)
    lag = max(run["lag_seconds"] for run in runs)
    return {"bench": options.bench, "metric": "rate of 1 KiB streams, share of that of one broker",
            "value": round(value, 3), "unit": "share", "bound": bound, "better": "higher",
            "ok": value >= bound and lag <= LAG_BOUND_SECONDS,
            "detail": {"members": members, "rate": [round(run["rate"]) for run in runs],
                       "alone": [round(run["alone"]) for run in runs],
                       "half_load_lag_s": round(lag, 3), "half_load_lag_bound_s": LAG_BOUND_SECONDS,
                       "latency_us": runs[len(runs) // 2]["latency_us"],
                       "messages_verified": sum(run["messages"] for run in runs)}}


def catch_up(options):
    """A slave with an empty disk comes to a master with a long log."""
    messages = (1 if options.quick else 8) * (1 << 20)
    speeds = []
    for number in range(options.count or (1 if options.quick else 3)):
        with Group(options, fresh(options), "ASYNC", 2) as group:
            group.start("a")
            group.await_ready()
            group.control("topic", "create", TOPIC, "--queues", "8")
            stored = produce(group, "--messages", str(messages))
            state = group.state()
            size = int(state["end"]) - int(state.get("begin", 0))
            touch_memory()
            begun = time.monotonic()
            group.start("b")
            started = time.monotonic() - begun
            seconds = group.await_caught_up(1)
            check(group, stored)
        # From when its programs are started.
        speeds.append(size / 1e6 / (started + seconds))
        say("run %d: %.0f MB in %.2f s, %.0f MB/s" % (number + 1, size / 1e6, started + seconds,
                                                      speeds[-1]))
    value = statistics.median(speeds)
    return {"bench": options.bench, "metric": "a slave with an empty disk, until it has everything",
            "value": round(value), "unit": "MB/s", "bound": CATCH_UP_BOUND, "better": "higher",
            "ok": value >= CATCH_UP_BOUND,
            "detail": {"runs": [round(speed) for speed in speeds], "bytes": size}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bench_server.add_options(parser, [*SHARES, "catch-up"])
    for program in ("broker", "replicator"):
        parser.add_argument("--" + program, required=True)
    return bench_server.run(parser.parse_args(),
                            lambda options: (share if options.bench in SHARES
                                             else catch_up)(options))


if __name__ == "__main__":
    sys.exit(main())
