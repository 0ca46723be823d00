"""The cluster that `./dev cluster` makes: its machines, their programs, and how they are.

Whether a program runs, and which ways are cut, is asked of the kernel; what a member is, of the
member.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from network import Failure, Network

PROGRAMS = ("dunlin-nameservice", "dunlin-broker", "dunlin-replicator", "dunlinctl")
BROKER_PORT, REPLICATOR_PORT, NAMES_PORT, ETCD_PORT = 8081, 10912, 9876, 2379
PATIENCE_SECONDS = 60
HALVES = {"broker": ["dunlin-broker"], "replicator": ["dunlin-replicator"],
          "both": ["dunlin-broker", "dunlin-replicator"]}

# The machines by name, with the last number of their addresses.
ETCD = {"etcd": 10}
NAMES = {"name-0": 11, "name-1": 12}
GROUPS = {"a": {"a-0": 20, "a-1": 21, "a-2": 22}, "b": {"b-0": 30, "b-1": 31, "b-2": 32}}
MEMBERS = {member: number for group in GROUPS.values() for member, number in group.items()}
MACHINES = {**ETCD, **NAMES, **MEMBERS}

MEMBER_CONFIG = """\
data_dir: {directory}/data
server: {{ advertised_address: "{address}:{broker_port}" }}
broker: {{ broker_name: {group}, name_services: ["{names}"] }}
store: {{ flush_mode: {flush}_FLUSH, segment_size_bytes: 67108864 }}
replication:
  member: {member}
  members: "{members}"
  mode: {mode}
  coordinator: ETCD
  etcd_endpoints: "{etcd}"
  secret_file: {secret}
"""


def group_of(member):
    return member.split("-")[0]


def await_(condition, what, hint):
    """Until `condition()` is true; its value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failure("%s within %d s. %s" % (what, PATIENCE_SECONDS, hint))
        time.sleep(0.05)
    return value


def tail(path):
    with open(path, errors="replace") as log:
        return "".join(log.readlines()[-10:])


class Cluster:
    def __init__(self, number, programs=None):
        self.number = number
        self.network = Network("dunlin%d" % number, "10.77.%d" % number)
        self.directory = "/var/tmp/dunlin-cluster-%d" % number
        self.programs = programs
        self.settings = []  # of members

    # ---- what there is ----

    def address(self, machine, port=None):
        address = "%s.%d" % (self.network.subnet, MACHINES[machine])
        return address if port is None else "%s:%d" % (address, port)

    def home(self, machine, *rest):
        return os.path.join(self.directory, machine, *rest)

    def check_up(self):
        if not self.network.exists():
            raise Failure("cluster %d is not up: `./dev cluster up` starts it" % self.number)
        try:
            with open(os.path.join(self.directory, "cluster.json")) as saved:
                was = json.load(saved)
            self.programs, self.settings = was["programs"], was["settings"]
        except (OSError, ValueError, KeyError):
            raise Failure("cluster %d is only half there: `./dev cluster down` removes what is "
                          "left of it" % self.number) from None

    def program(self, name):
        return os.path.join(self.programs, name)

    # ---- up and down ----

    def check_can_be_made(self):
        for name in PROGRAMS:
            if not os.access(self.program(name), os.X_OK):
                raise Failure("there is no %s: `./dev build` makes it" % self.program(name))
        if shutil.which("etcd") is None:
            raise Failure("there is no program `etcd`: install the Debian package etcd-server")
        if self.network.exists() or os.path.exists(self.directory):
            raise Failure("cluster %d is up already, or what is left of it: `./dev cluster status` "
                          "shows it, `./dev cluster down` removes it, another --id makes another "
                          "one" % self.number)

    def up(self, mode, flush, settings):
        """REQUIRES: it can be made. What is there when it fails, `down` removes."""
        self.settings = settings
        self.network.make()
        os.mkdir(self.directory, 0o755)
        for machine in MACHINES:
            self.network.add(machine, self.address(machine))
            os.mkdir(self.home(machine))
        self.configure(mode, flush)
        self.start(["etcd"])
        self.start(list(NAMES))
        self.start(list(MEMBERS))
        for group in GROUPS:
            self.await_master(group)
        for name in NAMES:
            await_(lambda: self.tells_routes(name), "%s tells no routes" % name,
                   "Its log is %s" % self.home(name, "dunlin-nameservice.log"))

    def down(self):
        if not self.network.exists() and not os.path.exists(self.directory):
            raise Failure("cluster %d is not up" % self.number)
        self.remove()

    def remove(self):
        self.network.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def configure(self, mode, flush):
        secret = os.path.join(self.directory, "secret")
        with open(secret, "w") as file:
            file.write("the secret of cluster %d on this machine\n" % self.number)
        for member in MEMBERS:
            group = GROUPS[group_of(member)]
            with open(self.home(member, "member.yaml"), "w") as file:
                file.write(MEMBER_CONFIG.format(
                    directory=self.home(member), address=self.address(member),
                    broker_port=BROKER_PORT, group=group_of(member), member=member, mode=mode,
                    flush=flush, secret=secret, etcd=self.address("etcd", ETCD_PORT),
                    names='", "'.join(self.address(name, NAMES_PORT) for name in NAMES),
                    members=", ".join("%s=%s" % (other, self.address(other, REPLICATOR_PORT))
                                      for other in group)))
        with open(os.path.join(self.directory, "cluster.json"), "w") as file:
            json.dump({"programs": self.programs, "mode": mode, "flush": flush,
                       "settings": self.settings}, file)

    def commands(self, machine):
        """What runs there: name of the program → its command."""
        if machine == "etcd":
            client, peer = (["http://" + self.address("etcd", port)] for port in (ETCD_PORT, 2380))
            return {"etcd": ["etcd", "--data-dir", self.home("etcd", "data"),
                             "--listen-client-urls", *client, "--advertise-client-urls", *client,
                             "--listen-peer-urls", *peer, "--initial-advertise-peer-urls", *peer,
                             "--initial-cluster", "default=" + peer[0]]}
        if machine in NAMES:
            # All brokers start within a second or two here; by default it waits for 10.
            return {"dunlin-nameservice": [self.program("dunlin-nameservice"), "--data-dir",
                                           self.home(machine, "data"),
                                           "--set", "registry.start_grace_ms=3000"]}
        config = ["-c", self.home(machine, "member.yaml"),
                  *(word for setting in self.settings for word in ("--set", setting))]
        return {name: [self.program(name), *config] for name in HALVES["both"]}

    def start(self, machines):
        """Whatever of them does not run, and waits until it does."""
        started = []
        for machine in machines:
            running = self.network.pids(machine)
            for name, command in self.commands(machine).items():
                if name in running:
                    continue
                log = self.home(machine, name + ".log")
                from_here = os.path.getsize(log) if os.path.exists(log) else 0
                started.append((machine, name, log, from_here,
                                self.network.spawn(machine, command, log)))
        for one in started:
            self.await_ready(*one)
        return [(machine, name) for machine, name, *_ in started]

    def await_ready(self, machine, name, log, from_here, process):
        def ready():
            if process.poll() is not None:
                raise Failure("%s on %s ended with status %d:\n%s" %
                              (name, machine, process.returncode, tail(log)))
            if name == "etcd":
                return answers(self.address("etcd"), ETCD_PORT)
            with open(log, errors="replace") as text:
                text.seek(from_here)
                return "is ready on" in text.read()

        await_(ready, "%s on %s is not ready" % (name, machine),
               "Its log is %s. If packets of the bridge %s go through a firewall "
               "(net.bridge.bridge-nf-call-iptables), it has to let them." %
               (log, self.network.bridge))

    # ---- how it is ----

    def ask(self, member):
        """What the member says of itself; nothing when it does not answer. Asked from where it is,
        so that no cut is in the way."""
        if "dunlin-replicator" not in self.network.pids(member):
            return None
        own = self.address(member, REPLICATOR_PORT)
        done = subprocess.run(
            self.network.command(member, self.program("dunlinctl"), "--endpoint", own, "--timeout",
                                 "2", "-o", "json", "replica", "list"),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for answer in json_values(done.stdout):
            if answer.get("member") == member:
                return answer
        return None

    def ask_all(self, members):
        with ThreadPoolExecutor() as pool:
            return dict(zip(members, pool.map(self.ask, members)))

    def master(self, group):
        """Who takes messages, and its answer."""
        found = [(int(answer.get("epoch", 0)), member, answer)
                 for member, answer in self.ask_all(list(GROUPS[group])).items()
                 if answer and answer.get("role") == "MASTER" and answer.get("accepting")]
        return max(found)[1:] if found else None

    def tells_routes(self, name):
        done = subprocess.run(
            [self.program("dunlinctl"), "--endpoint", self.address(name, NAMES_PORT), "cluster",
             "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.returncode == 0 and "tells no routes" not in done.stdout

    def await_master(self, group):
        return await_(lambda: self.master(group), "no member of group %s became its master" % group,
                      "The logs are %s-*/dunlin-*.log" % os.path.join(self.directory, group))

    def network_of(self, machine):
        """Who does not get what `machine` sends, and whose it does not get."""
        names = {self.address(other): other for other in MACHINES}
        names[self.network.host] = "clients"
        own = self.address(machine)
        out = {names.get(address, address) for address in self.network.cuts(machine)}
        into = {other for other in MACHINES
                if other != machine and own in self.network.cuts(other)}
        if own in self.network.cuts(None):
            into.add("clients")
        parts = [("cut from", out & into), ("does not reach", out - into),
                 ("not reached by", into - out)]
        return "; ".join("%s %s" % (text, ", ".join(sorted(some))) for text, some in parts
                         if some) or "ok"

    def processes_of(self, machine):
        pids = self.network.pids(machine)
        return ", ".join("%s %s" % (name.removeprefix("dunlin-"), pids.get(name, "-"))
                         for name in self.commands(machine))

    def rows(self):
        yield ["MEMBER", "ADDRESS", "ROLE", "EPOCH", "BEHIND", "IN SYNC", "PROCESSES", "NETWORK"]
        for machine in [*ETCD, *NAMES]:
            port = ETCD_PORT if machine == "etcd" else NAMES_PORT
            yield [machine, self.address(machine, port), "-", "-", "-", "-",
                   self.processes_of(machine), self.network_of(machine)]
        answers_ = self.ask_all(list(MEMBERS))
        for group in GROUPS.values():
            # Of two who think they are, the one of the higher epoch is.
            masters = [answers_[member] for member in group
                       if answers_[member] and answers_[member].get("role") == "MASTER"]
            master = max(masters, key=lambda answer: int(answer.get("epoch", 0)), default={})
            for member in group:
                yield self.row_of(member, answers_[member], master)

    def row_of(self, member, answer, master):
        behind = next((slave.get("lagBytes", slave.get("lag_bytes", "0"))
                       for slave in master.get("slaves", []) if slave["member"] == member), "-")
        role = (answer or {}).get("role", "-").lower()
        if role == "master" and not answer.get("accepting"):
            role = "master, refuses"
        in_sync = master.get("inSync", master.get("in_sync", []))
        return [member, self.address(member, BROKER_PORT), role,
                str((answer or {}).get("epoch", "-")), behind,
                ("yes" if member in in_sync else "no") if master else "-",
                self.processes_of(member), self.network_of(member)]

    # ---- faults ----

    def kill(self, machine, half):
        if machine not in MEMBERS:
            if half != "both":
                raise Failure("%s has no halves; a member of a broker group has" % machine)
            return self.network.kill_all(machine)
        return self.network.kill(machine, HALVES[half])

    def others(self, member, side):
        """From whom a partition cuts the member, by what the side is called."""
        clients = [(None, self.network.host)]
        group = [other for other in GROUPS[group_of(member)] if other != member]
        machines = {"coordinator": list(ETCD), "group": group, "clients": [],
                    "all": [other for other in MACHINES if other != member]}[side]
        return [(other, self.address(other)) for other in machines] + (
            clients if side in ("clients", "all") else [])

    def partition(self, member, side, one_way):
        own = (member, self.address(member))
        for other in self.others(member, side):
            self.network.cut(own, other)
            if not one_way:
                self.network.cut(other, own)


def answers(address, port):
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def json_values(text):
    """One JSON object after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value
