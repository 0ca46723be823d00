#!/usr/bin/env python3
"""`./dev cluster` as a person uses it, with the real programs: a cluster of its own is started,
sent to, broken, looked at and removed.

cluster_test.py BROKER REPLICATOR NAMESERVICE DUNLINCTL [unittest arguments]
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_SECONDS = 180


class ClusterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        for program in PROGRAMS:
            os.symlink(os.path.abspath(program),
                       os.path.join(cls.home.name, os.path.basename(program)))
        # One that nobody has up: users count from 0.
        taken = os.listdir("/sys/class/net")
        cls.id = next(str(i) for i in range(255, -1, -1) if "dunlin%d" % i not in taken)

    def cluster(self, command, *words, status=0):
        done = subprocess.run([sys.executable, os.path.join(HERE, "main.py"), command, *words,
                               "--id", self.id],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def control(self, address, *words, status=0):
        """`status`: None, it does not matter."""
        done = subprocess.run([os.path.join(self.home.name, "dunlinctl"), "--endpoint", address,
                               *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def members(self):
        header, *rows = [re.split(r" {2,}", line)
                         for line in self.cluster("status").strip().split("\n")]
        return {row[0]: dict(zip(header, row)) for row in rows}

    def await_members(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(members := self.members()):
            self.assertLess(time.monotonic(), deadline, "%s: %s" % (what, members))
        return members

    def master(self, members, group):
        found = [name for name, row in members.items()
                 if name.startswith(group + "-") and row["ROLE"] == "master"]
        return found[0] if len(found) == 1 else None

    def await_other_master(self, group, old):
        members = self.await_members(
            lambda members: self.master(members, group) not in (None, old), "nobody takes over")
        return self.master(members, group), members

    def await_whole(self, group):
        def whole(members):
            rows = [row for name, row in members.items() if name.startswith(group + "-")]
            return self.master(members, group) and all(row["IN SYNC"] == "yes" for row in rows)
        return self.await_members(whole, "group %s is not whole" % group)

    def at_master(self, group, *words):
        """Says so to whoever is master: another one may be elected at any time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        said = "no master"
        while time.monotonic() < deadline:
            members = self.members()
            master = self.master(members, group)
            if master is None:
                continue  # that took its time
            done = subprocess.run([os.path.join(self.home.name, "dunlinctl"), "--endpoint",
                                   members[master]["ADDRESS"], *words],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode == 0 or "exists" in done.stdout:  # made, and nobody was told
                return done.stdout
            said = done.stdout
        self.fail("%s: %s" % (" ".join(words), said))

    def send_and_read(self, text):
        """Among what was sent before, and may have been consumed unnoticed or come once more."""
        self.at_master("a", "produce", "orders", text)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.at_master("a", "consume", "orders", "--group", "me", "--count", "1"):
            self.assertLess(time.monotonic(), deadline, "it is not consumed: " + text)

    def setUp(self):
        self.addCleanup(lambda: self.cluster("down") if os.path.exists(
            "/sys/class/net/dunlin" + self.id) else None)

    def test_nobody_is_elected_unless_told(self):
        self.cluster("up", "--programs", self.home.name, "--set", "replication.election=MANUAL")
        members = self.await_whole("a")
        first = self.master(members, "a")
        other = next(name for name in ("a-0", "a-1") if name != first)
        replicator = members[other]["ADDRESS"].replace(":8081", ":10912")
        secret = ("--secret-file", "/var/tmp/dunlin-cluster-%s/secret" % self.id)

        def elect(*words, at=replicator, status=1):
            return self.control(at, "replica", "elect", *words, status=status)

        self.at_master("a", "topic", "create", "orders")
        self.at_master("a", "produce", "orders", "before the master was killed")
        self.assertIn("for a group without a master", elect(*secret))
        self.assertIn("is no replicator", elect(at="10.77.%s.11:9876" % self.id))

        self.cluster("kill", first)
        waits = "replication.election is MANUAL: waits for " + first
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waits not in (said := self.control(replicator, "replica", "list", status=None)):
            self.assertLess(time.monotonic(), deadline, said)
        self.assertIsNone(self.master(self.members(), "a"))
        refused = elect()
        self.assertIn("--secret-file", refused)
        self.assertNotIn("signed", refused)
        elect(*secret, status=0)
        self.assertEqual(other, self.await_other_master("a", first)[0])
        self.send_and_read("after the election")
        self.assertIn("before the master was killed", self.at_master(
            "a", "consume", "orders", "--group", "another", "--count", "2"))

    def test_tour(self):
        self.assertIn("is not up", self.cluster("status", status=1))
        said = self.cluster("up", "--mode", "SYNC", "--programs", self.home.name)
        self.assertIn("is up already", self.cluster("up", "--programs", self.home.name, status=1))
        names = re.search(r"(\S+:9876) cluster list", said)[1]
        self.assertRegex(self.control(names, "cluster", "list"), r"\ba\b[^$]*\bb\b")

        members = self.await_whole("a")
        self.await_whole("b")
        first = self.master(members, "a")
        self.at_master("a", "topic", "create", "orders")
        self.send_and_read("before anything went wrong")

        self.assertIn("killed dunlin-broker and dunlin-replicator", self.cluster("kill", first))
        self.assertIn("does not run", self.cluster("kill", first, status=1))
        second, members = self.await_other_master("a", first)
        self.assertEqual(members[first]["PROCESSES"], "broker -, replicator -")
        self.assertGreater(int(members[second]["EPOCH"]), 1)
        self.send_and_read("after the master was killed")
        self.cluster("start")
        self.await_whole("a")

        self.assertIn("cut from", self.cluster("partition", second))
        self.assertNotIn("ok", self.members()[second]["NETWORK"])
        third, _ = self.await_other_master("a", second)
        self.send_and_read("after the master was cut off")
        self.assertIn("mended", self.cluster("heal"))
        self.assertIn("no way was cut", self.cluster("heal"))
        members = self.await_whole("a")
        self.assertEqual({row["NETWORK"] for row in members.values()}, {"ok"})
        third = self.master(members, "a")

        shown = self.cluster("partition", third, "--from", "clients", "--one-way")
        self.assertIn("does not reach clients", shown)
        self.cluster("heal")
        for machine, half in (("etcd", "both"), ("name-0", "both"), (third, "broker")):
            self.cluster("kill", machine, "--half", half, "--restart")
        self.assertIn("has no halves", self.cluster("kill", "etcd", "--half", "broker", status=1))
        self.await_whole("a")
        self.send_and_read("in the end")

        self.cluster("down")
        self.assertFalse(os.path.exists("/var/tmp/dunlin-cluster-" + self.id))
        self.assertNotIn("dunlin%s-" % self.id, subprocess.run(
            ["ip", "netns", "list"], stdout=subprocess.PIPE, text=True).stdout)
        self.assertIn("is not up", self.cluster("down", status=1))


if __name__ == "__main__":
    PROGRAMS = sys.argv[1:5]
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
