"""The control plane of the nodes: etcd, API server, controllers, scheduler, and the cluster's DNS.

It stands on a machine of its own that also sends to pods and Services as a node does, so that
clients can be run there.
"""

import json
import os
import sys
from pathlib import Path

from machines import Failure, Machine, Network, await_, run

HERE = Path(__file__).resolve().parent
ADDRESS = "10.78.0.1"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
PODS = "10.79.0.0/16"
DOMAIN = "cluster.local"
ETCD, ETCD_PEERS = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
PORT = 6443

# Who knocks: name → the user and the groups that the API server takes it for.
TOKENS = {
    "administrator": ("administrator", "system:masters"),
    "controllers": ("system:kube-controller-manager", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
  - name: nodes
    cluster: {{server: "https://{address}:{port}", certificate-authority: "{authority}"}}
users: [{{name: {name}, user: {{token: "{token}"}}}}]
contexts: [{{name: nodes, context: {{cluster: nodes, user: {name}}}}}]
current-context: nodes
"""
COREFILE = """\
{domain} in-addr.arpa {{
  errors
  ready {address}:8181
  cache 5
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig}
    ttl 5
  }}
}}
"""
# As a pod of namespace default has it.
RESOLVER = "nameserver %s\nsearch default.svc.%s svc.%s %s\noptions ndots:5\n" % (
    ADDRESS, DOMAIN, DOMAIN, DOMAIN)


class ControlPlane:
    def __init__(self, home, programs, node_names):
        self.machine = Machine("control", home)
        self.network = Network(self.machine, ADDRESS)
        self.home, self.programs = self.machine.home, Path(programs)
        self.authority = self.home / "certificates/apiserver.crt"
        self.tokens = {**TOKENS, **{name: ("system:node:" + name, "system:nodes")
                                    for name in node_names}}

    # ---- up ----

    def start(self):
        self.machine.start()
        self.network.make()
        self.machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # kube-proxy sends it elsewhere, but only what has a way at all.
        self.machine.run("ip", "route", "add", SERVICES, "dev", self.network.BRIDGE)
        self.write_files()
        self.machine.run("mount", "--bind", self.home / "resolv.conf", "/etc/resolv.conf")
        for program in ("etcd", "kube-apiserver"):
            self.machine.spawn(*self.commands()[program])
        self.await_api()
        self.start_what_is_missing()

    def write_files(self):
        key = self.home / "accounts.key"
        run("openssl", "genrsa", "-out", key, "2048")
        key.chmod(0o600)
        lines = ["%s,%s,%s%s" % (self.token(name), user, name, ',"%s"' % groups if groups else "")
                 for name, (user, groups) in self.tokens.items()]
        self.write("tokens.csv", "\n".join(lines) + "\n")
        for name in self.tokens:
            self.write(name + ".kubeconfig", KUBECONFIG.format(
                address=ADDRESS, port=PORT, authority=self.authority, name=name,
                token=self.token(name)))
        self.write("resolv.conf", RESOLVER)
        self.write("Corefile", COREFILE.format(domain=DOMAIN, address=ADDRESS,
                                               kubeconfig=self.kubeconfig()))

    def write(self, name, text):
        path = self.home / name
        path.write_text(text)
        path.chmod(0o644 if name == "resolv.conf" else 0o600)

    def token(self, name):
        """Nobody outside these machines' own network gets to where it is asked for."""
        return "of-" + name

    def kubeconfig(self, name="administrator"):
        return self.home / (name + ".kubeconfig")

    def commands(self):
        """What runs here: name of the program → its command."""
        key = self.home / "accounts.key"
        own = {
            "etcd": ["--name=one", "--data-dir=%s" % (self.home / "etcd"),
                     "--listen-client-urls=" + ETCD, "--advertise-client-urls=" + ETCD,
                     "--listen-peer-urls=" + ETCD_PEERS,
                     "--initial-advertise-peer-urls=" + ETCD_PEERS,
                     "--initial-cluster=one=" + ETCD_PEERS, "--unsafe-no-fsync",
                     "--log-level=warn"],
            "kube-apiserver": [
                "--etcd-servers=" + ETCD, "--secure-port=%d" % PORT,
                "--advertise-address=" + ADDRESS,
                "--cert-dir=%s" % (self.home / "certificates"),
                "--service-cluster-ip-range=" + SERVICES, "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--token-auth-file=%s" % (self.home / "tokens.csv"),
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-account-key-file=%s" % key,
                "--service-account-signing-key-file=%s" % key,
                "--kubelet-preferred-address-types=InternalIP",
                # A test can wait for a pod that leaves its node.
                "--default-not-ready-toleration-seconds=30",
                "--default-unreachable-toleration-seconds=30"],
            "kube-controller-manager": [
                "--kubeconfig=%s" % self.kubeconfig("controllers"),
                "--service-account-private-key-file=%s" % key,
                "--root-ca-file=%s" % self.authority, "--leader-elect=false",
                "--node-monitor-grace-period=20s", "--bind-address=127.0.0.1"],
            "kube-scheduler": ["--kubeconfig=%s" % self.kubeconfig("scheduler"),
                               "--leader-elect=false", "--bind-address=127.0.0.1"],
            "coredns": ["-conf", self.home / "Corefile", "-quiet"],
            # It wants a node to be on; which one matters for ports of nodes only.
            "kube-proxy": proxy_arguments(self.kubeconfig("proxy"), "node-1"),
        }
        commands = {name: [self.programs / name, *arguments] for name, arguments in own.items()}
        commands["provisioner.py"] = [sys.executable, HERE / "provisioner.py",
                                      self.kubeconfig(), self.home.parent]
        return commands

    def running(self):
        """Names of `commands()` → process, of those that run."""
        found = self.machine.programs()
        # The exe of a script is its interpreter.
        interpreter = os.path.basename(os.path.realpath(sys.executable))
        return {name: found[exe] for name in self.commands()
                for exe in [interpreter if name.endswith(".py") else name] if exe in found}

    def start_what_is_missing(self):
        started = [name for name in self.commands() if name not in self.running()]
        for name in started:
            self.machine.spawn(*self.commands()[name])
        self.await_api()
        return started

    def await_api(self):
        await_(lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok",
               lambda: "the API server is not ready; its log ends in\n" +
               self.machine.tail("kube-apiserver"))

    # ---- what can be asked of it ----

    def kubectl(self, *words, text=None, check=True):
        """What it prints; nothing when it fails and may."""
        try:
            return self.machine.run(self.programs / "kubectl", "--kubeconfig", self.kubeconfig(),
                                    "--cache-dir", self.home / "kubectl-cache", *words, input=text)
        except Failure:
            if check:
                raise
            return ""

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))


def proxy_arguments(kubeconfig, node):
    """Zeros: limits of connections are the whole machine's, and stay as they are."""
    return ["--kubeconfig=%s" % kubeconfig, "--hostname-override=" + node,
            "--proxy-mode=iptables", "--cluster-cidr=" + PODS, "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"]
