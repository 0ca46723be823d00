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
# The second group has room for so many topics.
MAX_TOPICS = 5


class ClusterTest(unittest.TestCase):
    @classmethod
    def start(cls, name, program, *settings):
        arguments = [program, "--data-dir", cls.home / name, "--set",
                     "server.listen_address=127.0.0.1:0", "--set", "metrics.listen_address="]
        for setting in settings:
            arguments += ["--set", setting]
        with open(cls.home / f"{name}.log", "wb") as log:
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        cls.processes.append(process)
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
        cls.processes = []
        cls.names = cls.start("names", NAMESERVICE, "server.tls.mode=OFF",
                              "registry.start_grace_ms=1000")
        cls.brokers = {
            name: cls.start(name, DUNLIN, f"broker.broker_name={name}",
                            f"broker.name_services={cls.names}", "name_service.enabled=false",
                            "store.segment_size_bytes=16777216", "broker.auto_create_topics=false",
                            f"broker.max_topics={most}")
            for name, most in (("a", 1000), ("b", MAX_TOPICS))}
        # The first start of a name service waits for its grace to be over.
        for _ in range(200):
            groups = cls.run_ctl("cluster", "list", "-o", "json")
            if "has just started" not in cls.run_ctl("cluster", "list").stdout and \
                    len(json.loads(groups.stdout)["groups"]) == 2:
                return
        raise AssertionError("the cluster does not come up")

    @classmethod
    def tearDownClass(cls):
        for process in reversed(cls.processes):
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


if __name__ == "__main__":
    DUNLIN, NAMESERVICE, DUNLINCTL = (os.path.abspath(path) for path in sys.argv[1:4])
    del sys.argv[1:4]
    unittest.main(verbosity=2)
