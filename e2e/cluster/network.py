"""Machines made of network namespaces, on one bridge that this machine has an address on too.

Needs root and iproute2, nothing of the kernel but namespaces, veth and bridge. Whatever is asked is
read back from the kernel: there is no state beside it that could be wrong.

A way that is cut: the sender is taught a hardware address of the receiver that nobody has, so that
what it sends gets lost on the bridge, silently and in one direction, as on a broken network. No
firewall takes part.
"""

import os
import shutil
import signal
import subprocess
import time

NOBODY = "02:00:00:00:00:00"


class Failure(Exception):
    """What went wrong, for a person, with the way out."""


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure("%s: %s" % (" ".join(words), done.stderr.strip() or done.stdout.strip()))
    return done.stdout


def check_possible():
    if os.geteuid() != 0:
        raise Failure("network namespaces need root: run this with sudo")
    if shutil.which("ip") is None:
        raise Failure("there is no program `ip`: install the Debian package iproute2")


class Network:
    """`prefix` begins the names of everything made here; at most 10 characters, since the kernel
    takes 15 for an interface. `subnet`: its first three numbers, as in "10.77.0"."""

    def __init__(self, prefix, subnet):
        self.prefix, self.subnet = prefix, subnet
        self.bridge = prefix
        self.host = subnet + ".1"

    def namespace(self, machine):
        return "%s-%s" % (self.prefix, machine)

    def machines(self):
        names = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line]
        begin = self.prefix + "-"
        return sorted(name[len(begin):] for name in names if name.startswith(begin))

    def exists(self):
        return os.path.exists("/sys/class/net/" + self.bridge) or bool(self.machines())

    def make(self):
        # Not ours, and what is sent there would be lost.
        taken = run("ip", "-4", "route", "show", self.subnet + ".0/24").strip()
        if taken:
            raise Failure("this machine has a way to %s.0/24 already (%s): choose another --id" %
                          (self.subnet, taken.splitlines()[0]))
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", self.host + "/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")

    def add(self, machine, address):
        namespace = self.namespace(machine)
        # The end on the bridge is named by the last number of the address.
        end = "%s-%s" % (self.prefix, address.rsplit(".", 1)[1])
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", end, "master", self.bridge, "up")
        run("ip", "-n", namespace, "addr", "add", address + "/24", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        run("ip", "-n", namespace, "link", "set", "lo", "up")

    def remove(self):
        """Also what is left of one that was not wholly made."""
        machines = self.machines()
        for machine in machines:
            self.kill_all(machine)
        # A namespace stays for as long as a connection in it takes to end, and its interface with
        # it, unless that goes first: the next one of this name would be refused.
        for end in os.listdir("/sys/class/net"):
            if end.startswith(self.prefix + "-"):
                run("ip", "link", "delete", end)
        for machine in machines:
            run("ip", "netns", "delete", self.namespace(machine))
        if os.path.exists("/sys/class/net/" + self.bridge):
            run("ip", "link", "delete", self.bridge)

    # ---- processes ----

    def spawn(self, machine, command, output):
        """Starts a program that outlives this one; what it prints goes to the end of `output`."""
        with open(output, "ab") as log:
            return subprocess.Popen(self.command(machine, *command), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, start_new_session=True)

    def command(self, machine, *words):
        return ["ip", "netns", "exec", self.namespace(machine), *words]

    def pids(self, machine):
        """Process ids by the name of the program."""
        found = {}
        for pid in run("ip", "netns", "pids", self.namespace(machine)).split():
            try:
                # Of a process that has ended, but was not waited for, there is no program.
                program = os.path.basename(os.readlink("/proc/%s/exe" % pid))
            except OSError:
                continue
            found[program.removesuffix(" (deleted)")] = int(pid)
        return found

    def kill(self, machine, programs):
        """kill -9; returns when they are gone."""
        for name, pid in self.pids(machine).items():
            if name in programs:
                kill_and_wait(pid)

    def kill_all(self, machine):
        while pids := self.pids(machine).values():
            for pid in pids:
                kill_and_wait(pid)

    # ---- faults ----

    def cut(self, sender, receiver):
        """What `sender` sends to `receiver` gets lost. Each: (machine, address); machine None is
        the one that all this is on."""
        machine, _ = sender
        run(*self.neighbours(machine), "replace", receiver[1], "lladdr", NOBODY, "nud",
            "permanent", *self.device(machine))

    def cuts(self, machine):
        """The addresses that what `machine` sends does not get to."""
        shown = run(*self.neighbours(machine), "show", "nud", "permanent", *self.device(machine))
        return [line.split()[0] for line in shown.splitlines() if NOBODY in line]

    def heal(self):
        """How many ways were cut, each direction for itself."""
        healed = 0
        for machine in [None, *self.machines()]:
            for address in self.cuts(machine):
                run(*self.neighbours(machine), "delete", address, *self.device(machine))
                healed += 1
        return healed

    def neighbours(self, machine):
        return ["ip", *([] if machine is None else ["-n", self.namespace(machine)]), "neigh"]

    def device(self, machine):
        return ["dev", self.bridge if machine is None else "eth0"]


def kill_and_wait(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        while True:
            with open("/proc/%d/stat" % pid) as stat:
                # A zombie holds nothing any more; whoever started it waits for it.
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
            time.sleep(0.005)
    except (ProcessLookupError, FileNotFoundError):
        return
