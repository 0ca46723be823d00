"""Nodes with kubelets, and their control plane: all of it, and how it is."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from control_plane import ControlPlane
from machines import Failure, await_, run
from node import PAUSE, Node, remove_cgroup

ROOT = Path(__file__).resolve().parents[2]
COUNT_MAX = 9
# Debian's packages of these are installed by ./dev setup.
NEEDED = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "ip": "iproute2",
          "iptables": "iptables", "unshare": "util-linux",
          "openssl": "openssl", "sysctl": "procps"}
# What kubelets change for the whole machine; networks have their own values.
SYSCTLS = ("vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops",
           "kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes")
STORAGE_CLASS = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: local
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: nodes.dunlin.dev/local
allowVolumeExpansion: true
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
"""


def check_possible():
    if os.geteuid() != 0:
        raise Failure("nodes need root: run this with sudo")
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise Failure("there is no program `%s`: install the Debian package %s (./dev setup)" %
                          (program, package))
    if not Path("/usr/lib/cni/bridge").exists():
        raise Failure("there is no /usr/lib/cni/bridge: install the Debian package "
                      "containernetworking-plugins (./dev setup)")


class Nodes:
    """Of several, each is told by its number."""

    def __init__(self, number):
        self.number = number
        self.directory = Path("/var/tmp/dunlin-nodes-%d" % number)
        self.cgroup = "dunlin-nodes-%d" % number
        saved = self.saved()
        self.set(saved.get("programs", "/nowhere"), saved.get("count", COUNT_MAX))

    def set(self, programs, count):
        names = ["node-%d" % number for number in range(1, count + 1)]
        self.control = ControlPlane(self.directory / "control", programs, names)
        self.nodes = [Node(number, self.directory / name, self.control, self.cgroup)
                      for number, name in enumerate(names, 1)]

    def saved(self):
        try:
            return json.loads((self.directory / "nodes.json").read_text())
        except (OSError, ValueError):
            return {}

    def node(self, name):
        for node in self.nodes:
            if node.name == name:
                return node
        raise Failure("no such node: %s; there are: %s" % (
            name, ", ".join(node.name for node in self.nodes)))

    def check_up(self):
        if not self.directory.exists():
            raise Failure("nodes are not up: `./dev nodes up` starts them")
        if self.control.machine.first_process() is None:
            raise Failure("nodes are only half there: `./dev nodes down` removes what is left")

    # ---- up ----

    def up(self, programs, count, images):
        """REQUIRES: they are not up. What is there when it fails, `down` removes."""
        self.directory.mkdir(mode=0o755)
        self.set(programs, count)
        (self.directory / "nodes.json").write_text(json.dumps({
            "programs": str(programs), "count": count,
            "sysctls": {name: sysctl(name).read_text().strip()
                        for name in SYSCTLS if sysctl(name).exists()}}))
        self.control.start()
        self.control.kubectl("apply", "-f", "-", text=STORAGE_CLASS)
        for node in self.nodes:
            node.start_machine()
        for node in self.nodes:
            node.add_routes(self.nodes)
        with self.pause_image() as pause, ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.start_containers([pause, *images]), self.nodes))
        for node in self.nodes:
            node.start_kubelet()
        self.await_ready()

    @contextlib.contextmanager
    def pause_image(self):
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            write_image(file.name, PAUSE, self.control.programs / "pause")
            yield file.name

    def await_ready(self):
        def missing():
            ready = self.ready()
            return [node.name for node in self.nodes if ready.get(node.name) != "True"]

        def said():
            return "not ready: %s; their logs are %s/NODE/kubelet.log" % (
                ", ".join(missing()), self.directory)

        await_(lambda: not missing(), said, seconds=180)

    def ready(self):
        """Name → what the API server has: True, False, Unknown."""
        return {node["metadata"]["name"]: condition["status"]
                for node in self.control.get("nodes")["items"]
                for condition in node["status"].get("conditions", [])
                if condition["type"] == "Ready"}

    # ---- down ----

    def down(self):
        """Also what is left of those that were not wholly made."""
        if not self.directory.exists():
            raise Failure("nodes are not up")
        for node in self.nodes:
            node.machine.stop()
        self.control.machine.stop()
        remove_cgroup(self.cgroup)
        for name, value in self.saved().get("sysctls", {}).items():
            if sysctl(name).read_text().strip() != value:
                sysctl(name).write_text(value)
        shutil.rmtree(self.directory)

    # ---- how it is ----

    def rows(self):
        yield ["MACHINE", "ADDRESS", "READY", "NETWORK", "PROGRAMS"]
        programs = self.control.running()
        missing = [name for name in self.control.commands() if name not in programs]
        yield ["control", self.control.network.address, "-", "-", self.told(programs, missing)]
        ready = self.ready() if "kube-apiserver" in programs else {}
        for node in self.nodes:
            programs = {name: pid for name, pid in node.machine.programs().items()
                        if name in node.commands()}
            missing = [name for name in node.commands() if name not in programs]
            cut = self.control.network.is_cut(node.machine)
            yield [node.name, node.address, ready.get(node.name, "-"), "cut" if cut else "ok",
                   self.told(programs, missing)]

    def told(self, running, missing):
        return "all run" if not missing else "missing: " + ", ".join(missing)


def sysctl(name):
    return Path("/proc/sys", *name.split("."))


def write_image(path, name, program):
    """An image of one static program, as `docker save` would write it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, arcname="pause")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps({"architecture": machine(), "os": "linux",
                         "config": {"Entrypoint": ["/pause"], "User": "65532:65532"},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name],
                            "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for entry, content in (("layer.tar", layer.getvalue()), ("config.json", config),
                               ("manifest.json", manifest)):
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def machine():
    """As images call it."""
    return run("dpkg", "--print-architecture").strip()
