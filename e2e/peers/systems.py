"""Dunlin and its peers: how each is started, loaded at its best, and asked what it stores.

A load returns what `dunlinctl bench produce` prints (messages, seconds, rate, latency_us, errors)
and adds `all_messages`, those acknowledged outside the measured seconds as well, and
`client_cpu_seconds` of the whole client.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOPIC = "bench"
START_LIMIT_SECONDS = 120


class Failure(Exception):
    """Something of the surroundings is not as it must be; the text says what."""


def output_of(command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}: "
                      f"{(done.stderr + done.stdout).strip()[-1000:]}")
    return done.stdout


def run_client(command, scratch, seconds=None):
    """Runs a load generator, ends it after `seconds` if given; its output and processor seconds."""
    environment = {**os.environ, "HOME": str(scratch), "TMPDIR": str(scratch)}
    log = scratch / "client.log"
    with open(log, "w+") as errors, open(scratch / "client.out", "w+") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=errors,
                                   env=environment)
        timer = None
        if seconds is not None:
            timer = threading.Timer(seconds, process.send_signal, [signal.SIGTERM])
            timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if timer is not None:
                timer.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        out.seek(0)
        text = out.read()
    if process.returncode != 0 and seconds is None:
        raise Failure(f"{' '.join(map(str, command))} ended with {process.returncode}: "
                      f"{log.read_text()[-1000:]} {text[-500:]}")
    return text, usage.ru_utime + usage.ru_stime


def json_load(command, scratch):
    """A load generator that prints what is wanted itself."""
    text, cpu = run_client(command, scratch)
    result = json.loads(text.strip().splitlines()[-1])
    result.setdefault("all_messages", result["messages"])
    result["client_cpu_seconds"] = cpu
    return result


def sdk_program():
    """e2e/peers/sdk_load, built when it is missing or old."""
    source = HERE / "sdk_load"
    program = source / "target/sdk_load"
    if not program.exists() or program.stat().st_mtime < (source / "main.go").stat().st_mtime:
        own = ROOT / ".cache/go/bin/go"
        go = own if own.exists() else shutil.which("go")
        if not go:
            raise Failure("no Go: run ./dev setup")
        output_of([go, "build", "-o", "target/", "."], cwd=source,
                  env={**os.environ, "GOTOOLCHAIN": "local"})
    return program


class System:
    """One broker with a directory of its own; at most one is alive at a time."""

    name = ""
    endpoint = ""  # of apache.rocketmq.v2, where it has that
    warmup_seconds = 60  # before anything is measured: a JVM compiles that long
    settle_seconds = 10  # of each new client, for the same reason; not measured

    def __init__(self, directory):
        self.directory = directory  # the data's
        self.scratch = directory.parent  # logs of clients

    def start(self, flush):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def pids(self):
        raise NotImplementedError

    def create_topic(self):
        raise NotImplementedError

    def count(self):
        """How many messages the topic has."""
        raise NotImplementedError

    def disk_bytes(self):
        return machine.disk_bytes(self.directory)

    def warm_up(self, kind, size, flush, seconds):
        """Load that is not measured, so that the server is compiled and its caches are full."""
        (self.native if kind == "native" else self.sdk)(size, flush, seconds, 0)

    def native(self, size, flush, seconds, settle):
        """Its own best client for `seconds`, after `settle` seconds that do not count."""
        raise NotImplementedError

    def sdk(self, size, flush, seconds, settle):
        """The official RocketMQ SDK for Go."""
        return json_load([sdk_program(), "-endpoint", self.endpoint, "-topic", TOPIC, "-size", size,
                          "-seconds", seconds, "-warmup", settle], self.scratch)

    def first_send(self):
        """A command that ends once one message is accepted; the server may not be up yet."""
        return [sdk_program(), "-endpoint", self.endpoint, "-topic", TOPIC, "-once"]


class Dunlin(System):
    name = "dunlin"
    warmup_seconds = 10
    settle_seconds = 2
    streams = 4

    def __init__(self, directory, dunlin, dunlinctl):
        super().__init__(directory)
        self.dunlin, self.dunlinctl = dunlin, dunlinctl
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.endpoint = "127.0.0.1:%d" % free.getsockname()[1]

    def start(self, flush):
        command = [self.dunlin, "--data-dir", self.directory]
        for setting in (f"server.listen_address={self.endpoint}", "metrics.listen_address=",
                        "name_service.enabled=false", "broker.auto_create_topics=true"):
            command += ["--set", setting]
        if flush == "sync":
            command += ["--set", "store.flush_mode=SYNC_FLUSH"]
        with open(self.scratch / "dunlin.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        host, port = self.endpoint.split(":")
        end = time.monotonic() + START_LIMIT_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.005)
        raise Failure(f"{self.dunlin} does not start; see {self.scratch}/dunlin.log")

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def pids(self):
        return [self.process.pid]

    def control(self, *words):
        return [self.dunlinctl, "--endpoint", self.endpoint, *words]

    def create_topic(self):
        output_of(self.control("topic", "create", TOPIC, "--queues", 8))

    def count(self):
        queues = json.loads(output_of(self.control("topic", "describe", TOPIC, "-o", "json")))
        return sum(int(queue.get("max_offset", queue.get("maxOffset", 0)))
                   for queue in queues.get("queues", []))

    def disk_bytes(self):
        # Segments are as long as they will ever be, filled with zeros: the log knows how far it is.
        log = json.loads(output_of(self.control("broker", "describe", "-o", "json")))
        return (int(log["appended"]) - int(log["log_start"]) +
                machine.disk_bytes(self.directory, without=self.directory / "store/log"))

    def native(self, size, flush, seconds, settle):
        return json_load(self.control("bench", "produce", TOPIC, "--no-verify", "--size", size,
                                      "--seconds", max(1, round(seconds)),
                                      "--streams", self.streams, "-o", "json"), self.scratch)

    def first_send(self):
        # Not the SDK: it takes a second to start, which would be most of the time.
        return ["sh", "-c", 'until "$@"; do sleep 0.005; done', "sh",
                *self.control("produce", TOPIC, "first")]


class Peer(System):
    """One with a program of its name: PEER start DIR [--flush async|sync], stop, pids, ..."""

    def program(self, *words):
        return [HERE / self.name / self.name, *words]

    def start(self, flush):
        # Its processes outlive the program and must not hold a pipe of ours open.
        with open(self.scratch / "start.log", "ab") as log:
            done = subprocess.run(list(map(str, self.program("start", self.directory, "--flush",
                                                             flush))), stdout=log, stderr=log)
        if done.returncode != 0:
            raise Failure(f"{self.name} does not start: {(self.scratch / 'start.log').read_text()}")

    def stop(self):
        if self.directory.exists():
            output_of(self.program("stop", self.directory))

    def pids(self):
        return [int(pid) for pid in output_of(self.program("pids", self.directory)).split()]

    def create_topic(self):
        output_of(self.program("topic", "create", TOPIC))

    def count(self):
        return int(output_of(self.program("count", TOPIC)))


class Kafka(Peer):
    name = "kafka"
    RATE_SECONDS = 8  # least time to find out its rate
    rate = 0.0
    WINDOW = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.M)
    STEADY = re.compile(r"^(\d+) steady state records sent, ([\d.]+) records/sec .*?"
                        r"([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, "
                        r"(\d+) ms 99.9th", re.M)

    def command(self, size, count, settle_count):
        # Payloads made beforehand: making each anew costs the generator more than sending it.
        payloads = self.scratch / f"payloads-{size}"
        if not payloads.exists():
            payloads.write_text("\n".join(os.urandom(size).hex()[:size] for _ in range(1000)))
        return self.program("load", TOPIC, count, "--payload-file", payloads, "--warmup-records",
                            settle_count, "--reporting-interval", 1000, "--command-property",
                            "acks=all", "linger.ms=5", "batch.size=262144", "compression.type=none",
                            "reconnect.backoff.max.ms=50")

    def warm_up(self, kind, size, flush, seconds):
        """Its generator wants a count, not seconds: here it finds out how many fit in a second."""
        text, _ = run_client(self.command(size, 10 ** 12, 0), self.scratch,
                             max(seconds, self.RATE_SECONDS))
        windows = [float(rate) for _, rate in self.WINDOW.findall(text)][-5:]
        if not windows:
            raise Failure(f"kafka: no report within {seconds} seconds: {text[-500:]}")
        self.rate = sum(windows) / len(windows)

    def native(self, size, flush, seconds, settle):
        settle_count, count = int(self.rate * settle), int(self.rate * (settle + seconds))
        text, cpu = run_client(self.command(size, count, max(settle_count, 1)), self.scratch)
        found = self.STEADY.search(text)
        if not found:
            raise Failure(f"kafka: no steady state: {text[-500:]}")
        messages, rate = int(found[1]), float(found[2])
        return {
            "messages": messages, "seconds": messages / rate, "rate": rate,
            "latency_us": {"p50": int(found[4]) * 1000, "p99": int(found[6]) * 1000,
                           "p99_9": int(found[7]) * 1000, "max": int(float(found[3]) * 1000)},
            "errors": len(re.findall(r"Exception", (self.scratch / "client.log").read_text())),
            "all_messages": count, "client_cpu_seconds": cpu,
        }

    def first_send(self):
        return self.command(128, 1, 0)


class Nats(Peer):
    name = "nats"
    warmup_seconds = 10
    settle_seconds = 2

    def native(self, size, flush, seconds, settle):
        # With one fdatasync per message a longer queue only adds waiting, up to timeouts.
        way = (["-mode", "fast", "-clients", 1, "-window", 4096] if flush == "async" else
               ["-mode", "async", "-clients", 4, "-window", 128])
        return json_load(self.program("load", TOPIC, "-size", size, "-seconds", seconds,
                                      "-warmup", settle, *way), self.scratch)

    def first_send(self):
        return self.program("load", TOPIC, "-once")


class RocketMq(Peer):
    name = "rocketmq"
    endpoint = "127.0.0.1:8081"
    REPORT_SECONDS = 10  # of its generator: it averages over that long
    REPORT = re.compile(r"Send MPS: (\d+) \| Max RT\(ms\): (\d+) \| Average RT\(ms\): +([\d.]+) .*"
                        r"Send Message Failed: (\d+)")

    def native(self, size, flush, seconds, settle):
        batch, threads = {128: 512, 1024: 256}[size], {"async": 8, "sync": 16}[flush]
        command = self.program("load", TOPIC, "BatchProducer", "-s", size, "-b", batch, "-w",
                               threads, "-ri", self.REPORT_SECONDS * 1000)
        reports = 1 + -(-int(seconds) // self.REPORT_SECONDS) if settle >= 5 else 1
        text, cpu = run_client(command, self.scratch, reports * self.REPORT_SECONDS + 3)
        found = self.REPORT.findall(text)
        if len(found) < reports:
            raise Failure(f"rocketmq: {len(found)} reports instead of {reports}: {text[-500:]}")
        found = found[:reports][1:] or found  # the first is of the client's warm-up
        rate = sum(int(mps) for mps, _, _, _ in found) / len(found)
        average_ms = sum(float(ms) for _, _, ms, _ in found) / len(found)
        return {
            "messages": int(rate * self.REPORT_SECONDS * len(found)),
            "seconds": self.REPORT_SECONDS * len(found), "rate": rate,
            # It knows average and maximum only.
            "latency_us": {"average": int(average_ms * 1000),
                           "max": max(int(ms) for _, ms, _, _ in found) * 1000},
            "errors": sum(int(failed) for _, _, _, failed in found),
            "all_messages": None, "client_cpu_seconds": cpu,
        }


PEERS = {peer.name: peer for peer in (Kafka, Nats, RocketMq)}
