"""One dunlin on a port of its own, and the load generators beside it, for the benches in Python."""

import json
import mmap
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
# However full the disk is: what a bench reads back must not be taken away meanwhile.
KEEP_ALL = ["store.retention.disk_high_watermark_percent=100",
            "store.retention.disk_full_percent=100"]


def say(line):
    print(line, file=sys.stderr, flush=True)


class Failure(Exception):
    pass


def touch_memory(most=6 << 30):
    """A virtual machine that lends its free memory to the host gets it back at some 100 MB/s, as it
    is touched: slower than a log is written into the page cache. What runs next finds it at hand."""
    with open("/proc/meminfo") as lines:
        available = next(int(line.split()[1]) << 10 for line in lines
                         if line.startswith("MemAvailable"))
    mmap.mmap(-1, min(most, available // 2),
              flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


class Server:
    """`settings`: `key=value` of the configuration. Ended by the end of the `with`: as it should
    when all went well."""

    def __init__(self, options, directory, settings=()):
        self.options, self.directory = options, directory
        self.settings = settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.endpoint = "127.0.0.1:%d" % free.getsockname()[1]
        self.start()

    def start(self):
        command = [self.options.dunlin, "--data-dir", os.path.join(self.directory, "data")]
        for setting in ("server.listen_address=" + self.endpoint, "metrics.listen_address=",
                        "name_service.enabled=false", *KEEP_ALL, *self.settings):
            command += ["--set", setting]
        self.log = open(os.path.join(self.directory, "dunlin.log"), "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        if not self.process.stdout.readline().startswith(b"dunlin is ready"):
            raise Failure("dunlin does not start; see %s" % self.log.name)

    def command(self, *words):
        return [self.options.dunlinctl, "--endpoint", self.endpoint, *words]

    def control(self, *words):
        command = self.command(*words)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failure("%s: exit status %d: %s" % (" ".join(words), done.returncode,
                                                      done.stdout[:500]))
        return done.stdout

    def load(self, *words):
        return json.loads(self.control("bench", *words, "-o", "json"))

    def describe(self):
        return json.loads(self.control("broker", "describe", "-o", "json"))

    def check_running(self):
        if self.process.poll() is not None:
            raise Failure("dunlin ended with status %d; see %s" % (self.process.returncode,
                                                                  self.log.name))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self, kind="RssAnon"):
        """RssAnon: its own; VmRSS: with what it has mapped of the log, which the kernel may take
        back at any time."""
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith(kind + ":"):
                    return int(line.split()[1]) / 1024
        return 0

    def stop(self):
        self.process.terminate()
        if self.process.wait(120) != 0:
            raise Failure("dunlin ended with status %d" % self.process.returncode)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()


class Loads:
    """Load generators that run beside each other, at a lower priority than the server: those of a
    service have processors of their own, and these are to take what it leaves."""

    def __init__(self, server, commands):
        self.server = server
        self.begun = time.monotonic()
        self.log = os.path.join(server.directory, "load.log")
        with open(self.log, "ab") as log:
            self.processes = [
                subprocess.Popen(["nice", "-n", "10",
                                  *server.command("bench", *words, "-o", "json")],
                                 stdout=subprocess.PIPE, stderr=log, text=True)
                for words in commands]

    def watch(self, seconds):
        """The server's memory, once a second for so long."""
        samples = []
        while time.monotonic() < self.begun + seconds:
            time.sleep(1)
            self.server.check_running()
            samples.append(self.server.memory_mib())
        return samples

    def results(self):
        try:
            outputs = [process.communicate()[0] for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        self.server.check_running()
        for process, output in zip(self.processes, outputs):
            if not output:
                raise Failure("%s: exit status %d; %s says why" % (" ".join(process.args[3:]),
                                                                   process.returncode, self.log))
        return [json.loads(output) for output in outputs]


def growth_mib(samples):
    """What memory grew by between the second and the last third of a load."""
    third = max(1, len(samples) // 3)
    return statistics.median(samples[-third:]) - statistics.median(samples[-2 * third:-third])


def fresh(options):
    shutil.rmtree(options.directory, ignore_errors=True)
    os.makedirs(options.directory)
    return options.directory


def add_options(parser, benches):
    parser.add_argument("--bench", required=True, choices=benches)
    parser.add_argument("--dunlin", required=True)
    parser.add_argument("--dunlinctl", required=True)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--directory", default="")


def run(options, bench):
    """Runs `bench(options)`, which returns the line of JSON as a dict; the exit status."""
    made = not options.directory
    if made:
        options.directory = os.path.join(tempfile.mkdtemp(prefix="dunlin-bench-"), "run")
    try:
        result = bench(options)
    except Failure as failure:
        say("%s: %s" % (options.bench, failure))
        say("%s: the run's files are in %s" % (options.bench, options.directory))
        print(json.dumps({"bench": options.bench, "value": 0, "ok": False,
                          "detail": {"failure": str(failure)}}))
        return 1
    if made:
        shutil.rmtree(os.path.dirname(options.directory), ignore_errors=True)
    print(json.dumps(result))
    return 0 if result["ok"] else 1
