#!/usr/bin/env python3
"""Starts what is in the images as Kubernetes would: `./dev test images`.

Each image of bin/images/ (`./dev image`) is unpacked and its program started by runc: as the user
that the image names, with a read-only root, without capabilities and with nothing to write to but
an empty volume. Needs root. The last line is `N passed, N failed, N skipped`.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from pathlib import Path

from build import IMAGES, OUT, PACKAGED, ROOT, USER

HOME = "/var/lib/dunlin"
PATIENCE_SECONDS = 60
# A group of one, whose coordinator is its configuration.
MEMBER = [word for setting in (
    "replication.member=a", "replication.members=a=127.0.0.1:10912", "replication.master=a",
    "replication.min_in_sync=1") for word in ("--set", setting)]
# By addresses: without a kubelet there is no /etc/hosts that knows localhost.
ETCD = [word for name, port in (("client", 2379), ("peer", 2380)) for word in (
    "--listen-%s-urls" % name, "http://127.0.0.1:%d" % port)]
ETCD += ["--advertise-client-urls", "http://127.0.0.1:2379",
         "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
         "--initial-cluster", "default=http://127.0.0.1:2380",
         "--data-dir", HOME + "/etcd", "--logger", "zap"]
SERVERS = {"dunlin": [], "dunlin-broker": MEMBER, "dunlin-replicator": MEMBER,
           "dunlin-nameservice": [], "dunlin-etcd": ETCD}
READY = {"dunlin-etcd": "serving client traffic"}
# It ends as by the signal that it was asked to stop with.
ENDS = {"dunlin-etcd": (0, 128 + signal.SIGTERM)}


def unpack(archive, root):
    """The layers of a docker-archive over each other; its configuration."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                inner.extractall(root, numeric_owner=True)
        return json.load(outer.extractfile(manifest["Config"]))["config"], manifest["RepoTags"]


def runtime_spec(config, arguments, volume):
    user, group = (int(number) for number in config["User"].split(":"))
    none = {name: [] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        {"destination": HOME, "type": "bind", "source": volume, "options": ["bind", "rw"]},
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": user, "gid": group}, "cwd": config["WorkingDir"],
                    "args": config["Entrypoint"] + arguments, "env": config["Env"],
                    "capabilities": none, "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in
                                 ("pid", "ipc", "uts", "mount", "network")]},
    }


class Image:
    """An unpacked image, and containers of it."""

    def __init__(self, name, directory):
        self.name = name
        self.bundle = directory / name
        self.root = self.bundle / "rootfs"
        self.root.mkdir(parents=True)
        self.config, self.tags = unpack(OUT / (name + ".tar"), self.root)
        self.volume = self.bundle / "volume"

    def command(self, arguments):
        shutil.rmtree(self.volume, ignore_errors=True)
        self.volume.mkdir()
        os.chown(self.volume, USER, USER)
        with open(self.bundle / "config.json", "w") as file:
            json.dump(runtime_spec(self.config, arguments, str(self.volume)), file)
        return ["runc", "--root", str(self.bundle / "runc"), "run", "--bundle", str(self.bundle),
                "dunlin-images-%d-%s" % (os.getpid(), self.name)]

    def run(self, *arguments):
        done = subprocess.run(self.command(list(arguments)), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_SECONDS)
        return done.returncode, done.stdout

    def files(self):
        for directory, folders, files in os.walk(self.root):
            for name in folders + files:
                path = Path(directory) / name
                yield "/" + str(path.relative_to(self.root)), path.lstat()


class ImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(dir=OUT))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.images = [Image(name, cls.directory) for name in IMAGES]

    def own(self):
        """Those of Dunlin's programs."""
        return [image for image in self.images if image.name in IMAGES[image.name]]

    def test_says_its_version(self):
        number = re.search(r'kVersion = "([^"]+)"',
                           (ROOT / "services/base/version.h").read_text())[1]
        for image in self.own():
            self.assertEqual((0, "%s %s\n" % (image.name, number)), image.run("--version"))
        for image in self.images:
            (tag,) = image.tags
            self.assertTrue(tag.startswith("docker.io/dunlin/%s:%s" % (image.name, number)), tag)

    def test_says_what_it_is_for(self):
        for image in self.own():
            status, text = image.run("--help")
            self.assertEqual(0, status, text)
            self.assertIn("Usage: " + image.name, text)

    def test_serves_and_stops(self):
        for image in self.images:
            if image.name not in SERVERS:
                continue
            said = ""
            with subprocess.Popen(image.command(SERVERS[image.name]), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) as process:
                timer = threading.Timer(PATIENCE_SECONDS, process.kill)
                timer.start()
                for line in process.stdout:
                    said += line
                    if READY.get(image.name, "is ready on") in line:
                        process.send_signal(signal.SIGTERM)
                timer.cancel()
            self.assertIn(READY.get(image.name, "is ready on"), said)
            self.assertIn(process.returncode, ENDS.get(image.name, (0,)), said)

    def test_nothing_can_be_changed_and_nobody_becomes_root(self):
        for image in self.images:
            for path, status in image.files():
                if stat.S_ISLNK(status.st_mode):
                    continue
                self.assertFalse(status.st_mode & (stat.S_ISUID | stat.S_ISGID), path)
                if path not in (HOME, "/tmp"):
                    self.assertEqual(0, status.st_uid, path)
                    self.assertFalse(status.st_mode & 0o022, path)

    def test_has_no_shell(self):
        for image in self.images:
            programs = [path for path, status in image.files()
                        if re.match(r"/(usr/)?s?bin/", path)]
            self.assertEqual(sorted("/usr/bin/" + name for name in IMAGES[image.name]),
                             sorted(programs))

    def test_bill_of_materials_names_every_package(self):
        for image in self.images:
            with open(OUT / (image.name + ".spdx.json")) as file:
                bill = json.load(file)
            named = {entry["name"]: entry["versionInfo"] for entry in bill["packages"]}
            for status in (image.root / "var/lib/dpkg/status.d").iterdir():
                text = status.read_text()
                self.assertEqual(re.search(r"^Version: (.*)$", text, re.M)[1],
                                 named.pop(status.name), status.name)
                self.assertTrue((image.root / "usr/share/doc" / status.name / "copyright").exists())
            self.assertEqual([name for name in IMAGES[image.name] if name not in PACKAGED],
                             list(named))

    def test_base_is_one_layer_of_all(self):
        first = set()
        for image in self.images:
            with tarfile.open(OUT / (image.name + ".tar")) as archive:
                first.add(json.load(archive.extractfile("manifest.json"))[0]["Layers"][0])
        self.assertEqual(1, len(first))


def main():
    if os.geteuid() != 0:
        sys.exit("images: containers need root: run this with sudo")
    if shutil.which("runc") is None:
        sys.exit("images: runc was not found: run ./dev setup")
    missing = [name for name in IMAGES if not (OUT / (name + ".tar")).exists()]
    if missing:
        sys.exit("images: not built: %s: run ./dev image" % ", ".join(missing))
    result = unittest.main(exit=False, verbosity=2).result
    failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed, failed,
                                               len(result.skipped)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
