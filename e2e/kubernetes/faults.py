#!/usr/bin/env python3
"""The chart on nodes with kubelets, under load and faults: `./dev test nodes`.

faults.py [--id N] [SCENARIO ...]: all of them unless named. `--sequences N [--seed S]`: N times some
of them, drawn by lot, one after the other; the same ones for the same seed. Nodes that are up with
this number are used, and stay; else they are made, and go. Needs root, bin/images/ (`./dev image`)
and the program of //e2e/kubernetes:clients. The last line is `N passed, N failed, N skipped`.

Four ways lead to the group, each with clients of its own: to all members by their own names
(`members`), by the Service of the master (`master`), by name services, which pass calls on
(`names`), and the SDK for C++, which knows the Service of the name services alone (`sdk`). In the
end all that was acknowledged has to be there, once, where it was said to be.
"""

import argparse
import base64
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from pathlib import Path

from machines import Failure, await_, run
from main import images, programs, say
from nodes import ROOT, Nodes, check_possible

SPACE, GROUP, NAMES = "mq", "dunlin-broker-a", "dunlin-names"
OTHER_GROUP = "dunlin-by-etcd"  # of one scenario
SUPER_USER = "dunlin-super-user"  # the Secret
KEYS = "keys"  # the Secret that clients have before there is access control
MEMBERS = 3
OPERATOR = "app.kubernetes.io/component=operator"
PATIENCE_SECONDS, LOOK_SECONDS = 240, 0.5
API_OUTAGE_SECONDS = 60
OPERATOR_DEATHS, BETWEEN_DEATHS_SECONDS = 6, 10
# Of a sequence.
SCENARIOS_MIN, SCENARIOS_MAX = 3, 5
HOURS = 72  # of retention, unless set
# Of the longest time in which the SDK, or no way at all, had anything acknowledged. A killed or cut off master's lease
# of 6 s has to run out, and machines that test this are slow.
VERSION = "version"  # not a scenario among others: there is no way back
PAUSE_BOUND_SECONDS = {"kill": 20, "delete": 10, "update": 10, "scale": 10, "grow": 10, "cut": 30,
                       "api": 10, "operator": 10, "drain": 10, "expose": 10, "etcd": 10,
                       VERSION: 10}


def await_cluster(condition, what):
    """Looks seldom: kubectl takes processor time that nodes need."""
    await_(condition, what, PATIENCE_SECONDS, LOOK_SECONDS)


def address(pod):
    return "%s.%s-members.%s.svc:8081" % (pod, GROUP, SPACE)


class Release:
    """The chart, installed as its documentation says, into a namespace of restricted pods."""

    def __init__(self, nodes, source=ROOT):
        """`source` is the checkout that it is installed from."""
        self.nodes, self.source = nodes, source
        self.helm_program = run(ROOT / "charts/tools/helm/build.sh").splitlines()[-1]

    def tag(self):
        with tarfile.open(images(self.source)[0]) as archive:
            names = json.load(archive.extractfile("manifest.json"))[0]["RepoTags"]
        return names[0].rsplit(":", 1)[1]

    def kubectl(self, *words, **options):
        return self.nodes.control.kubectl("--namespace", SPACE, *words, **options)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def helm(self, *words):
        return self.nodes.control.machine.run(
            "env", "KUBECONFIG=%s" % self.nodes.control.kubeconfig(), self.helm_program, *words,
            "--namespace", SPACE)

    def install(self):
        self.nodes.control.kubectl("create", "namespace", SPACE)
        self.nodes.control.kubectl("label", "namespace", SPACE,
                                   "pod-security.kubernetes.io/enforce=restricted")
        if self.source != ROOT:
            self.kubectl("create", "secret", "generic", KEYS, "--from-literal=accessKey=admin",
                         "--from-literal=secretKey=%032x" % random.getrandbits(128))
        self.helm("install", "dunlin", self.source / "charts/dunlin", *self.settings())

    def upgrade(self, value, setting, *others):
        """Of all groups. `others`: of the chart."""
        self.set("cluster.brokerGroupDefaults.%s=%s" % (value, setting), *others)

    def set(self, *values):
        """What was set before stays, also by a run before this."""
        words = [word for one in values for word in ("--set", one)]
        self.helm("upgrade", "dunlin", ROOT / "charts/dunlin", "--reuse-values", *words)

    def change_version(self):
        """To that of this checkout, as the documentation says."""
        self.source = ROOT
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f",
                     ROOT / "charts/dunlin/crds")
        self.helm("upgrade", "dunlin", ROOT / "charts/dunlin", "--reset-then-reuse-values",
                  *self.settings(), "--set", "accessControl.enabled=true", "--set",
                  "accessControl.existingSecret=" + KEYS)

    def settings(self):
        parts = ["", "operator.", "test."]
        if (self.source / "charts/dunlin/templates/etcd.yaml").exists():
            parts.append("etcd.")
        return [word for of in parts for word in ("--set", "%simage.tag=%s" % (of, self.tag()))]

    def is_there(self):
        return self.kubectl("get", "bg", GROUP, "--ignore-not-found", check=False) != ""

    # ---- the group ----

    def group(self):
        return self.get("bg", GROUP)

    def pod(self, name):
        return self.get("pod", name)

    def is_whole(self, members=MEMBERS, epoch_above=0, name=GROUP):
        group = self.get("bg", name)
        status = group.get("status", {})
        return (status.get("phase") == "Healthy" and status.get("epoch", 0) > epoch_above
                and status.get("observedGeneration") == group["metadata"]["generation"]
                and status.get("readyReplicas") == status.get("inSyncReplicas") == members
                and status.get("updatedReplicas") == members)

    def await_whole(self, name=GROUP, **wanted):
        def status():
            return self.get("bg", name).get("status", {})

        await_cluster(lambda: self.is_whole(name=name, **wanted),
                      lambda: "%s is not whole: %s" % (name, json.dumps(status())))
        return status()

    def credentials(self):
        """Variables of who may do everything, as the chart has made him, or we before."""
        secrets = [json.loads(shown) for shown in
                   (self.kubectl("get", "secret", name, "-o", "json", "--ignore-not-found")
                    for name in (KEYS, SUPER_USER)) if shown]
        if not secrets:
            return {}
        data = secrets[0]["data"]
        return {variable: base64.b64decode(data[key]).decode() for variable, key in (
            ("DUNLIN_ACCESS_KEY", "accessKey"), ("DUNLIN_SECRET_KEY", "secretKey"))}

    def dunlinctl_outside(self, endpoint, *words, credentials=None):
        """On a machine of its own. `credentials`: those of before, when nobody can be asked."""
        variables = ["%s=%s" % one for one in (credentials or self.credentials()).items()]
        return self.nodes.control.machine.run("env", *variables, ROOT / "bin/dunlinctl",
                                              "--endpoint", endpoint, *words)

    def dunlinctl(self, *words):
        """In a pod, whose variables say who calls."""
        return self.kubectl("exec", GROUP + "-1", "-c", "dunlin", "--", "dunlinctl", "--endpoint",
                            "%s.%s.svc:9876" % (NAMES, SPACE), *words)


class Clients:
    """They send, and say what they saw."""

    def __init__(self, release, program):
        self.release = release
        run_number = int(time.time())
        members = [address("%s-%d" % (GROUP, i)) for i in range(MEMBERS)]
        ways = {"members": members, "master": ["%s-master.%s.svc:8081" % (GROUP, SPACE)],
                "names": ["%s.%s.svc:9876" % (NAMES, SPACE)],
                "sdk": ["%s.%s.svc:9876" % (NAMES, SPACE)]}
        words = ["--reader", members[0]]
        for way, addresses in ways.items():
            topic = "%s-%d" % (way, run_number)
            release.dunlinctl("topic", "create", topic, "--queues", "4")
            words += ["--sdk" if way == "sdk" else "--way",
                      "%s=%s" % (topic, ",".join(addresses))]
        self.process = subprocess.Popen(
            release.nodes.control.machine.command(program, *words), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, **release.credentials()})

    def window(self):
        """What there was since the last one."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer tells
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the clients ended with status %d" % self.process.wait())
        return {way.split("-")[0]: what for way, what in json.loads(line).items()}

    def end(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # the same
        told = self.answer()
        return self.process.wait(), told


class Faults:
    def __init__(self, release):
        self.release, self.nodes = release, release.nodes
        config = release.group()["spec"].get("config", {})
        self.hours = config.get("store", {}).get("retention", {}).get("time_hours", HOURS)

    def master(self):
        status = self.release.await_whole()
        return status["master"], status["epoch"]

    def node_of(self, pod):
        return self.nodes.node(self.release.pod(pod)["spec"]["nodeName"])

    def kill(self):
        """kill -9 to all processes of the master's pod, whose containers are started again"""
        master, epoch = self.master()
        pids = self.node_of(master).pids_of_pod(self.release.pod(master)["metadata"]["uid"])
        for program in ("dunlin-broker", "dunlin-replicator"):
            os.kill(pids[program], signal.SIGKILL)
        self.release.await_whole(epoch_above=epoch)

    def delete(self):
        """the master's pod is deleted: it hands over, and another pod takes its volume"""
        master, epoch = self.master()
        self.release.kubectl("delete", "pod", master, "--wait=false")
        self.release.await_whole(epoch_above=epoch)

    def update(self):
        """a changed setting reaches all members, the master last"""
        _, epoch = self.master()
        self.change_setting()
        self.release.await_whole(epoch_above=epoch)
        self.check_setting()

    def change_setting(self):
        self.hours += 1
        self.release.upgrade("config.store.retention.time_hours", self.hours)

    def check_setting(self):
        # Of all pods: each names the ConfigMap that it was made with.
        names = {volume["configMap"]["name"]
                 for pod in self.release.get("pods", "-l", "dunlin.dev/group=" + GROUP)["items"]
                 for volume in pod["spec"]["volumes"] if volume["name"] == "config"}
        for name in names:
            text = self.release.kubectl("get", "configmap", name, "-o", "yaml")
            if re.search(r"time_hours: %d\b" % self.hours, text) is None:
                raise Failure("the setting is not in the configuration of all members:\n" + text)

    def version(self):
        """the chart, CRDs and images of another version, and access control switched on"""
        _, epoch = self.master()
        self.release.change_version()
        self.release.await_whole(epoch_above=epoch)
        self.release.kubectl("rollout", "status", "--timeout=120s", "deployment/dunlin-operator")
        tag = self.release.tag()
        old = [image for pod in self.release.get("pods")["items"] if "deletionTimestamp" not in
               pod["metadata"] and pod["status"]["phase"] == "Running"
               for image in [one["image"] for one in pod["spec"]["containers"]]
               if not image.endswith(":" + tag)]
        if old:
            raise Failure("images of another version are still there: %s" % ", ".join(old))
        self.check_access()

    def check_access(self):
        self.release.dunlinctl("topic", "list")
        try:
            self.release.dunlinctl("topic", "list", "--secret-key-file", "/etc/hostname")
        except Failure as failure:
            if "signature is not one of user admin" in str(failure):
                return
            raise
        raise Failure("a call that is signed with another secret is not refused")

    def expose(self):
        """members and name services get ports of nodes, by which a client outside sends and
        receives, while those inside go on by the addresses inside"""
        self.master()
        self.release.upgrade("expose.type", "NodePort", "cluster.nameService.expose.type=NodePort")
        self.release.await_whole()
        await_cluster(lambda: None not in self.outside_addresses(),
                      lambda: "members without an external address: %s" % self.release.group())
        await_cluster(self.outside_port, "the name service has no external address")
        endpoint = "%s:%s" % (self.nodes.nodes[0].address, self.outside_port())
        # Kubelets bring another ConfigMap to running pods a minute or so later.
        await_cluster(lambda: self.told_outside(endpoint) == set(self.outside_addresses()),
                      lambda: "told %s, not %s" % (self.told_outside(endpoint),
                                                   self.outside_addresses()))
        topic = "outside-%d" % int(time.time())
        self.release.dunlinctl_outside(endpoint, "topic", "create", topic)
        self.release.dunlinctl_outside(endpoint, "produce", topic, "from outside")
        got = self.release.dunlinctl_outside(endpoint, "consume", topic, "--group", "outside",
                                             "--count", "1")
        if "from outside" not in got:
            raise Failure("what was sent from outside does not come: " + got)

    def outside_addresses(self):
        """Of each member; None while there is none."""
        return [member.get("externalAddress") for member in
                self.release.group().get("status", {}).get("members", [])] or [None]

    def outside_port(self):
        shown = self.release.get("nameservice", NAMES).get("status", {}).get("externalAddress", "")
        return shown.rpartition(":")[2]

    def told_outside(self, endpoint):
        listed = self.release.dunlinctl_outside(endpoint, "cluster", "list", "-o", "json")
        return {"%s:%s" % (address["host"], address["port"])
                for group in json.loads(listed)["groups"] for member in group["members"]
                for address in member["endpoints"]["addresses"]}

    def etcd(self):
        """a second group, whose coordinator is an etcd of the chart: while the API server is away
        its master stands still, and another member takes over"""
        self.master()
        self.set_etcd(True, {"name": "broker-a"},
                      {"name": "by-etcd", "failover": {"coordinator": {"type": "Etcd"}},
                       "storage": {"size": "1Gi"}})
        try:
            self.fail_over_by_etcd()
        finally:
            self.nodes.control.start_what_is_missing()
            self.nodes.await_ready()
            self.forget_etcd()
        self.release.await_whole()

    def set_etcd(self, enabled, *groups):
        self.release.helm("upgrade", "dunlin", ROOT / "charts/dunlin", "--reuse-values",
                          "--set-json", "cluster.brokerGroups=" + json.dumps(groups), "--set",
                          "etcd.enabled=" + json.dumps(enabled))

    def fail_over_by_etcd(self):
        await_cluster(lambda: self.release.kubectl("get", "bg", OTHER_GROUP, "--ignore-not-found"),
                      "the group that was asked for is not there")
        status = self.release.await_whole(name=OTHER_GROUP)
        master, epoch = status["master"], status["epoch"]
        pods = {name: self.release.pod(name)
                for name in ["%s-%d" % (OTHER_GROUP, i) for i in range(MEMBERS)]}
        addresses = {name: pod["status"]["podIP"] for name, pod in pods.items()}
        slaves = [one for name, one in addresses.items() if name != master]
        topic = "by-etcd-%d" % int(time.time())
        self.release.dunlinctl_outside(addresses[master] + ":8081", "topic", "create", topic)
        credentials = self.release.credentials()
        self.nodes.control.machine.kill("kube-apiserver")
        # Not killed: the kubelet, which needs no API server for that, would start it again.
        node = self.nodes.node(pods[master]["spec"]["nodeName"])
        pids = node.pids_of_pod(pods[master]["metadata"]["uid"])
        stopped = [pids[program] for program in ("dunlin-broker", "dunlin-replicator")]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            await_cluster(lambda: self.newest_epoch(slaves, credentials) > epoch,
                          "nobody has taken over from %s" % master)
            await_cluster(lambda: self.is_sent(slaves, topic, credentials), "nobody takes messages")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        self.nodes.control.start_what_is_missing()
        self.nodes.await_ready()
        self.release.await_whole(name=OTHER_GROUP, epoch_above=epoch)

    def newest_epoch(self, addresses, credentials):
        """As those members know it that answer."""
        epochs = [0]
        for one in addresses:
            with contextlib.suppress(Failure):
                shown = self.release.dunlinctl_outside(
                    one + ":10912", "--timeout", "2", "-o", "json", "replica", "list",
                    credentials=credentials)
                epochs += map(int, re.findall(r'^ *"epoch": "?([0-9]+)', shown, re.M))
        return max(epochs)

    def is_sent(self, addresses, topic, credentials):
        """Whether one of those members takes a message: the master does."""
        for one in addresses:
            with contextlib.suppress(Failure):
                self.release.dunlinctl_outside(one + ":8081", "--timeout", "5", "produce", topic,
                                               "there", credentials=credentials)
                return True
        return False

    def forget_etcd(self):
        """All of it, also volumes: another etcd would not know who has what was acknowledged."""
        self.set_etcd(False, {"name": "broker-a"})
        await_cluster(lambda: not self.release.kubectl(
            "get", "pods", "-l", "dunlin.dev/group=" + OTHER_GROUP, "-o", "name"),
            "the group by etcd does not go")
        for label in ("dunlin.dev/group=" + OTHER_GROUP, "app.kubernetes.io/component=etcd"):
            self.release.kubectl("delete", "pvc", "-l", label, "--wait=false")

    def scale(self):
        """three members, five, three"""
        self.master()
        for members in (MEMBERS + 2, MEMBERS):
            self.release.kubectl("scale", "bg", GROUP, "--replicas=%d" % members)
            self.release.await_whole(members=members)

    def grow(self):
        """every volume, of members and of name services, gets another GiB"""
        self.master()
        for given, value, label in (
                (self.release.group(), "brokerGroupDefaults", "dunlin.dev/group=" + GROUP),
                (self.release.get("nameservice", NAMES), "nameService",
                 "dunlin.dev/nameservice=" + NAMES)):
            size = given["spec"]["storage"]["size"]
            size = "%dGi" % (int(size.removesuffix("Gi")) + 1)
            self.release.set("cluster.%s.storage.size=%s" % (value, size))
            await_cluster(lambda: self.volume_sizes(label) == {size},
                          lambda: "volumes of %s, not of %s alone" % (
                              self.volume_sizes(label), size))
        self.release.await_whole()

    def volume_sizes(self, label):
        """Those of pods: the ones of members that were removed are kept, and do not grow."""
        names = [volume["persistentVolumeClaim"]["claimName"]
                 for pod in self.release.get("pods", "-l", label)["items"]
                 for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
        return {self.release.get("pvc", name)["status"]["capacity"]["storage"] for name in names}

    def cut(self):
        """the master's node is cut off until Kubernetes has noticed, and comes back"""
        master, epoch = self.master()
        node = self.node_of(master)
        self.nodes.control.network.cut(node.machine)
        try:
            await_cluster(lambda: self.nodes.ready().get(node.name) == "Unknown",
                          "nobody notices that %s is away" % node.name)
            await_cluster(lambda: self.release.group()["status"].get("master") not in
                          (None, "", master), "nobody takes over from %s" % master)
        finally:
            self.nodes.control.network.heal(node.machine)
        self.release.await_whole(epoch_above=epoch)

    def api(self):
        """the API server, which holds the group's lease, is away for a minute"""
        _, epoch = self.master()
        self.nodes.control.machine.kill("kube-apiserver")
        time.sleep(API_OUTAGE_SECONDS)
        self.nodes.control.start_what_is_missing()
        self.nodes.await_ready()
        if self.release.await_whole()["epoch"] != epoch:
            raise Failure("another member was elected while the API server was away, though none "
                          "had to be")

    def operator(self):
        """a changed setting reaches all members, though for a minute operators live for 10 s, too
        short for most to lead, and then each that leads is killed as soon as it has updated another
        member"""
        _, epoch = self.master()
        self.change_setting()
        killed_at = set()
        for _ in range(OPERATOR_DEATHS):
            updated = self.updated()
            pods = self.release.get("pods", "-l", OPERATOR)["items"]
            if any([self.kill_operator(pod) for pod in pods]):  # all of them
                killed_at.add(updated)
            # With a container that dies kubelets wait longer each time; with another pod they do not.
            self.release.kubectl("delete", "pods", "--wait=false", "-l", OPERATOR)
            time.sleep(BETWEEN_DEATHS_SECONDS)

        def is_updated():
            updated = self.updated()
            if (0 < updated < MEMBERS and updated not in killed_at
                    and self.kill_operator(self.leading_operator())):
                killed_at.add(updated)
            return updated == MEMBERS

        await_cluster(is_updated, lambda: "%s is not updated: %s" %
                      (GROUP, json.dumps(self.release.group()["status"])))
        if not killed_at & set(range(1, MEMBERS)):
            raise Failure("no operator was killed in the midst of the update, only with so many "
                          "members updated: %s" % killed_at)
        self.release.kubectl("wait", "--for=condition=Available", "--timeout=120s",
                             "deployment/dunlin-operator")
        self.release.await_whole(epoch_above=epoch)
        self.check_setting()

    def updated(self):
        """How many members are, as far as an operator has said."""
        group = self.release.group()
        if group["status"]["observedGeneration"] != group["metadata"]["generation"]:
            return 0
        return group["status"]["updatedReplicas"]

    def leading_operator(self):
        """Its pod, or the one of who led last; None: that one is gone."""
        name = self.release.get("lease", "dunlin-operator")["spec"]["holderIdentity"]
        pod = self.release.kubectl("get", "pod", name.rsplit("_", 1)[0], "--ignore-not-found",
                                   "-o", "json")
        return json.loads(pod) if pod else None

    def kill_operator(self, pod):
        """Whether there was one to be killed."""
        node = pod and pod["spec"].get("nodeName")
        if node is None:
            return False
        pid = self.nodes.node(node).pids_of_pod(pod["metadata"]["uid"]).get("dunlin-operator")
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has just ended
            return False
        return True

    def drain(self):
        """kubectl drain of the master's node, which hands over first; then it is uncordoned"""
        master, epoch = self.master()
        node = self.node_of(master).name
        kubectl = self.nodes.control.kubectl
        try:
            kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data",
                    "--timeout=%ds" % PATIENCE_SECONDS)
            status = self.release.group()["status"]
            if status.get("master") in (None, "", master) or status["epoch"] <= epoch:
                raise Failure("%s was drained, and nobody has taken over from %s: %s" %
                              (node, master, json.dumps(status)))
        finally:
            # Volumes are of their node's disk: the pod waits for it.
            kubectl("uncordon", node)
        status = self.release.await_whole(epoch_above=epoch)
        if [one for one in status["conditions"] if one["type"] == "Draining"]:
            raise Failure("the group is said to be drained still: " + json.dumps(status))


SCENARIOS = tuple(one for one in PAUSE_BOUND_SECONDS if one != VERSION)


def told(window):
    ways = ", ".join("%s %.2f s" % (way, window[way]["longest_pause_s"])
                     for way in window if way != "seconds")
    return "%.0f s; longest pause of %s" % (window["seconds"], ways)


def check_window(scenario, window):
    """By the SDK, and the best of the ways: others depend on what stands between."""
    pauses = {way: window[way]["longest_pause_s"] for way in window if way != "seconds"}
    bound = PAUSE_BOUND_SECONDS[scenario]
    for way in ("sdk", min(pauses, key=pauses.get)):
        if pauses[way] > bound:
            raise Failure("%s: by %s nothing was acknowledged for %.1f s; %d s are the bound" %
                          (scenario, way, pauses[way], bound))


class Tally:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def step(self, name, act):
        """Whether it passed; what `act` returns is told."""
        started = time.monotonic()
        try:
            text = act() or ""
        except Exception as error:  # the others are to be told, too
            self.failed += 1
            if not isinstance(error, Failure):
                traceback.print_exc(file=sys.stdout)
            say("FAILED %s: %s" % (name, error))
            return False
        self.passed += 1
        say("ok     %-9s %4.0f s  %s" % (name, time.monotonic() - started, text))
        return True


def under_load(tally, release, program, rounds):
    """Rounds of scenarios: (name, scenarios) each."""
    clients = Clients(release, program)
    faults = Faults(release)

    def one(scenario):
        clients.window()
        getattr(faults, scenario)()
        window = clients.window()
        check_window(scenario, window)
        return told(window)

    def all_of(scenarios):
        lines = []
        for scenario in scenarios:
            try:
                lines.append("%s %s" % (scenario, one(scenario)))
            except Failure as failure:
                raise Failure("; ".join([*lines, str(failure)])) from failure
        return "; ".join(lines)

    for name, scenarios in rounds:
        act = (lambda: one(name)) if scenarios == [name] else (lambda: all_of(scenarios))
        # What one has left broken would be blamed on the next.
        if not tally.step(name, act):
            break

    def check():
        status, end = clients.end()
        lines = "; ".join("%s: %s" % (way, json.dumps(what)) for way, what in end.items())
        if status != 0:
            raise Failure(lines)
        return lines

    tally.step("messages", check)


def sequences(count, seed):
    """Of scenarios, by lot."""
    lots = random.Random(seed)
    for number in range(1, count + 1):
        drawn = lots.choices(SCENARIOS, k=lots.randint(SCENARIOS_MIN, SCENARIOS_MAX))
        yield "%d of seed %d: %s" % (number, seed, ", ".join(drawn)), drawn


def helm_test(release):
    done = release.helm("test", "dunlin")
    if "Phase:          Succeeded" not in done:
        raise Failure(done)


def run_all(nodes, rounds, program, source):
    tally = Tally()
    release = Release(nodes, source)

    def install():
        if not release.is_there():
            release.install()
        release.await_whole()

    if tally.step("install", install) and tally.step("helm test", lambda: helm_test(release)):
        under_load(tally, release, program, rounds)
    steps = 3 + len(rounds)
    say("%d passed, %d failed, %d skipped" % (tally.passed, tally.failed,
                                             steps - tally.passed - tally.failed))
    return 1 if tally.failed else 0


def clients_program():
    subprocess.run(["bazel", "build", "--config=opt", "//e2e/kubernetes:clients"], cwd=ROOT,
                   check=True)
    return ROOT / run("bazel", "cquery", "--config=opt", "--output=starlark",
                      "--starlark:expr=target.files.to_list()[0].path", "//e2e/kubernetes:clients",
                      cwd=ROOT).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--id", type=int, default=9, choices=range(10), metavar="0..9")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO",
                        help="(default: all) " + ", ".join(SCENARIOS))
    parser.add_argument("--sequences", type=int, default=0, metavar="N",
                        help="that many sequences of scenarios, by lot")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the lot (default: 1)")
    parser.add_argument("--from", type=Path, default=ROOT, dest="source", metavar="DIRECTORY",
                        help="a checkout of an earlier version, with bin/images, that comes first")
    options = parser.parse_args()
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error("no such scenario: %s; there are: %s" % (", ".join(sorted(unknown)),
                                                              ", ".join(SCENARIOS)))
    if options.sequences > 0:
        rounds = list(sequences(options.sequences, options.seed))
    else:
        rounds = [(one, [one]) for one in options.scenarios or SCENARIOS]
    source = options.source.resolve()
    if source != ROOT:
        rounds.insert(0, (VERSION, [VERSION]))
    nodes = Nodes(options.id)
    made = not nodes.directory.exists()
    try:
        check_possible()
        program = clients_program()
        if made:
            nodes.up(programs(), 3, images(ROOT) + (images(source) if source != ROOT else []))
        nodes.check_up()
        return run_all(nodes, rounds, program, source)
    except Failure as failure:
        say("nodes: %s" % failure)
        return 1
    finally:
        if made and nodes.directory.exists():
            nodes.down()


if __name__ == "__main__":
    sys.exit(main())
