#!/usr/bin/env python3
"""Every command of dunlinctl against a real server, with what it refuses and its exit status.

dunlinctl_test.py DUNLIN DUNLINCTL [unittest arguments]
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
NAMES = re.compile(r"the name service listens on (\S+:\d+)")
MESSAGE_ID = re.compile(r"01[0-9A-F]{32}")


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def rows(self):
        """Of a table, by column."""
        header, *rows = [re.split(r" {2,}", line) for line in self.out.strip().split("\n")]
        return [dict(zip(header, row)) for row in rows]

    def json(self):
        return json.loads(self.out)


class DunlinctlTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.home = Path(cls.directory.name)
        with open(cls.home / "log", "wb") as log:
            cls.server = subprocess.Popen(
                [DUNLIN, "--data-dir", cls.home / "data", "--set",
                 "server.listen_address=127.0.0.1:0", "--set", "metrics.listen_address=", "--set",
                 "name_service.server.listen_address=127.0.0.1:0", "--set",
                 "store.segment_size_bytes=16777216"],
                stdout=subprocess.PIPE, stderr=log, text=True)
        watchdog = threading.Timer(60, cls.server.kill)
        watchdog.start()
        for line in cls.server.stdout:
            if ready := READY.search(line):
                cls.endpoint = ready[1]
                break
        else:
            raise AssertionError("no ready line\n" + (cls.home / "log").read_text())
        watchdog.cancel()
        cls.names = NAMES.search((cls.home / "log").read_text())[1]

    @classmethod
    def tearDownClass(cls):
        cls.server.send_signal(signal.SIGTERM)
        status = cls.server.wait(60)
        cls.server.stdout.close()
        cls.directory.cleanup()
        assert status == 0, f"the server ended with status {status}"

    def ctl(self, *arguments, stdin="", expect=DONE, endpoint=None):
        environment = {"PATH": os.environ["PATH"], "DUNLIN_ENDPOINT": endpoint or self.endpoint}
        result = Result(subprocess.run([DUNLINCTL, *map(str, arguments)], input=stdin, timeout=60,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=environment))
        self.assertEqual(result.status, expect, f"{arguments}\n{result.out}{result.err}")
        if expect == DONE:
            self.assertEqual(result.err, "")
        else:
            self.assertNotEqual(result.err, "")
        return result

    def topic(self, *arguments):
        """A new topic with the name of the test."""
        name = self.id().rpartition(".")[2]
        self.ctl("topic", "create", name, *arguments)
        return name

    def indexed(self, *arguments):
        """The result of a command that shows a message once it is in the index."""
        for _ in range(200):
            result = subprocess.run([DUNLINCTL, "--endpoint", self.endpoint, *arguments],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if result.returncode != NOT_FOUND:
                break
        self.assertEqual(result.returncode, DONE, result.stderr)
        return Result(result)

    def group_rows(self, group, holds):
        """Queues of a group once they are as expected: progress is saved a moment later."""
        for _ in range(200):
            queues = self.ctl("group", "describe", group, "-o", "json").json()["queues"]
            if holds(queues):
                return queues
        self.fail(f"never: {queues}")

    # Topics.

    def test_a_topic_from_creation_to_deletion(self):
        name = "a-topic"
        made = self.ctl("topic", "create", name, "--queues", 3, "--kinds", "NORMAL,FIFO",
                        "--description", "orders of the day").rows()
        self.assertEqual(made[0]["TOPIC"], name)
        self.assertEqual(made[0]["QUEUES"], "3")
        self.assertEqual(made[0]["KINDS"], "NORMAL,FIFO")
        self.assertEqual(made[0]["DESCRIPTION"], "orders of the day")
        self.assertIn("exists already", self.ctl("topic", "create", name, expect=REFUSED).err)
        self.assertIn(name, [row["TOPIC"] for row in self.ctl("topic", "list").rows()])
        self.assertEqual(self.ctl("topic", "update", name, "--queues", 5).rows()[0]["QUEUES"], "5")
        fewer = self.ctl("topic", "update", name, "--queues", 4, "--max-age-hours", 6,
                         "--delete-consumed", "true").rows()[0]
        self.assertEqual((fewer["QUEUES"], fewer["KEPT"]), ("4 (5 read)", "6 h, until consumed"))
        self.assertEqual(len(self.ctl("topic", "describe", name, "-o", "json").json()["queues"]), 5)
        self.assertIn("--yes", self.ctl("topic", "delete", name, expect=USAGE).err)
        self.ctl("topic", "delete", name, "--yes")
        self.assertIn("no topic", self.ctl("topic", "describe", name, expect=NOT_FOUND).err)
        self.ctl("topic", "delete", name, "--yes", expect=NOT_FOUND)

    def test_wrong_topics_are_refused(self):
        self.assertIn("not allowed", self.ctl("topic", "create", "a b", expect=REFUSED).err)
        self.ctl("topic", "create", "x", "--queues", 0, expect=USAGE)
        self.ctl("topic", "create", "x", "--kinds", "ODD", expect=USAGE)
        self.ctl("topic", "create", expect=USAGE)

    def test_a_namespace_keeps_names_apart(self):
        name = self.topic()
        self.ctl("--namespace", "shop", "topic", "create", name, "--queues", 1)
        names = [row["TOPIC"] for row in self.ctl("topic", "list").rows()]
        self.assertIn(name, names)
        self.assertIn("shop/" + name, names)
        self.ctl("produce", name, "in the shop", "--namespace", "shop")
        self.ctl("consume", name, "--group", "g", "--count", 1, "--wait", 0, expect=NOT_FOUND)
        shown = self.ctl("consume", name, "--group", "g", "--count", 1, "--namespace", "shop")
        self.assertIn("in the shop", shown.out)

    # Messages.

    def test_a_message_there_and_back(self):
        name = self.topic("--queues", 1)
        sent = self.ctl("produce", name, "one order", "--tag", "new", "--key", "k1", "--key", "k2",
                        "--property", "a=1", "--property", "b=2=3")
        message_id = MESSAGE_ID.match(sent.out)[0]
        got = self.ctl("consume", name, "--group", "there-and-back", "--count", 1)
        self.assertEqual(got.out, f"{message_id} {name}/0@0 tag=new key=k1 key=k2 a=1 b=2=3\n"
                                  "one order\n")
        # Acknowledged: it does not come again.
        self.ctl("consume", name, "--group", "there-and-back", "--count", 1, "--wait", 0,
                 expect=NOT_FOUND)
        for by in (("--id", message_id), ("--key", "k2"), ("--queue", "0", "--offset", "0")):
            self.assertIn("one order", self.indexed("message", "get", name, *by).out)
        found = self.ctl("message", "get", name, "--key", "k1", "-o", "json").json()
        self.assertEqual(found["system_properties"]["message_id"], message_id)
        self.ctl("message", "get", name, "--key", "k3", expect=NOT_FOUND)
        self.ctl("message", "get", name, "--queue", 0, "--offset", 1, expect=NOT_FOUND)
        self.assertIn("queues 0 to 0", self.ctl("message", "get", name, "--queue", 1, "--offset", 0,
                                                expect=REFUSED).err)
        self.ctl("message", "get", name, expect=USAGE)
        self.ctl("message", "get", name, "--offset", 0, expect=USAGE)
        self.ctl("message", "get", name, "--id", "x", "--key", "y", expect=USAGE)
        trace = self.ctl("message", "trace", name, "--key", "k1").out
        self.assertIn("STORED client ", trace)
        self.assertIn("in queue 0 at offset 0", trace)
        self.ctl("message", "trace", name, "--key", "k3", expect=NOT_FOUND)
        self.ctl("message", "trace", name, expect=USAGE)

    def test_a_delayed_message_waits_and_can_be_recalled(self):
        self.ctl("topic", "create", "later", "--kinds", "DELAY", "--queues", "1")
        self.ctl("produce", "later", "x", expect=REFUSED)
        sent = self.ctl("produce", "later", "x", "--key", "k", "--delay-seconds", "3600").out
        handle = sent.split()[-1]
        self.assertEqual(self.ctl("topic", "describe", "later", "-o", "json").json()["queues"][0]
                         ["delayed"], "1")
        waiting = self.ctl("message", "get", "later", "--key", "k", "-o", "json").json()
        self.assertEqual(waiting["system_properties"]["queue_offset"], "-1")
        self.assertIn(sent.split()[0], self.ctl("message", "recall", "later", handle).out)
        self.ctl("message", "recall", "later", handle)
        self.ctl("message", "recall", "later", handle[4:], expect=REFUSED)
        self.ctl("produce", "later", "y", "--key", "soon", "--delay-seconds", "0.3")
        got = self.ctl("consume", "later", "--group", "g", "--count", "1").out
        self.assertIn("y", got)
        there = self.ctl("message", "get", "later", "--key", "soon", "-o", "json").json()
        self.assertEqual(there["system_properties"].get("queue_offset", "0"), "0")

    def test_a_transaction_is_seen_ended_and_checked_again(self):
        self.ctl("topic", "create", "half", "--kinds", "TRANSACTION", "--queues", "1")
        self.ctl("produce", "half", "x", expect=REFUSED)
        ids = [self.ctl("produce", "half", body, "--key", body, "--transaction").out.split()[-1]
               for body in ("wrong", "right", "left")]
        self.ctl("consume", "half", "--group", "g", "--count", "1", "--wait", "0", expect=NOT_FOUND)
        self.ctl("transaction", "rollback", "half", ids[0])
        self.ctl("transaction", "commit", "half", ids[1])
        self.ctl("transaction", "commit", "half", ids[1])
        refused = self.ctl("transaction", "rollback", "half", ids[1], expect=REFUSED)
        self.assertIn("was committed", refused.err)
        self.assertIn("right", self.ctl("consume", "half", "--group", "g", "--count", "1").out)
        rows = self.ctl("transaction", "list", "half").rows()
        self.assertEqual([(row["TRANSACTION"], row["STATE"]) for row in rows], [(ids[2], "OPEN")])
        self.assertEqual(self.ctl("transaction", "list", "--parked", "-o", "json").json()
                         ["transactions"], [])
        shown = self.ctl("transaction", "show", "half", ids[2]).out
        self.assertIn("left", shown)
        self.assertIn("ROLLED_BACK", self.ctl("transaction", "show", "half", ids[0]).out)
        queues = self.ctl("topic", "describe", "half", "-o", "json").json()["queues"]
        self.assertEqual(queues[0]["open_transactions"], "1")
        self.assertRegex(self.ctl("broker", "describe").out, r"open transactions +1\b")
        waiting = self.ctl("message", "get", "half", "--key", "left", "-o", "json").json()
        self.assertEqual(waiting["system_properties"]["queue_offset"], "-1")
        self.ctl("transaction", "recheck", "half", ids[2])
        self.ctl("transaction", "recheck", "half", ids[1], expect=REFUSED)
        self.ctl("transaction", "show", "half", "nonsense", expect=REFUSED)
        self.ctl("transaction", "show", "no-such-topic", ids[2], expect=NOT_FOUND)
        self.ctl("transaction", "list", "no-such-topic", expect=NOT_FOUND)
        self.ctl("transaction", expect=USAGE)
        self.ctl("transaction", "rollback", "half", ids[2])
        self.assertEqual(self.ctl("transaction", "list", "half", "-o", "json").json()
                         ["transactions"], [])
    def test_lightweight_topics_from_the_first_message_to_the_last(self):
        made = self.ctl("topic", "create", "sessions", "--kinds", "LITE",
                        "--lite-expiration-minutes", 60)
        self.assertEqual(made.rows()[0]["KINDS"], "LITE")
        self.ctl("topic", "create", "x", "--kinds", "LITE,NORMAL", expect=REFUSED)
        self.ctl("topic", "create", "x", "--kinds", "LITE", "--queues", 2, expect=REFUSED)
        self.ctl("topic", "create", "x", "--kinds", "LITE", "--lite-expiration-minutes", 43201,
                 expect=USAGE)
        self.assertIn("topic create", self.ctl("group", "create", "agents", "--lite-bind-topic",
                                               "none", expect=REFUSED).err)
        self.ctl("group", "create", "agents", "--lite-bind-topic", "sessions", "--lite-model",
                 "EXCLUSIVE")
        group = self.ctl("group", "describe", "agents", "-o", "json").json()["group"]
        self.assertEqual((group["lite_bind_topic"], group["lite_model"]),
                         ("sessions", "LITE_EXCLUSIVE"))
        for name in ("s1", "s2"):
            for body in ("one", "two"):
                self.ctl("produce", "sessions", body, "--lite-topic", name)
        self.ctl("produce", "sessions", "x", expect=REFUSED)
        self.assertIn("ILLEGAL_LITE_TOPIC", self.ctl("produce", "sessions", "x", "--lite-topic",
                                                     "a$b", expect=REFUSED).err)
        got = self.ctl("consume", "sessions", "--group", "agents", "--lite-topic", "s1", "--count",
                       2).out.split("\n")
        self.assertIn("lite-topic=s1", got[0])
        self.assertEqual(got[1::2], ["one", "two"])
        self.assertIn("--lite-bind-topic", self.ctl("consume", "sessions", "--group", "nobody",
                                                    "--lite-topic", "s1", expect=REFUSED).err)
        self.assertIn("2 lightweight topics, which go after 60 minutes",
                      self.ctl("topic", "describe", "sessions").out)
        listed = self.indexed("topic", "lite", "list", "sessions", "-o", "json").json()
        self.assertEqual([topic["name"] for topic in listed["lite_topics"]], ["s1", "s2"])
        self.assertEqual(listed["total"], "2")
        self.assertIn("1 of 2", self.ctl("topic", "lite", "list", "sessions", "--limit", 1).out)
        self.assertIn("agents", self.ctl("topic", "lite", "describe", "sessions", "s1").out)
        self.ctl("topic", "lite", "describe", "sessions", "none", expect=NOT_FOUND)
        moved = self.ctl("group", "reset-offset", "agents", "--topic", "sessions", "--lite-topic",
                         "s1", "--first").rows()
        self.assertEqual(moved[0]["LAG"], "2")
        self.ctl("group", "reset-offset", "agents", "--topic", "sessions", "--first",
                 expect=REFUSED)
        self.ctl("topic", "update", "sessions", "--lite-expiration-minutes", 0)
        self.assertIn("stay for good", self.ctl("topic", "describe", "sessions").out)
        self.ctl("topic", "update", "sessions", "--kinds", "NORMAL", expect=REFUSED)
        self.ctl("topic", "delete", "sessions", "--yes")

    def test_bodies_from_lines_files_and_nothing(self):
        name = self.topic("--queues", 1)
        lines = self.ctl("produce", name, stdin="first\n\nsecond\n").out.strip().split("\n")
        self.assertEqual([line.split(" ", 1)[1] for line in lines],
                         ["queue offset 0", "queue offset 1"])
        (self.home / "body").write_bytes(b"\x00\xff in a file\n")
        self.ctl("produce", name, "--file", self.home / "body")
        self.ctl("produce", name, "thrice", "--count", 3)
        self.assertIn("MESSAGE_BODY_EMPTY", self.ctl("produce", name, "", expect=REFUSED).err)
        got = self.ctl("consume", name, "--group", "bodies", "--count", 6).out.split("\n")
        self.assertEqual(got[1::2], ["first", "second", "base64:AP8gaW4gYSBmaWxlCg==", "thrice",
                                     "thrice", "thrice"])
        self.ctl("produce", name, "--file", self.home / "none", expect=USAGE)
        self.ctl("produce", name, "x", "--file", self.home / "body", expect=USAGE)
        self.ctl("produce", name, "x", "--property", "=1", expect=USAGE)
        self.ctl("produce", "no-such-topic", "x", expect=NOT_FOUND)

    def test_a_tag_selects(self):
        name = self.topic()
        for tag in ("a", "b", "c"):
            self.ctl("produce", name, "body of " + tag, "--tag", tag)
        got = self.ctl("consume", name, "--group", "tags", "--tag", "a || c", "--wait", 1).out
        self.assertIn("body of a", got)
        self.assertIn("body of c", got)
        self.assertNotIn("body of b", got)
        self.ctl("consume", name, "--group", "tags", "--tag", "||", expect=REFUSED)

    def test_a_predicate_selects(self):
        name = self.topic("--queues", 1)
        for price in (5, 50, 500):
            self.ctl("produce", name, price, "--property", f"price={price}")
        got = self.ctl("consume", name, "--group", "sql", "--filter-sql",
                       "price > 5 AND NOT price >= 500", "--wait", 1).out
        self.assertEqual(got.split("\n")[1::2], ["50"])
        refused = self.ctl("consume", name, "--group", "sql", "--filter-sql", "price >",
                           expect=REFUSED)
        self.assertIn("character 8", refused.err)
        self.ctl("consume", name, "--group", "sql", "--filter-sql", "", expect=USAGE)
        self.ctl("consume", name, "--group", "sql", "--filter-sql", "a = 1", "--tag", "b",
                 expect=USAGE)

    def test_without_ack_a_message_stays_in_flight(self):
        name = self.topic("--queues", 1)
        self.ctl("produce", name, "again")
        self.ctl("consume", name, "--group", "no-ack", "--count", 1, "--no-ack")
        queues = self.group_rows("no-ack", lambda rows: len(rows) == 1)
        self.assertEqual((queues[0]["in_flight"], queues[0]["lag"]), ("1", "1"))

    def test_following_goes_on_until_interrupted(self):
        name = self.topic()
        follower = subprocess.Popen([DUNLINCTL, "--endpoint", self.endpoint, "consume", name,
                                     "--group", "follower", "--follow"],
                                    stdout=subprocess.PIPE, text=True)
        try:
            for body in ("one", "two"):
                self.ctl("produce", name, body)
                self.assertRegex(follower.stdout.readline(), MESSAGE_ID)
                self.assertEqual(follower.stdout.readline(), body + "\n")
            self.assertIsNone(follower.poll())
        finally:
            follower.send_signal(signal.SIGINT)
            follower.wait(30)
            follower.stdout.close()

    # Groups.

    def test_a_group_from_creation_to_deletion(self):
        name = "a-group"
        made = self.ctl("group", "create", name, "--max-attempts", 5, "--retry-delays-ms",
                        "1000,2500", "--description", "billing").rows()[0]
        self.assertEqual((made["MAX ATTEMPTS"], made["RETRY AFTER"]), ("5", "1s 2.5s"))
        self.ctl("group", "create", name, expect=REFUSED)
        changed = self.ctl("group", "update", name, "--retry-exponential", "100,60000,2").rows()[0]
        self.assertEqual((changed["MAX ATTEMPTS"], changed["DESCRIPTION"]), ("5", "billing"))
        self.assertEqual(changed["RETRY AFTER"], "100 ms x2 up to 60000 ms")
        self.ctl("group", "update", name, "--retry-exponential", "100,60000", expect=USAGE)
        self.ctl("group", "update", name, "--retry-exponential", "100,99,2", expect=REFUSED)
        self.assertIn(name, [row["GROUP"] for row in self.ctl("group", "list").rows()])
        self.assertIn("consumers online: 0", self.ctl("group", "describe", name).out)
        self.ctl("group", "delete", name, expect=USAGE)
        self.ctl("group", "delete", name, "--yes")
        self.ctl("group", "describe", name, expect=NOT_FOUND)
        self.ctl("group", "update", name, "--max-attempts", 2, expect=NOT_FOUND)

    def test_a_group_is_moved(self):
        name = self.topic("--queues", 1)
        self.ctl("produce", name, stdin="0\n1\n2\n")
        move = ("group", "reset-offset", "moved", "--topic", name)
        self.ctl(*move, "--last", expect=NOT_FOUND)
        self.ctl("group", "create", "moved")

        def consumed():
            return self.ctl("consume", name, "--group", "moved", "--wait", 1).out.split("\n")[1::2]

        self.ctl(*move, "--last")
        self.assertEqual(consumed(), [])
        self.ctl(*move, "--first")
        self.assertEqual(consumed(), ["0", "1", "2"])
        moved = self.ctl(*move, "--queue", 0, "--offset", 2).rows()
        self.assertEqual((moved[0]["COMMITTED"], moved[0]["LAG"]), ("2", "1"))
        self.assertEqual(consumed(), ["2"])
        self.ctl(*move, "--time", "2026-01-01T00:00:00Z")
        self.assertEqual(consumed(), ["0", "1", "2"])
        self.assertIn("outside", self.ctl(*move, "--queue", 0, "--offset", 4, expect=REFUSED).err)
        self.ctl(*move, expect=USAGE)
        self.ctl(*move, "--first", "--last", expect=USAGE)
        self.ctl(*move, "--offset", 1, expect=USAGE)
        self.ctl(*move, "--time", "yesterday", expect=USAGE)

    def test_a_group_begins_where_it_is_told(self):
        name = self.topic("--queues", 1)
        self.ctl("produce", name, "before")
        self.indexed("message", "get", name, "--queue", "0", "--offset", "0")
        made = self.ctl("group", "create", "from-now", "--start", "last").rows()[0]
        self.assertNotEqual(made["STARTS AT"], "first")
        self.assertEqual(self.ctl("group", "create", "from-all").rows()[0]["STARTS AT"], "first")
        self.ctl("group", "create", "x", "--start", "soon", expect=USAGE)
        self.ctl("produce", name, "after")
        self.assertEqual(self.bodies(name, "from-now", 1), ["after"])
        self.assertEqual(self.bodies(name, "from-all", 2), ["before", "after"])

    def bodies(self, topic, group, count, *arguments):
        shown = self.ctl("consume", topic, "--group", group, "--count", count, "--wait", 5,
                         *arguments).out
        return shown.strip().split("\n")[1::2]

    def test_messages_are_skipped(self):
        name = self.topic("--queues", 1)
        for body in "abcd":
            self.ctl("produce", name, body)
        self.indexed("message", "get", name, "--queue", "0", "--offset", "3")
        self.ctl("group", "create", "skipper")
        shown = self.ctl("group", "skip", "skipper", "--topic", name, "--queue", 0, "--count", 1)
        self.assertIn("passed over: 1", shown.out)
        self.assertEqual(self.bodies(name, "skipper", 1, "--no-ack"), ["b"])
        skipped = self.ctl("group", "skip", "skipper", "--topic", name, "--all", "-o", "json")
        self.assertEqual(skipped.json()["skipped"], "3")
        self.ctl("consume", name, "--group", "skipper", "--count", 1, "--wait", 0, expect=NOT_FOUND)
        self.ctl("group", "skip", "skipper", "--topic", name, expect=USAGE)
        self.assertIn("queues 0 to 0", self.ctl("group", "skip", "skipper", "--topic", name,
                                                "--queue", 7, "--all", expect=REFUSED).err)

    def test_a_group_is_moved_to_where_another_one_is(self):
        name = self.topic("--queues", 1)
        for body in "ab":
            self.ctl("produce", name, body)
        self.assertEqual(self.bodies(name, "leader", 1), ["a"])
        self.ctl("group", "create", "follower")
        self.ctl("group", "clone-offsets", "follower", "--from", "leader", "--topic", name)
        self.assertEqual(self.bodies(name, "follower", 1), ["b"])
        self.assertIn("never consumed", self.ctl("group", "clone-offsets", "leader", "--from",
                                                 "follower", "--topic", self.topic_named("other"),
                                                 expect=NOT_FOUND).err)

    def topic_named(self, suffix):
        name = self.id().rpartition(".")[2] + "-" + suffix
        self.ctl("topic", "create", name)
        return name

    def test_a_paused_group_gets_nothing_until_it_is_resumed(self):
        name = self.topic("--queues", 1)
        self.ctl("group", "create", "sleeper")
        self.ctl("group", "pause", "sleeper")
        self.assertIn("PAUSED", self.ctl("group", "describe", "sleeper").out)
        self.ctl("produce", name, "a")
        self.indexed("message", "get", name, "--queue", "0", "--offset", "0")
        self.ctl("consume", name, "--group", "sleeper", "--count", 1, "--wait", 0, expect=NOT_FOUND)
        self.ctl("group", "resume", "sleeper")
        self.assertEqual(self.bodies(name, "sleeper", 1), ["a"])

    def test_two_filters_in_one_group_are_refused(self):
        name = self.topic("--queues", 1)
        follower = subprocess.Popen([DUNLINCTL, "--endpoint", self.endpoint, "consume", name,
                                     "--group", "mixed", "--tag", "red", "--follow"],
                                    stdout=subprocess.PIPE, text=True)
        try:
            self.ctl("produce", name, "a", "--tag", "red")
            self.assertIn("tag=red", follower.stdout.readline())
            refused = self.ctl("consume", name, "--group", "mixed", "--tag", "green", "--wait", 0,
                               expect=REFUSED).err
            self.assertIn("TAG green", refused)
            self.assertIn("TAG red", refused)
            self.assertIn(f"consumes {name} with TAG red",
                          self.ctl("group", "describe", "mixed").out)
        finally:
            follower.kill()
            follower.stdout.close()
            follower.wait()

    def test_limits_are_set_shown_and_kept(self):
        name = self.topic("--queues", 1, "--max-messages-per-second", 1)
        self.assertEqual(self.ctl("topic", "describe", name, "-o", "json").json()["topic"]
                         ["send_rate"]["messages_per_second"], "1")
        self.ctl("produce", name, "a", "--count", 1)
        refused = self.ctl("produce", name, "b", "--count", 5, expect=REFUSED).err
        self.assertIn("1 messages a second", refused)
        updated = self.ctl("topic", "update", name, "--max-messages-per-second", 0)
        self.assertEqual(updated.rows()[0]["SEND LIMIT"], "-")
        self.ctl("produce", name, "b", "--count", 5)
        group = self.ctl("group", "create", "limited", "--max-bytes-per-second", 1000000,
                         "--max-in-flight", 2).rows()[0]
        self.assertEqual(group["LIMITS"], "1000000 bytes/s, 2 in flight")
        self.assertEqual(len(self.bodies(name, "limited", 2, "--no-ack")), 2)
        self.ctl("consume", name, "--group", "limited", "--count", 1, "--wait", 0, expect=NOT_FOUND)

    # Dead letters.

    def test_dead_letters_from_list_to_purge(self):
        name = self.topic("--queues", 1)
        self.ctl("group", "create", "buried", "--max-attempts", 1)
        self.assertNotIn("buried", self.ctl("dlq", "list").out)
        self.assertIn("no dead letters", self.ctl("dlq", "show", "buried", expect=NOT_FOUND).err)
        for body in "ab":
            self.ctl("produce", name, body, "--tag", "t")
        self.bury(name, "buried", 2)
        row = {row["GROUP"]: row for row in self.ctl("dlq", "list").rows()}["buried"]
        self.assertEqual((row["WAITING"], row["HELD"]), ("2", "2"))
        shown = self.ctl("dlq", "show", "buried").out
        self.assertIn("delivered 1 times", shown)
        self.assertIn(f"{name}/0@0 tag=t", shown)
        self.assertIn("sent again: 1", self.ctl("dlq", "resend", "buried", "--offset", 0).out)
        self.assertIn("is done", self.ctl("dlq", "resend", "buried", "--offset", 0,
                                          expect=REFUSED).err)
        self.assertEqual(self.bodies(name, "buried", 1), ["a"])
        letters = self.ctl("dlq", "show", "buried", "--all", "-o", "json").json()["letters"]
        self.assertEqual([letter["done"] for letter in letters], [True, False])
        self.assertIn("--yes", self.ctl("dlq", "purge", "buried", "--all", expect=USAGE).err)
        self.assertIn("purged: 1", self.ctl("dlq", "purge", "buried", "--all", "--yes").out)
        self.assertIn("sent again: 0", self.ctl("dlq", "resend", "buried", "--all").out)
        # Anybody may still read them.
        self.assertEqual(self.bodies("%DLQ%buried", "grave-visitors", 2), ["a", "b"])

    def bury(self, topic, group, count):
        """Has `count` messages fail as often as the group allows."""
        self.bodies(topic, group, count, "--no-ack", "--invisible", 10)
        for _ in range(60):
            self.ctl("consume", topic, "--group", group, "--wait", 1)
            rows = [row for row in self.ctl("dlq", "list").rows() if row["GROUP"] == group]
            if rows and rows[0]["WAITING"] == str(count):
                return
        self.fail("no dead letters came")

    # The broker, and the way to it.

    def test_the_broker_tells_of_itself(self):
        shown = self.ctl("broker", "describe").out
        self.assertRegex(shown, r"version +\d+\.\d+\.\d+\n")
        self.assertRegex(shown, r"damaged ranges +none\n")
        self.assertEqual(self.ctl("broker", "describe", "-o", "json").json()["disk_full"], False)
        self.assertRegex(self.ctl("broker", "checkpoint").out, r"^everything below \d+ is on disk$")
        self.ctl("consume", self.topic(), "--group", "seen", "--wait", 0)
        clients = self.ctl("client", "list").rows()
        self.assertIn("dunlinctl", " ".join(row["CLIENT"] for row in clients))

    def test_the_name_service_tells_of_the_cluster(self):
        self.ctl("topic", "create", "known")
        row = {}
        for _ in range(100):  # until the broker has registered
            rows = self.ctl("cluster", "list", endpoint=self.names).rows()
            row = rows[0] if rows else {}
            if row.get("STATE") == "ok":
                break
        self.assertEqual((row["CLUSTER"], row["GROUP"], row["MEMBER"], row["ID"], row["ROLE"]),
                         ("DefaultCluster", "broker-a", "broker-a", "0", "MASTER"))
        self.assertEqual(row["ADDRESS"], self.endpoint)
        self.ctl("cluster", "forbid-writes", "broker-a", endpoint=self.names)
        group = self.ctl("cluster", "list", "-o", "json", endpoint=self.names).json()["groups"][0]
        self.assertFalse(group["writable"])
        self.assertIn("writable now",
                      self.ctl("cluster", "allow-writes", "broker-a", endpoint=self.names).out)
        self.ctl("cluster", "forbid-writes", "none", endpoint=self.names, expect=NOT_FOUND)
        self.assertIn("not a name service", self.ctl("cluster", "list", expect=REFUSED).err)
        self.assertIn("broker group broker-a", self.ctl("topic", "list", endpoint=self.names).out)

    def test_the_same_over_tls(self):
        certificate = self.home / "data/tls/server.crt"
        self.ctl("topic", "list", "--tls-ca", certificate)
        # The system does not know the certificate.
        self.assertIn("certificate", self.ctl("topic", "list", "--tls", expect=UNREACHABLE).err)
        self.ctl("topic", "list", "--tls-ca", self.home / "none", expect=USAGE)

    def test_no_broker(self):
        wrong = self.ctl("topic", "list", endpoint="127.0.0.1:1", expect=UNREACHABLE)
        self.assertIn("127.0.0.1:1", wrong.err)
        self.assertIn("--endpoint", wrong.err)
        self.ctl("produce", "x", "x", endpoint="127.0.0.1:1", expect=UNREACHABLE)
        self.ctl("consume", "x", "--group", "x", endpoint="127.0.0.1:1", expect=UNREACHABLE)
        for endpoint in ("nonsense", ":8081", "host:", "host:0", "host:65536", "host:80x"):
            self.assertIn("HOST:PORT",
                          self.ctl("topic", "list", "--endpoint", endpoint, expect=USAGE).err)

    def test_help_and_version(self):
        self.assertRegex(self.ctl("--version").out, r"^dunlinctl \d+\.\d+\.\d+\n$")
        for command in ([], ["topic"], ["topic", "create"], ["consume"]):
            self.assertIn("Usage: dunlinctl", self.ctl(*command, "--help").out)
        for wrong in ([], ["topic"], ["no-such-command"], ["topic", "list", "--no-such-option"],
                      ["topic", "list", "-o", "xml"], ["--timeout", "0", "topic", "list"]):
            self.ctl(*wrong, expect=USAGE)


if __name__ == "__main__":
    DUNLIN, DUNLINCTL = (os.path.abspath(path) for path in sys.argv[1:3])
    del sys.argv[1:3]
    unittest.main(verbosity=2)
