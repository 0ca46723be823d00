#!/usr/bin/env python3
"""dunlinctl at the name service of a cluster: two broker groups, all of them real processes.

cluster_test.py DUNLIN DUNLIN_NAMESERVICE DUNLINCTL [unittest arguments]
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

DONE, REFUSED, USAGE, UNREACHABLE, NOT_FOUND = range(5)
READY = re.compile(r"is ready on (\S+:\d+)")
# The second group has room for so many topics, and no retries after more than so long.
MAX_TOPICS = 5
MAX_RETRY_DELAY_MS = 60_000


class Cluster(unittest.TestCase):
    @classmethod
    def start(cls, name, program, *settings):
        arguments = [program, "--data-dir", cls.home / name, "--set",
                     "server.listen_address=127.0.0.1:0", "--set", "metrics.listen_address="]
        for setting in settings:
            arguments += ["--set", setting]
        with open(cls.home / f"{name}.log", "wb") as log:
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        cls.processes[name] = process
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        for line in process.stdout:
            if ready := READY.search(line):
                watchdog.cancel()
                return ready[1]
        raise AssertionError("no ready line\n" + (cls.home / f"{name}.log").read_text())

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.home = Path(cls.directory.name)
        cls.processes = {}
        cls.names = cls.start("names", NAMESERVICE, "server.tls.mode=OFF",
                              "registry.start_grace_ms=1000")
        cls.brokers = {}
        cls.start_broker("a")
        cls.start_broker("b", f"broker.max_topics={MAX_TOPICS}",
                         f"broker.max_invisible_duration_ms={MAX_RETRY_DELAY_MS}",
                         "broker.retry_backoff_seconds=1,2")
        cls.wait_for_members(2)

    @classmethod
    def start_broker(cls, name, *settings):
        cls.brokers[name] = cls.start(
            name, DUNLIN, f"broker.broker_name={name}", f"broker.name_services={cls.names}",
            "name_service.enabled=false", "store.segment_size_bytes=16777216",
            "broker.auto_create_topics=false", *settings)

    @classmethod
    def wait_for_members(cls, count):
        """So many of the broker groups have one, and the name service tells routes."""
        # Its first start waits for its grace to be over.
        for _ in range(200):
            groups = cls.run_ctl("cluster", "list", "-o", "json")
            if "has just started" not in cls.run_ctl("cluster", "list").stdout and \
                    sum(len(group["members"])
                        for group in json.loads(groups.stdout)["groups"]) == count:
                return
        raise AssertionError(f"there are not {count} members of broker groups")

    @classmethod
    def tearDownClass(cls):
        for process in reversed(cls.processes.values()):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            process.stdout.close()
        cls.directory.cleanup()

    @classmethod
    def run_ctl(cls, *arguments, endpoint=None):
        environment = {"PATH": os.environ["PATH"], "DUNLIN_ENDPOINT": endpoint or cls.names}
        return subprocess.run([DUNLINCTL, *map(str, arguments)], input="", timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment)

    def ctl(self, *arguments, expect=DONE, endpoint=None):
        result = self.run_ctl(*arguments, endpoint=endpoint)
        self.assertEqual(result.returncode, expect, f"{arguments}\n{result.stdout}{result.stderr}")
        return result

    def topics_at(self, broker):
        listed = self.ctl("topic", "list", "-o", "json", endpoint=self.brokers[broker]).stdout
        return {topic["name"] for topic in json.loads(listed)["topics"]}

    def described(self, kind, name, broker):
        """As a broker shows it, without its times."""
        shown = json.loads(self.ctl(kind, "describe", name, "-o", "json",
                                    endpoint=self.brokers[broker]).stdout)[kind]
        return {key: value for key, value in shown.items() if key != "create_time"}


class ClusterTest(Cluster):
    def test_a_topic_of_the_cluster(self):
        made = self.ctl("topic", "create", "orders", "--queues", 2)
        self.assertIn("at broker groups: a, b", made.stdout)
        for broker in ("a", "b"):
            self.assertIn("orders", self.topics_at(broker))
        again = self.ctl("topic", "create", "orders", expect=REFUSED)
        self.assertIn("has topic orders already", again.stderr)
        listed = self.ctl("topic", "list").stdout
        self.assertIn("broker group a", listed)
        self.assertIn("broker group b", listed)
        described = [json.loads(part) for part in re.split(
            r"(?<=\})\n(?=\{\"broker\")", self.ctl("topic", "describe", "orders", "-o",
                                                  "json").stdout.strip())]
        self.assertEqual([part["broker"] for part in described], ["a", "b"])
        self.assertEqual([len(part["result"]["queues"]) for part in described], [2, 2])
        # Messages go to and come from both.
        for i in range(8):
            self.ctl("produce", "orders", f"message {i}")
        counts = [sum(int(queue["max_offset"]) for queue in json.loads(self.ctl(
            "topic", "describe", "orders", "-o", "json", endpoint=endpoint).stdout)["queues"])
            for endpoint in self.brokers.values()]
        self.assertEqual(sum(counts), 8)
        self.ctl("produce", "orders", "many", "--count", 8)
        got = self.ctl("consume", "orders", "--group", "me", "--count", 16)
        self.assertEqual(got.stdout.count("message "), 8)
        self.assertEqual(got.stdout.count("many"), 8)
        groups = self.ctl("group", "describe", "me").stdout
        self.assertIn("broker group a", groups)
        self.assertIn("broker group b", groups)
        self.ctl("group", "reset-offset", "me", "--topic", "orders", "--first")
        self.ctl("consume", "orders", "--group", "me", "--count", 16)
        one = self.ctl("group", "reset-offset", "me", "--topic", "orders", "--queue", 0, "--offset",
                       0, expect=USAGE)
        self.assertIn("--broker", one.stderr)
        self.ctl("group", "delete", "me", "--yes")
        self.ctl("group", "describe", "me", expect=NOT_FOUND)
        self.ctl("topic", "delete", "orders", "--yes")
        for broker in ("a", "b"):
            self.assertNotIn("orders", self.topics_at(broker))
        self.ctl("topic", "delete", "orders", "--yes", expect=NOT_FOUND)

    def test_a_topic_is_made_everywhere_or_nowhere(self):
        for i in range(MAX_TOPICS):
            self.ctl("topic", "create", f"full-{i}", "--broker", "b")
        self.assertFalse({"full-0"} & self.topics_at("a"))
        refused = self.ctl("topic", "create", "one-too-many", expect=REFUSED)
        self.assertIn("broker group b did not make it", refused.stderr)
        self.assertIn("taken back", refused.stderr)
        self.assertNotIn("one-too-many", self.topics_at("a"))
        self.assertIn("at broker groups: a",
                      self.ctl("topic", "create", "one-too-many", "--broker", "a").stdout)
        unknown = self.ctl("topic", "create", "x", "--broker", "c", expect=NOT_FOUND)
        self.assertIn("there are: a, b", unknown.stderr)
        described = self.ctl("topic", "describe", "one-too-many")
        self.assertIn("has no topic one-too-many", described.stdout)
        self.ctl("topic", "update", "one-too-many", "--queues", 12)
        self.ctl("topic", "delete", "one-too-many", "--yes")
        for i in range(MAX_TOPICS):
            self.ctl("topic", "delete", f"full-{i}", "--yes")

    def test_a_topic_is_changed_everywhere_or_nowhere(self):
        self.ctl("topic", "create", "changed", "--queues", 2)
        changed = self.ctl("topic", "update", "changed", "--queues", 3, "--description", "new")
        self.assertIn("at broker groups: a, b", changed.stdout)
        self.assertEqual(changed.stdout.count("changed"), 1)
        self.ctl("topic", "update", "changed", "--compacted", "true", "--broker", "b")
        before = {broker: self.described("topic", "changed", broker) for broker in self.brokers}
        # The broker of group b does not take FIFO messages into what it compacts.
        change = ("topic", "update", "changed", "--kinds", "NORMAL,FIFO", "--description", "newer",
                  "--max-messages-per-second", 9)
        for _ in range(2):
            refused = self.ctl(*change, expect=REFUSED)
            self.assertIn("broker group b did not change it", refused.stderr)
            self.assertIn("takes NORMAL messages, and no other", refused.stderr)
            self.assertIn("all of them are as they were", refused.stderr)
            for broker in self.brokers:
                self.assertEqual(self.described("topic", "changed", broker), before[broker])
        # What is for good is known before anything is asked for.
        refused = self.ctl("topic", "update", "changed", "--compacted", "false", "--queues", 4,
                           expect=REFUSED)
        self.assertIn("topic changed of broker group b is compacted and stays so", refused.stderr)
        self.assertEqual(self.described("topic", "changed", "a"), before["a"])
        self.assertIn("at broker groups: a\n", self.ctl(*change, "--broker", "a").stdout)
        differ = self.ctl("topic", "update", "changed", "--queues", 4)
        self.assertIn("is not the same at all broker groups", differ.stderr)
        self.ctl("topic", "delete", "changed", "--yes")

    def test_a_group_is_made_changed_and_deleted_everywhere_or_nowhere(self):
        too_long = ("--retry-delays-ms", 2 * MAX_RETRY_DELAY_MS)
        refused = self.ctl("group", "create", "billing", *too_long, expect=REFUSED)
        self.assertIn("broker group b did not make it", refused.stderr)
        self.assertIn("max_invisible_duration_ms", refused.stderr)
        for endpoint in self.brokers.values():
            self.ctl("group", "describe", "billing", expect=NOT_FOUND, endpoint=endpoint)
        # As one that its first consumer made.
        self.ctl("group", "create", "billing", endpoint=self.brokers["b"])
        refused = self.ctl("group", "create", "billing", expect=REFUSED)
        self.assertIn("broker group b has consumer group billing already", refused.stderr)
        self.ctl("group", "describe", "billing", expect=NOT_FOUND, endpoint=self.brokers["a"])
        self.assertIn("at broker groups: b\n",
                      self.ctl("group", "update", "billing", "--description", "x").stdout)
        self.ctl("group", "create", "billing", "--max-attempts", 5, "--broker", "a")

        before = {broker: self.described("group", "billing", broker) for broker in self.brokers}
        refused = self.ctl("group", "update", "billing", "--max-attempts", 6, "--start", "last",
                           "--max-in-flight", 7, *too_long, expect=REFUSED)
        self.assertIn("broker group b did not change it", refused.stderr)
        self.assertIn("all of them are as they were", refused.stderr)
        for broker in self.brokers:
            self.assertEqual(self.described("group", "billing", broker), before[broker])
        self.ctl("group", "update", "billing", "--max-attempts", 6)
        self.assertIn("at broker groups: a, b\n", self.ctl("group", "pause", "billing").stdout)
        for broker in self.brokers:
            group = self.described("group", "billing", broker)
            self.assertEqual((group["max_attempts"], group["paused"]), (6, True))
        self.ctl("group", "resume", "billing")
        self.ctl("group", "delete", "billing", "--yes")
        self.ctl("group", "delete", "billing", "--yes", expect=NOT_FOUND)

    def test_a_broker_is_no_cluster(self):
        without = self.ctl("topic", "list", "--broker", "a", expect=USAGE,
                           endpoint=self.brokers["a"])
        self.assertIn("no name service", without.stderr)
        # Of several endpoints the first that answers.
        self.ctl("topic", "list", endpoint=f"127.0.0.1:1,{self.names}")

    def test_a_load_over_both(self):
        self.ctl("topic", "create", "load", "--queues", 2)
        made = self.ctl("bench", "produce", "load", "--messages", 20000, "-o", "json")
        load = json.loads(made.stdout)
        self.assertEqual(load["errors"], 0)
        self.ctl("bench", "consume", "load", "--run", load["run"], "--messages", 20000)
        counts = [sum(int(queue["max_offset"]) for queue in json.loads(self.ctl(
            "topic", "describe", "load", "-o", "json", endpoint=endpoint).stdout)["queues"])
            for endpoint in self.brokers.values()]
        self.assertEqual(sum(counts), 20000)
        self.assertGreater(min(counts), 0)
        self.ctl("topic", "delete", "load", "--yes")


class BrokenClusterTest(Cluster):
    """One of the two broker groups does not answer, or is not there at all."""

    def check_that_nothing_is_done(self, *said):
        before = {"topic": self.described("topic", "orders", "a"),
                  "group": self.described("group", "billing", "a")}
        for command in (("topic", "create", "others"), ("topic", "update", "orders", "--queues", 9),
                        ("topic", "delete", "orders", "--yes"), ("group", "create", "others"),
                        ("group", "update", "billing", "--max-attempts", 9),
                        ("group", "pause", "billing"), ("group", "delete", "billing", "--yes")):
            refused = self.ctl(*command, "--timeout", 1, expect=UNREACHABLE)
            for text in (*said, "Nothing was done"):
                self.assertIn(text, refused.stderr, command)
        for kind, name in (("topic", "orders"), ("group", "billing")):
            self.assertEqual(self.described(kind, name, "a"), before[kind])
            self.ctl(kind, "describe", "others", expect=NOT_FOUND, endpoint=self.brokers["a"])

    def test_nothing_is_done_unless_all_answer(self):
        self.ctl("topic", "create", "orders", "--queues", 2)
        self.ctl("group", "create", "billing")
        self.processes["b"].send_signal(signal.SIGSTOP)
        try:
            self.check_that_nothing_is_done("broker group b does not tell whether it has ")
        finally:
            self.processes["b"].send_signal(signal.SIGCONT)

        self.processes["b"].kill()
        self.processes["b"].wait()
        self.processes["b"].stdout.close()
        self.wait_for_members(1)
        self.check_that_nothing_is_done("broker group b has no master now")
        self.assertIn("at broker groups: a\n", self.ctl("topic", "update", "orders", "--queues", 4,
                                                        "--broker", "a").stdout)
        self.start_broker("b")
        self.wait_for_members(2)
        self.assertEqual(self.described("topic", "orders", "b")["queues"], 2)
        for _ in range(2):
            self.assertIn("at broker groups: a, b\n",
                          self.ctl("topic", "update", "orders", "--queues", 4).stdout)
        self.assertEqual(self.described("topic", "orders", "b")["queues"], 4)
        self.ctl("group", "delete", "billing", "--yes")
        self.ctl("topic", "delete", "orders", "--yes")


if __name__ == "__main__":
    DUNLIN, NAMESERVICE, DUNLINCTL = (os.path.abspath(path) for path in sys.argv[1:4])
    del sys.argv[1:4]
    unittest.main(verbosity=2)
