"""A real Kubernetes API server for the tests of the chart: that of `./dev kube`, with its etcd."""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE_SECONDS = 90
TOKEN = "of-the-administrator"
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
  - name: test
    cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}
users: [{{name: administrator, user: {{token: {token}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: administrator}}}}]
current-context: test
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class ControlPlane:
    def __init__(self, programs):
        self.programs = Path(programs)
        self.scratch = tempfile.TemporaryDirectory()
        self.home = Path(self.scratch.name)
        self.running = {}  # program → its process
        self.kubeconfig = self.home / "kubeconfig"
        self.api_server = ()  # its arguments

    def start(self):
        etcd, peer, port = free_ports(3)
        self.kubeconfig.write_text(KUBECONFIG.format(port=port, token=TOKEN))
        self.kubeconfig.chmod(0o600)
        (self.home / "tokens.csv").write_text("%s,administrator,administrator,system:masters\n" %
                                              TOKEN)
        key = self.home / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                       stderr=subprocess.DEVNULL)
        url, peers = ("http://127.0.0.1:%d" % number for number in (etcd, peer))
        self.spawn("etcd", "--name=one", "--data-dir=%s" % (self.home / "etcd"),
                   "--listen-client-urls=" + url, "--advertise-client-urls=" + url,
                   "--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers,
                   "--initial-cluster=one=" + peers, "--unsafe-no-fsync", "--log-level=warn")
        self.api_server = (
            "--etcd-servers=" + url, "--secure-port=%d" % port,
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            "--cert-dir=%s" % (self.home / "certificates"),
            "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC",
            "--token-auth-file=%s" % (self.home / "tokens.csv"),
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=%s" % key,
            "--service-account-signing-key-file=%s" % key,
            # There are no controllers that would make accounts for pods.
            "--disable-admission-plugins=ServiceAccount")
        self.start_api_server()

    def start_api_server(self):
        self.spawn("kube-apiserver", *self.api_server)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.kubectl("get", "--raw=/readyz", check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError("the API server is not ready:\n" + self.log("kube-apiserver"))
            time.sleep(0.2)

    def restart_api_server(self):
        """It knows then what is stored. A CRD that was changed counts some time later, and nobody
        tells when."""
        process = self.running.pop("kube-apiserver")
        process.kill()
        process.wait()
        self.start_api_server()

    def spawn(self, program, *arguments):
        path = self.programs / program
        if not os.access(path, os.X_OK):
            raise RuntimeError("%s is not there: run ./dev kube" % path)
        with open(self.home / (program + ".log"), "ab") as log:
            self.running[program] = subprocess.Popen([path, *arguments], stdout=log, stderr=log,
                                                     cwd=self.home)

    def log(self, program):
        return (self.home / (program + ".log")).read_text(errors="replace")[-4000:]

    def kubectl(self, *arguments, text=None, check=True):
        done = subprocess.run([self.programs / "kubectl", "--kubeconfig", self.kubeconfig,
                               "--cache-dir", self.home / "cache", *arguments],
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if check and done.returncode != 0:
            raise AssertionError("kubectl %s: %s" % (" ".join(arguments), done.stderr))
        return done

    def stop(self):
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            process.wait()
        self.scratch.cleanup()
