#!/usr/bin/env python3
"""Runs RocketMQ's official SDKs, unmodified, against one dunlin.

    e2e/compat/run.py [--sdk java,go,python,nodejs] [--messages N] [--endpoint HOST:PORT]

Without --endpoint it starts bin/dunlin (./dev build) on a free port with a directory of its own,
and kills and restarts it under running clients. Topics and groups are made with bin/dunlinctl.
Every case is one line; the last line is `N passed, N failed, N skipped`. The exit status is 0 only
when nothing failed. An SDK whose toolchain is missing has failed: ./dev setup installs it.
"""

import argparse
import contextlib
import os
import queue
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "e2e/compat"
BIN = ROOT / "bin"
BUILT = ROOT / ".cache/compat"  # Go programs

CASES = ["hello", "round-trip", "tags", "sql", "redelivery", "invisible", "push", "push-retry",
         "dead-letter", "errors", "fifo", "delay", "transaction", "priority", "lite"]
# With the name service as access point.
NAMES_CASES = ["hello", "push"]
# With access control: each SDK signs as a user of its own, which may do no more than this takes.
SIGNED_CASES = ["hello", "push"]
# Of topics; the others take NORMAL messages.
KINDS = {"fifo": "FIFO", "delay": "DELAY", "transaction": "TRANSACTION", "priority": "PRIORITY",
         "lite": "LITE"}
ATTEMPTS_BEFORE_DEAD_LETTER = 2
SUITE_LIMIT_SECONDS = 200
LINE = re.compile(r"^(ok|FAIL) ([\w-]+)(?:: (.*))?$")


class Failure(Exception):
    """Something of the surroundings is not as it must be; the text says what mends it."""


class Sdk:
    """One SDK: how its programs are built and started."""

    name = ""
    other_tls = ["--tls", "off"]  # the transport that is not this SDK's default
    verifies = False  # whether it verifies the server's certificate

    def prepare(self):
        """Builds what must be built; raises Failure when the toolchain is missing."""

    def suite(self):
        raise NotImplementedError

    def quickstart(self, program):
        """The command of producer, simple_consumer or push_consumer."""
        raise NotImplementedError

    def undocumented(self):
        """Which of the quick start programs are not in docs/sdks.md word for word."""
        page = (ROOT / "docs/sdks.md").read_text()
        programs = [path for path in (HERE / self.name).rglob("*")
                    if "quickstart" in path.parts and "node_modules" not in path.parts
                    and path.suffix in (".java", ".go", ".py", ".mjs")]
        return [path.name for path in programs if path.read_text() not in page]

    def need(self, holds, what):
        if not holds:
            raise Failure(f"{what}: run ./dev setup")

    def build(self, command, directory):
        built = subprocess.run(command, cwd=directory, env={**os.environ, "GOTOOLCHAIN": "local"},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            raise Failure(f"{' '.join(map(str, command))} failed; if something is missing, run "
                          f"./dev setup\n{built.stdout}")


class Java(Sdk):
    name = "java"

    def prepare(self):
        self.need(shutil.which("java") and shutil.which("mvn"), "no JDK or no Maven")
        self.build(["mvn", "-o", "-q", "-B", "package"], HERE / "java")

    def java(self, main):
        target = HERE / "java/target"
        return ["java", "-Xmx512m", f"-Duser.home={os.environ['HOME']}", "-cp",
                f"{target}/compat.jar:{target}/lib/*", main]

    def suite(self):
        return self.java("compat.Suite")

    def quickstart(self, program):
        return self.java(f"quickstart.{program.title().replace('_', '')}Example")


class Go(Sdk):
    name = "go"

    def prepare(self):
        own = ROOT / ".cache/go/bin/go"  # where setup puts a newer Go than the machine's
        go = own if own.exists() else shutil.which("go")
        self.need(go, "no Go")
        BUILT.mkdir(parents=True, exist_ok=True)
        self.build([go, "build", "-o", f"{BUILT}/", "./suite", "./quickstart/..."], HERE / "go")

    def suite(self):
        return [BUILT / "suite"]

    def quickstart(self, program):
        return [BUILT / program.replace("_", "")]


class Python(Sdk):
    name = "python"
    other_tls = ["--tls", "on"]
    verifies = True
    python = ROOT / ".venv/bin/python"

    def prepare(self):
        self.need(self.python.exists(), "no .venv")
        found = subprocess.run([self.python, "-c", "import rocketmq"], stderr=subprocess.DEVNULL)
        self.need(found.returncode == 0, "no rocketmq in .venv")

    def suite(self):
        return [self.python, HERE / "python/suite.py"]

    def quickstart(self, program):
        return [self.python, HERE / f"python/quickstart/{program}.py"]


class NodeJs(Sdk):
    name = "nodejs"
    other_tls = ["--tls", "on"]
    verifies = True

    def prepare(self):
        self.need(shutil.which("node"), "no Node.js")
        self.need((HERE / "nodejs/node_modules/rocketmq-client-nodejs").exists(), "no node_modules")

    def suite(self):
        return ["node", HERE / "nodejs/suite.mjs"]

    def quickstart(self, program):
        return ["node", HERE / f"nodejs/quickstart/{program}.mjs"]


SDKS = {sdk.name: sdk for sdk in (Java(), Go(), Python(), NodeJs())}


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % free.getsockname()[1]


class Server:
    """One bin/dunlin, its name service included, with a directory of its own."""

    name = "dunlin"

    def __init__(self, directory, *settings):
        for program in ("dunlin", "dunlin-dump"):
            if not (BIN / program).exists():
                raise Failure(f"bin/{program} is missing: run ./dev build")
        self.directory = directory
        self.settings = settings
        self.endpoint = free_address()
        self.names = free_address()
        self.process = None

    @property
    def certificate(self):
        """The self-signed one it makes on first start."""
        return self.directory / "data/tls/server.crt"

    def start(self):
        with open(self.directory / "dunlin.log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "dunlin", "--data-dir", self.directory / "data",
                 "--set", f"server.listen_address={self.endpoint}",
                 "--set", f"name_service.server.listen_address={self.names}",
                 "--set", "metrics.listen_address=",
                 *(part for setting in self.settings for part in ("--set", setting))],
                stdout=log, stderr=subprocess.STDOUT)
        host, port = self.endpoint.split(":")
        for _ in range(300):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port)), 1).close()
                return
            time.sleep(0.1)
        raise Failure(f"bin/dunlin did not start; see {self.directory}/dunlin.log")

    def stop(self, sig=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def damage(self):
        """What dunlin-dump finds wrong with the store that was left, or None."""
        dump = subprocess.run([BIN / "dunlin-dump", self.directory / "data/store", "--verify"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return None if dump.returncode == 0 else dump.stdout.strip().replace("\n", "; ")


class Tally:
    """Counts and prints results; may be called from any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = self.skipped = 0

    def add(self, who, case, why_failed, seconds):
        """`who` has a name: an SDK or the server."""
        with self.lock:
            if why_failed is None:
                self.passed += 1
                print(f"{who.name:7} ok    {case}  ({seconds:.0f} s)", flush=True)
            else:
                self.failed += 1
                print(f"{who.name:7} FAIL  {case}: {why_failed}", flush=True)

    def skip(self, sdk, case, why):
        with self.lock:
            self.skipped += 1
            print(f"{sdk.name:7} skip  {case}: {why}", flush=True)


class Run:
    """All SDKs against one endpoint."""

    def __init__(self, options, directory, tally):
        self.options = options
        self.directory = directory
        self.tally = tally
        self.mark = f"{int(time.time()):x}"  # an endpoint that was given keeps its topics
        self.server = None
        self.endpoint = options.endpoint

    def all(self, sdks):
        if not Path(self.options.dunlinctl).exists():
            raise Failure(f"{self.options.dunlinctl} is missing: run ./dev build")
        if not self.endpoint:
            self.server = Server(self.directory)
            self.server.start()
            self.endpoint = self.server.endpoint
            os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(self.server.certificate)
        try:
            self.admin("topic", "create", "hello")
            with ThreadPoolExecutor(2) as two_at_a_time:
                list(two_at_a_time.map(self.one, sdks))
            self.restart(sdks)
            self.signed(sdks)
        finally:
            if self.server:
                self.server.stop()
        if self.server:
            start = time.monotonic()
            damage = self.server.damage()
            self.tally.add(self.server, "store is sound", damage, time.monotonic() - start)

    def one(self, sdk):
        prefix = self.make_topics(sdk, "compat", CASES)
        self.admin("group", "create", f"{prefix}-dead-letter",
                   "--max-attempts", str(ATTEMPTS_BEFORE_DEAD_LETTER))
        # What the settings of a push consumer tell it.
        self.admin("group", "create", f"{prefix}-push-retry", "--retry-delays-ms", "2000,4000")
        for group in ("fifo", "fifo-simple"):
            self.admin("group", "create", f"{prefix}-{group}", "--delivery-order", "IN_ORDER")
        for group, model in (("lite", "SHARED"), ("lite-one", "EXCLUSIVE")):
            self.admin("group", "create", f"{prefix}-{group}", "--lite-bind-topic",
                       f"{prefix}-lite", "--lite-model", model)
        self.suite(sdk, "suite", prefix, CASES, ["--messages", str(self.options.messages)])
        if sdk.verifies and not self.server:
            self.tally.skip(sdk, "other-tls hello", "only where this program starts the server")
        else:
            prefix = self.make_topics(sdk, "other-tls", ["hello"])
            self.suite(sdk, "other-tls", prefix, ["hello"], sdk.other_tls)
        # The access point of a cluster: routes come from it, everything else from the broker.
        if self.server:
            prefix = self.make_topics(sdk, "names", NAMES_CASES)
            self.suite(sdk, "names", prefix, NAMES_CASES, [], endpoint=self.server.names)
        else:
            self.tally.skip(sdk, "names", "only where this program starts the server")
        self.quickstart(sdk)

    def make_topics(self, sdk, what, cases):
        prefix = f"{what}-{sdk.name}-{self.mark}"
        for case in cases:
            self.admin("topic", "create", f"{prefix}-{case}", "--kinds", KINDS.get(case, "NORMAL"))
        return prefix

    def admin(self, *arguments, endpoint=None):
        done = subprocess.run([self.options.dunlinctl, "--endpoint", endpoint or self.endpoint,
                               *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0 and "exist" not in done.stdout:
            raise Failure(f"dunlinctl {' '.join(arguments)} failed: {done.stdout.strip()}")

    def start(self, sdk, what, command, **more):
        """Starts a program of an SDK; its standard error goes to a file of its own."""
        with open(self.directory / f"{sdk.name}-{what}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=log, text=True, bufsize=1, cwd=self.directory, **more)

    def suite(self, sdk, what, prefix, cases, arguments, at_line=lambda process, line: None,
              endpoint=None):
        """Runs cases of a suite and reports each; what it does not report has failed."""
        process = self.start(sdk, what, [*sdk.suite(), "--endpoint", endpoint or self.endpoint,
                                         "--prefix", prefix, "--cases", ",".join(cases),
                                         *arguments])
        watchdog = threading.Timer(SUITE_LIMIT_SECONDS, process.kill)
        watchdog.start()
        start = time.monotonic()
        missing = set(cases)
        for line in process.stdout:
            result = LINE.match(line.strip())
            if result and result[2] in missing:
                missing.remove(result[2])
                case = result[2] if what in ("suite", result[2]) else f"{what} {result[2]}"
                why = None if result[1] == "ok" else result[3] or "no reason given"
                self.tally.add(sdk, case, why, time.monotonic() - start)
            else:
                at_line(process, line.strip())
        status = process.wait()
        watchdog.cancel()
        for case in sorted(missing):
            self.tally.add(sdk, case, f"the suite ended with status {status} before it", 0)

    def quickstart(self, sdk):
        """The programs a new user starts with, in the order they would."""
        differ = sdk.undocumented()
        self.tally.add(sdk, "quickstart in docs/sdks.md",
                       f"{', '.join(differ)} differ from the page" if differ else None, 0)
        self.program(sdk, "producer", "sent ")
        self.program(sdk, "simple_consumer", "received Hello from ")
        self.program(sdk, "push_consumer", "received Hello from ",
                     lambda: subprocess.run([*sdk.quickstart("producer"), self.endpoint],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            check=True, timeout=60))

    def program(self, sdk, name, expected, meanwhile=lambda: None):
        start = time.monotonic()
        process = self.start(sdk, "quickstart", [*sdk.quickstart(name), self.endpoint])
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        why = f"did not print {expected!r}"
        try:
            meanwhile()
            if any(line.startswith(expected) for line in process.stdout):
                why = None
        except subprocess.SubprocessError as error:
            why = str(error)
        if name == "push_consumer":
            process.kill()  # it would run until it is interrupted
        process.wait()
        watchdog.cancel()
        self.tally.add(sdk, f"quickstart {name}", why, time.monotonic() - start)

    def restart(self, sdks):
        """Kills the server once under the clients of all SDKs and starts it again."""
        if not self.server:
            for sdk in sdks:
                self.tally.skip(sdk, "restart", "only where this program starts the server")
            return
        waiting = queue.Queue()  # suites that want the restart, or None for one that ended
        with ThreadPoolExecutor(max(1, len(sdks))) as pool:
            for sdk in sdks:
                pool.submit(self.restart_suite, sdk, waiting)
            ready = [process for process in (waiting.get() for _ in sdks) if process]
            self.server.stop(signal.SIGKILL)
            time.sleep(2)
            self.server.start()
            for process in ready:
                process.stdin.write("restarted\n")
                process.stdin.flush()

    def signed(self, sdks):
        """The SDKs with their credentials against a server that has access control."""
        if not self.server:
            for sdk in sdks:
                self.tally.skip(sdk, "signed", "only where this program starts the server")
            return
        directory = self.directory / "signed"
        directory.mkdir()
        secret = directory / "admin.secret"
        secret.write_text(secrets.token_hex(16))
        os.environ["DUNLIN_ACCESS_KEY"] = "admin"
        os.environ["DUNLIN_SECRET_KEY_FILE"] = str(secret)
        server = Server(directory, "access.enabled=true", f"access.super_user_secret_file={secret}")
        server.start()
        try:
            with ThreadPoolExecutor(2) as two_at_a_time:
                list(two_at_a_time.map(lambda sdk: self.signed_suite(sdk, server), sdks))
        finally:
            server.stop()

    def signed_suite(self, sdk, server):
        prefix = f"signed-{sdk.name}"
        for case in SIGNED_CASES:
            self.admin("topic", "create", f"{prefix}-{case}", endpoint=server.endpoint)
        key = secrets.token_hex(16)
        file = server.directory / f"{sdk.name}.secret"
        file.write_text(key)
        self.admin("user", "create", sdk.name, "--secret-file", str(file),
                   "--allow", f"topic:{prefix}*:pub,sub", "--allow", f"group:{prefix}*:sub",
                   endpoint=server.endpoint)
        plain = ["--tls", "off"] if sdk.verifies else []  # the certificate is another server's
        user = ["--access-key", sdk.name, "--secret-key"]
        self.suite(sdk, "signed", prefix, SIGNED_CASES, [*plain, *user, key],
                   endpoint=server.endpoint)
        self.refused(sdk, server, prefix, [*plain, *user, "another-secret"])

    def refused(self, sdk, server, prefix, arguments):
        """Another secret: the case fails, and what the user reads says why: the error, or, of SDKs
        whose errors name no cause, their log."""
        start = time.monotonic()
        process = self.start(sdk, "refused", [*sdk.suite(), "--endpoint", server.endpoint,
                                              "--prefix", prefix, "--cases", "hello",
                                              *arguments])
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        said = process.stdout.read().strip()
        process.wait()
        watchdog.cancel()
        logs = [path.read_text(errors="replace") for path in self.directory.glob("logs/**/*.log")]
        reason = re.compile(r'signature is not one of user \W*%s\b' % sdk.name)
        right = said.startswith("FAIL hello") and any(map(reason.search, [said, *logs]))
        self.tally.add(sdk, "signed with another secret",
                       None if right else f"expected the server's reason, got {said!r}",
                       time.monotonic() - start)

    def restart_suite(self, sdk, waiting):
        said = []

        def at_line(process, line):
            if line == "restart" and not said:
                said.append(True)
                waiting.put(process)

        try:
            prefix = self.make_topics(sdk, "restart", ["restart"])
            self.suite(sdk, "restart", prefix, ["restart"], [], at_line)
        except Failure as failure:
            self.tally.add(sdk, "restart", str(failure), 0)
        finally:
            if not said:
                waiting.put(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdk", default=",".join(SDKS), help="which SDKs, comma-separated")
    parser.add_argument("--endpoint", help="HOST:PORT of a running server")
    parser.add_argument("--messages", type=int, default=10000, help="in the round trip")
    parser.add_argument("--dunlinctl", default=BIN / "dunlinctl", help="the admin program")
    options = parser.parse_args()
    unknown = set(options.sdk.split(",")) - set(SDKS)
    if unknown:
        parser.error(f"no such SDK: {', '.join(sorted(unknown))}; there are: {', '.join(SDKS)}")

    tally = Tally()
    sdks = []
    for sdk in (SDKS[name] for name in options.sdk.split(",")):
        try:
            sdk.prepare()
            sdks.append(sdk)
        except Failure as failure:
            tally.add(sdk, "toolchain", str(failure), 0)

    directory = Path(tempfile.mkdtemp(prefix="dunlin-compat-"))
    os.environ["HOME"] = str(directory)  # the SDKs write their logs below it
    try:
        Run(options, directory, tally).all(sdks)
    except Failure as failure:
        print(f"FAIL: {failure}", flush=True)
        tally.failed += 1
    if tally.failed:
        print(f"logs of the server and the SDKs: {directory}", flush=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
