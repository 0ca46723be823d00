"""A node: containerd, kubelet and kube-proxy on a machine of their own."""

import contextlib
import os
import time
from pathlib import Path

from control_plane import ADDRESS as CONTROL, DOMAIN, proxy_arguments
from machines import Machine, await_

PAUSE = "docker.io/dunlin-nodes/pause:1"
CGROUPS = Path("/sys/fs/cgroup")
CONTAINERD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A container's machine may not let go below its own value.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home}/cni"
"""
POD_NETWORK = """\
{{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
   "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}"}}]],
            "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}
"""
# Nothing is evicted or thrown away: the disk is that of the machine below, and not ours to judge.
KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
clusterDNS: ["{dns}"]
clusterDomain: {domain}
resolvConf: ""
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
evictionHard: {{memory.available: "1Mi", nodefs.available: "0%", imagefs.available: "0%",
               nodefs.inodesFree: "0%", imagefs.inodesFree: "0%"}}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 20
oomScoreAdj: 0
"""


def hierarchies():
    """Those of cgroup v1 with resources of their own, or the one of v2."""
    return [entry for entry in sorted(CGROUPS.iterdir())
            if (entry / "release_agent").exists() and not entry.is_symlink()] or [CGROUPS]


class Node:
    def __init__(self, number, home, control, cgroup):
        self.number, self.control = number, control
        self.name = "node-%d" % number
        self.address = "10.78.0.%d" % (10 + number)
        self.pods = "10.79.%d.0/24" % number
        self.machine = Machine(self.name, home)
        self.home = self.machine.home
        self.cgroup = "%s/%s" % (cgroup, self.name)

    # ---- up ----

    def start_machine(self):
        self.machine.start()
        self.control.network.join(self.machine, self.address)
        self.machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.make_cgroups()
        (self.home / "cni").mkdir()
        (self.home / "cni/pods.conflist").write_text(POD_NETWORK.format(subnet=self.pods))
        (self.home / "containerd.toml").write_text(
            CONTAINERD.format(pause=PAUSE, home=self.home))
        (self.home / "kubelet.yaml").write_text(KUBELET.format(
            cgroup=self.cgroup, dns=CONTROL, domain=DOMAIN))

    def add_routes(self, others):
        """To the pods of the others, here and from where clients are run."""
        self.control.machine.run("ip", "route", "add", self.pods, "via", self.address)
        for other in others:
            if other is not self:
                self.machine.run("ip", "route", "add", other.pods, "via", other.address)

    def make_cgroups(self):
        for root in hierarchies():
            (root / self.cgroup).mkdir(parents=True, exist_ok=True)
            if root.name == "cpuset":  # a new one may use nothing
                for below in (Path(self.cgroup).parent, Path(self.cgroup)):
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        (root / below / file).write_text((root / file).read_text())

    def commands(self):
        programs = self.control.programs
        return {
            "containerd": ["containerd", "--config", self.home / "containerd.toml"],
            "kubelet": [programs / "kubelet",
                        "--kubeconfig=%s" % self.control.kubeconfig(self.name),
                        "--config=%s" % (self.home / "kubelet.yaml"),
                        "--hostname-override=" + self.name, "--node-ip=" + self.address],
            "kube-proxy": [programs / "kube-proxy",
                           *proxy_arguments(self.control.kubeconfig("proxy"), self.name)],
        }

    def start_containers(self, images):
        """containerd, with what it is to find in these files."""
        self.machine.spawn(*self.commands()["containerd"])
        await_(lambda: os.path.exists(str(self.home) + "/run/containerd/containerd.sock"),
               lambda: "containerd of %s does not start; its log ends in\n%s" % (
                   self.name, self.machine.tail("containerd")))
        self.load(images)

    def start_kubelet(self):
        for program in ("kubelet", "kube-proxy"):
            self.machine.spawn(*self.commands()[program])

    def load(self, images):
        for image in images:
            self.machine.run("ctr", "--namespace", "k8s.io", "images", "import", image)

    # ---- faults ----

    def pids_of_pod(self, uid):
        """Of all of its containers, by the name of the program."""
        pods = hierarchies()[0] / self.cgroup / "kubepods"
        found = {}
        for file in pods.glob("**/pod%s/*/cgroup.procs" % uid):
            # A pod, or one of its processes, may have just ended.
            with contextlib.suppress(OSError):
                for pid in map(int, file.read_text().split()):
                    with contextlib.suppress(OSError):
                        found[os.path.basename(os.readlink("/proc/%d/exe" % pid))] = pid
        return found


def remove_cgroup(name):
    """In all hierarchies, also those that containerd chose. REQUIRES: nothing runs there."""
    for root in (CGROUPS, *CGROUPS.iterdir()):
        remove_tree_of_cgroups(root / name)


def remove_tree_of_cgroups(top):
    """From the leaves up; a process that has just ended may still be counted for a moment."""
    deadline = time.monotonic() + 10
    while top.exists():
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.01)
