#!/usr/bin/env python3
"""Builds the container images: `./dev image [NAME ...]`, all of them unless named.

An image is a program and the shared libraries that it needs, each as its Debian package has it,
with their copyright files and dpkg's data on them, by which scanners know what is in it; no shell,
no package manager. It runs as user 65532 with a read-only root file system. The image `dunlin` has
all programs: the operator starts members and name services from it, and `kubectl exec` finds
dunlinctl there.

Leaves in bin/images/ NAME.tar (a docker-archive: `docker load -i`, `ctr -n k8s.io images import`,
`skopeo copy docker-archive:...`) and NAME.spdx.json, its bill of materials. The tag is the
project's version with the commit; the same commit on the same Debian packages gives the same
layers.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import debian
import sbom
from debian import Failure

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
OUT = ROOT / "bin/images"
REPOSITORY = "docker.io/dunlin"

# Where Bazel makes the programs.
PROGRAMS = {
    "dunlin": "//:dunlin",
    "dunlin-broker": "//:broker",
    "dunlin-replicator": "//:replicator",
    "dunlin-nameservice": "//:nameservice",
    "dunlinctl": "//:dunlinctl",
    "dunlin-operator": "//:operator",
}
# Those that Debian packages as they are.
PACKAGED = {"etcd": "/usr/bin/etcd", "etcdctl": "/usr/bin/etcdctl"}
# Name of the image, which is that of its target in the Dockerfile → what is in it. It starts the
# program of its name, or the first.
IMAGES = {
    "dunlin": ["dunlin", "dunlin-broker", "dunlin-replicator", "dunlin-nameservice", "dunlinctl"],
    "dunlin-broker": ["dunlin-broker"],
    "dunlin-replicator": ["dunlin-replicator"],
    "dunlin-nameservice": ["dunlin-nameservice"],
    "dunlinctl": ["dunlinctl"],
    "dunlin-operator": ["dunlin-operator"],
    "dunlin-etcd": ["etcd", "etcdctl"],
}

# Files that no program names but needs.
DATA = {"ca-certificates": ["/etc/ssl/certs/ca-certificates.crt"],
        "tzdata": ["/usr/share/zoneinfo"]}
USER = 65532
PASSWD = "root:x:0:0:root:/:/sbin/nologin\ndunlin:x:%d:%d:dunlin:/var/lib/dunlin:/sbin/nologin\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


def git(*words):
    return debian.run("git", "-C", str(ROOT), *words).strip()


def version():
    """0.1.0 at the commit that is tagged v0.1.0, 0.1.0-g<commit> at others."""
    text = (ROOT / "services/base/version.h").read_text()
    number = re.search(r'kVersion = "([^"]+)"', text)[1]
    revision = git("rev-parse", "--short=12", "HEAD")
    changed = bool(git("status", "--porcelain", "--untracked-files=no"))
    if "v" + number in git("tag", "--points-at", "HEAD").split() and not changed:
        return number, revision
    return "%s-g%s%s" % (number, revision, ".dirty" if changed else ""), revision


def check_surroundings():
    if shutil.which("buildah") is None:
        raise Failure("buildah was not found: run ./dev setup")
    stages = set(re.findall(r"^FROM base AS (\S+)$", (HERE / "Dockerfile").read_text(), re.M))
    if stages != set(IMAGES):
        raise Failure("IMAGES in build.py and the targets of Dockerfile differ: %s" %
                      ", ".join(sorted(stages ^ set(IMAGES))))


def programs():
    """All of them, also when one image is asked for: what they share is the base of each."""
    subprocess.run(["bazel", "build", "--config=opt", *PROGRAMS.values()], cwd=ROOT, check=True)
    found = {}
    for name, target in PROGRAMS.items():
        path = debian.run("bazel", "cquery", "--config=opt", "--output=starlark",
                          "--starlark:expr=target.files.to_list()[0].path", target)
        found[name] = ROOT / path.strip()
    return found


def packaged():
    for path in PACKAGED.values():
        if not os.path.exists(path):
            raise Failure("there is no %s: run ./dev setup" % path)
        debian.check_unchanged(path)
    return {name: Path(path) for name, path in PACKAGED.items()}


def put(root, path, content, mode=0o644):
    at = root / path.lstrip("/")
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(content.encode() if isinstance(content, str) else content)
    at.chmod(mode)


def add_package(root, package):
    """What is to be known of a package: for lawyers and for scanners."""
    put(root, package.copyright_file(), Path(package.copyright_file()).read_bytes())
    put(root, "/var/lib/dpkg/status.d/" + package.name, package.status())


def add_libraries(root, paths):
    """Under the names by which programs find them; returns whose they are."""
    packages = set()
    for path in sorted(paths):
        debian.check_unchanged(path)
        packages.add(debian.owner(path))
        # Debian's /lib is a link to /usr/lib.
        put(root, re.sub(r"^/lib", "/usr/lib", path), Path(path).read_bytes(), 0o755)
    for package in packages:
        add_package(root, package)
    return packages


def make_base(root, libraries):
    for link in ("lib", "lib64"):
        (root / "usr" / link).mkdir(parents=True)
        (root / link).symlink_to("usr/" + link)
    for directory in ("dev", "proc", "sys", "etc", "run"):
        (root / directory).mkdir()
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    put(root, "/etc/passwd", PASSWD % (USER, USER))
    put(root, "/etc/group", "root:x:0:\ndunlin:x:%d:\n" % USER)
    put(root, "/etc/nsswitch.conf", NSSWITCH)
    put(root, "/usr/share/doc/dunlin/LICENSE", (ROOT / "LICENSE").read_bytes())
    put(root, "/etc/os-release", Path("/etc/os-release").read_bytes())
    packages = add_libraries(root, libraries)
    for name, files in DATA.items():
        package = debian.package(name)
        add_package(root, package)
        packages.add(package)
        for path in files:
            if os.path.isdir(path):
                shutil.copytree(path, root / path.lstrip("/"), symlinks=True)
            else:
                put(root, path, Path(path).read_bytes())
    return packages


def distribution():
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines()
                   if "=" in line)
    return "debian-" + release["VERSION_ID"].strip('"')


class Builder:
    def __init__(self, context, storage):
        self.context = context
        self.buildah_command = ["buildah", "--storage-driver", "vfs", "--root",
                                str(storage / "root"), "--runroot", str(storage / "run")]
        self.version, self.revision = version()
        self.epoch = int(git("log", "-1", "--format=%ct"))

    def buildah(self, *words):
        done = subprocess.run([*self.buildah_command, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failure("buildah %s failed:\n%s" % (words[0], done.stdout))

    def prepare(self, found):
        """The context of the Dockerfile: a folder for the base and one for each image."""
        others = packaged()
        needs = {name: debian.libraries(str(program))
                 for name, program in {**found, **others}.items()}
        shared = set.intersection(*(needs[name] for name in found))
        base = make_base(self.context / "base", shared)
        (self.context / "home").mkdir()
        for name, programs_of_it in IMAGES.items():
            root = self.context / name
            libraries = set.union(*(needs[program] for program in programs_of_it))
            packages = base | add_libraries(root, libraries - shared)
            sums = {}
            for program in programs_of_it:
                if program in others:
                    put(root, PACKAGED[program], others[program].read_bytes(), 0o755)
                    packages |= {debian.owner(PACKAGED[program])}
                    add_package(root, debian.owner(PACKAGED[program]))
                    continue
                at = root / "usr/bin" / program
                put(root, "/usr/bin/" + program, found[program].read_bytes(), 0o755)
                # Names of functions stay, for stack traces; lines and types go.
                debian.run("strip", "--strip-debug", str(at))
                sums[program] = hashlib.sha256(at.read_bytes()).hexdigest()
            bill = sbom.document(name, self.version, self.revision, sums, packages,
                                 distribution(), self.epoch)
            put(root, "/usr/share/doc/%s/sbom.spdx.json" % name, bill)

    def build(self, name):
        tag = "%s/%s:%s" % (REPOSITORY, name, self.version)
        labels = {"title": name, "version": self.version, "revision": self.revision,
                  "licenses": "Apache-2.0", "vendor": "The Dunlin authors"}
        arguments = [word for key, value in labels.items()
                     for word in ("--label", "org.opencontainers.image.%s=%s" % (key, value))]
        self.buildah("bud", "--isolation", "chroot", "--layers", "--format", "docker",
                     "--timestamp", str(self.epoch), "--target", name, "--tag", tag, *arguments,
                     "--file", str(HERE / "Dockerfile"), str(self.context))
        archive = OUT / (name + ".tar")
        archive.unlink(missing_ok=True)
        self.buildah("push", "--quiet", tag, "docker-archive:%s:%s" % (archive, tag))
        shutil.copy(self.context / name / "usr/share/doc" / name / "sbom.spdx.json",
                    OUT / (name + ".spdx.json"))
        print("dev: %-20s %5.1f MB  %s" % (name, archive.stat().st_size / 1e6, tag))


def main():
    parser = argparse.ArgumentParser(prog="./dev image", description="Builds container images into "
                                     "bin/images/, as docker-archives with bills of materials.")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="of images (default: all): " + ", ".join(IMAGES))
    names = parser.parse_args().names or list(IMAGES)
    try:
        unknown = sorted(set(names) - set(IMAGES))
        if unknown:
            raise Failure("no such image: %s; there are: %s" % (", ".join(unknown),
                                                                ", ".join(IMAGES)))
        check_surroundings()
        OUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OUT) as scratch:
            context, storage = Path(scratch) / "context", Path(scratch) / "storage"
            context.mkdir()
            builder = Builder(context, storage)
            builder.prepare(programs())
            for name in names:
                builder.build(name)
    except (Failure, OSError) as failure:
        sys.exit("image: %s" % failure)
    except subprocess.CalledProcessError as failure:
        sys.exit(failure.returncode)


if __name__ == "__main__":
    main()
