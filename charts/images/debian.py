"""What Debian knows about files and packages on this machine."""

import functools
import hashlib
import os
import subprocess


class Failure(Exception):
    """Something of the surroundings is not as it must be; the text says what mends it."""


class Package:
    """An installed package. Equal when the name is."""

    def __init__(self, name, architecture, version, source, maintainer, homepage):
        self.name, self.architecture, self.version = name, architecture, version
        self.source, self.maintainer, self.homepage = source, maintainer, homepage

    def __eq__(self, other):
        return self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def __lt__(self, other):
        return self.name < other.name

    def copyright_file(self):
        return "/usr/share/doc/%s/copyright" % self.name

    def status(self):
        """Its paragraph of dpkg's status file: what scanners of images read."""
        return run("dpkg-query", "-s", "%s:%s" % (self.name, self.architecture)
                   if self.architecture != "all" else self.name)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure("%s: %s" % (" ".join(command), done.stderr.strip()))
    return done.stdout


@functools.lru_cache(maxsize=None)
def package(name):
    fields = ["${Package}", "${Architecture}", "${Version}", "${source:Package}", "${Maintainer}",
              "${Homepage}"]
    return Package(*run("dpkg-query", "-W", "-f", "\\t".join(fields) + "\\n",
                        name).splitlines()[0].split("\t"))


@functools.lru_cache(maxsize=None)
def owner(path):
    """The package that the file is of. Debian's files of /lib are in /usr/lib since the merge of
    the two; packages name them by either."""
    path = os.path.realpath(path)
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        if done.returncode == 0:
            return package(done.stdout.split(": ")[0].split(",")[0])
    raise Failure("%s is of no Debian package: images are made of those of Debian alone" % path)


@functools.lru_cache(maxsize=None)
def sums(name, architecture):
    """MD5 sums of a package's files by their paths, as dpkg keeps them."""
    for file in ("%s:%s.md5sums" % (name, architecture), "%s.md5sums" % name):
        try:
            with open("/var/lib/dpkg/info/" + file) as lines:
                return {"/" + line[34:].rstrip("\n"): line[:32] for line in lines}
        except FileNotFoundError:
            continue
    raise Failure("dpkg has no checksums of %s: apt-get install --reinstall %s" % (name, name))


def check_unchanged(path):
    """That the file is as its package has it. Raises Failure."""
    path = os.path.realpath(path)
    of = owner(path)
    known = sums(of.name, of.architecture)
    expected = known.get(path) or known.get(path.removeprefix("/usr"))
    with open(path, "rb") as file:
        found = hashlib.md5(file.read()).hexdigest()
    if found != expected:
        raise Failure("%s is not as Debian's %s %s has it: apt-get install --reinstall %s" %
                      (path, of.name, of.version, of.name))


def libraries(program):
    """The shared libraries that the program needs, the loader included, by the paths under which
    it finds them."""
    found = set()
    for line in run("ldd", program).splitlines():
        words = line.split()
        if "not found" in line:
            raise Failure("%s needs %s, which is not installed" % (program, words[0]))
        if len(words) >= 3 and words[1] == "=>" and words[2].startswith("/"):
            found.add(words[2])
        elif words[0].startswith("/"):
            found.add(words[0])
    return found
