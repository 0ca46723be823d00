"""Machines on this machine: each has its own network, processes, mounts and name, by namespaces of
the kernel, and its own /run, /var/lib and /var/log.

A machine is a process that waits, and is process 1 of its namespaces. Whatever runs or is mounted
there goes with it, as with a machine whose plug is pulled. Which machines there are is asked of the
kernel, which knows that process by its name.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

PATIENCE_SECONDS = 90
OWN_DIRECTORIES = ("/run", "/var/lib", "/var/log")
# Process 1: children that others left behind are not waited for, so they may not stay zombies.
FIRST_PROCESS = """\
set -e
for own in {own}; do
  mkdir -p {home}$own
  mount --bind {home}$own $own
done
hostname {name}
trap '' CHLD
exec -a {marker} sleep infinity
"""


class Failure(Exception):
    """What went wrong, for a person, with the way out."""


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **options)
    if done.returncode != 0:
        raise Failure("%s: %s" % (" ".join(map(str, words)),
                                  done.stderr.strip() or done.stdout.strip()))
    return done.stdout


def await_(condition, what, seconds=PATIENCE_SECONDS, every=0.1):
    """Until `condition()` is true; its value. `what`: what is missing, or a function that says.
    `every` so many seconds it is looked at."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failure("%s, after %d s" % (what() if callable(what) else what, seconds))
        time.sleep(every)
    return value


def processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def of_process(pid, what, read=os.readlink):
    """Of one that has ended there is nothing."""
    try:
        return read("/proc/%d/%s" % (pid, what))
    except OSError:
        return None


def arguments(pid):
    text = of_process(pid, "cmdline", lambda path: Path(path).read_bytes())
    return (text or b"").decode(errors="replace").split("\0")


class Machine:
    """`home` is where its files are."""

    def __init__(self, name, home):
        self.name, self.home = name, Path(home)
        self.marker = "machine:%s" % self.home

    def first_process(self):
        """None when the machine is not there."""
        return next((pid for pid in processes() if arguments(pid)[0] == self.marker), None)

    def start(self):
        self.home.mkdir(parents=True, exist_ok=True)
        script = FIRST_PROCESS.format(own=" ".join(OWN_DIRECTORIES), home=self.home,
                                      name=self.name, marker=self.marker)
        with open(self.home / "machine.log", "wb") as log:
            starting = subprocess.Popen(
                ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork",
                 "--mount-proc", "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)

        def started():
            if starting.poll() is not None:
                raise Failure("%s cannot be made: %s" % (
                    self.name, (self.home / "machine.log").read_text().strip()))
            return self.first_process()

        await_(started, "%s does not start" % self.name)
        self.run("ip", "link", "set", "lo", "up")

    def stop(self):
        """Returns when all of its processes are gone."""
        pid = self.first_process()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            await_(lambda: not os.path.exists("/proc/%d" % pid), "%s does not end" % self.name)

    def command(self, *words, directory="/"):
        pid = self.first_process()
        if pid is None:
            raise Failure("%s is not up" % self.name)
        return ["nsenter", "--target", str(pid), "--net", "--mount", "--pid", "--ipc", "--uts",
                "--wd=%s" % directory, "--", *map(str, words)]

    def run(self, *words, **options):
        return run(*self.command(*words), **options)

    # ---- programs ----

    def log(self, program):
        return self.home / (program + ".log")

    def spawn(self, *words):
        """Starts a program that outlives this one."""
        with open(self.log(os.path.basename(words[0])), "ab") as log:
            return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, start_new_session=True)

    def programs(self):
        """What runs here, without containers, which have namespaces of their own: its name → its
        process."""
        first = self.first_process()
        if first is None:
            return {}
        own = of_process(first, "ns/pid")
        return {os.path.basename(of_process(pid, "exe") or ""): pid for pid in processes()
                if pid != first and of_process(pid, "ns/pid") == own}

    def kill(self, program):
        """kill -9; false when it does not run."""
        pid = self.programs().get(program)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        await_(lambda: not os.path.exists("/proc/%d" % pid), "%s does not end" % program)
        return True

    def tail(self, program):
        try:
            return "".join(self.log(program).read_text(errors="replace").splitlines(True)[-10:])
        except OSError:
            return ""


class Network:
    """A bridge that stands in the first of the machines, and nothing outside of them."""

    BRIDGE = "fabric"

    def __init__(self, middle, address):
        self.middle, self.address = middle, address

    def make(self):
        self.middle.run("ip", "link", "add", self.BRIDGE, "type", "bridge")
        self.middle.run("ip", "addr", "add", self.address + "/24", "dev", self.BRIDGE)
        self.middle.run("ip", "link", "set", self.BRIDGE, "up")

    def join(self, machine, address):
        # From outside of the middle's own view of processes, which has none of others.
        run("nsenter", "--target", self.middle.first_process(), "--net", "ip", "link", "add",
            machine.name, "type", "veth", "peer", "name", "eth0", "netns", machine.first_process())
        self.middle.run("ip", "link", "set", machine.name, "master", self.BRIDGE, "up")
        machine.run("ip", "addr", "add", address + "/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "route", "add", "default", "via", self.address)

    def cut(self, machine):
        """Nothing gets from it or to it, and nobody is told."""
        self.middle.run("ip", "link", "set", machine.name, "nomaster")

    def heal(self, machine):
        self.middle.run("ip", "link", "set", machine.name, "master", self.BRIDGE)

    def is_cut(self, machine):
        return "master" not in self.middle.run("ip", "link", "show", machine.name)
