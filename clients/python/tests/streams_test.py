"""The client against the real server: dunlin is started, killed and started again."""

import datetime
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from dunlin import CorruptRecord, DunlinError, GroupConsumer, Producer, PullConsumer, Refused

ROOT = Path(__file__).resolve().parents[3]
DUNLIN = os.environ.get("DUNLIN", ROOT / "bin/dunlin")
DUNLINCTL = os.environ.get("DUNLINCTL", Path(DUNLIN).with_name("dunlinctl"))
READY = re.compile(r"is ready on (\S+:\d+)")
SIZES = (1, 7, 8, 100, 1000, 5000, 300000)


class Server:
    """One dunlin with a directory and, from its first start on, a port of its own."""

    def __init__(self, home):
        self.home, self.endpoint, self.process = Path(home), "127.0.0.1:0", None

    def start(self):
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [DUNLIN, "--data-dir", self.home / "data", "--set",
                 f"server.listen_address={self.endpoint}", "--set", "metrics.listen_address=",
                 "--set", "name_service.enabled=false", "--set", "broker.auto_create_topics=true", "--set",
                 "store.segment_size_bytes=67108864"],
                stdout=subprocess.PIPE, stderr=log, text=True)
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            if ready := READY.search(line):
                self.endpoint = ready[1]
                break
        else:
            raise AssertionError("no ready line\n" + (self.home / "log").read_text())
        watchdog.cancel()

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


def everything(endpoint, topic, count, **more):
    """Messages from the beginning: `count` of them, and what comes in another half second."""
    with PullConsumer(endpoint, topic, **more) as consumer:
        got = []
        while message := consumer.receive(20 if len(got) < count else 0.5):
            got.append(message)
        return got


class StreamsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory(prefix="dunlin-python-")
        cls.server = Server(cls.home.name)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        cls.home.cleanup()
        assert status == 0, f"the server ended with status {status}"

    def setUp(self):
        self.endpoint, self.topic = self.server.endpoint, self.id().rpartition(".")[2]

    def producer(self, **more):
        producer = Producer(self.endpoint, **more)
        self.addCleanup(producer.close)
        return producer

    def member(self, **more):
        consumer = GroupConsumer(self.endpoint, self.topic, self.topic, invisible=10, **more)
        self.addCleanup(consumer.close)
        return consumer

    # Sending, and receiving by offset.

    def test_ten_thousand_messages_arrive_as_they_were_sent(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        messages = []
        for number in range(10000):
            size = SIZES[number % 6] if number % 500 else SIZES[6]
            messages.append({
                "body": chance.randbytes(size), "tag": ("grün", "red", None)[number % 3],
                "keys": [f"key-{number}", "ключ"][:number % 4],
                "properties": {"number": str(number), "名": "é" * (number % 5)}})
        receipts = []
        producer = self.producer()
        while len(receipts) < 10000:
            end = len(receipts) + chance.randrange(1, 700)
            receipts += producer.send_many(self.topic, messages[len(receipts):end])
        got = everything(self.endpoint, self.topic, 10000)
        self.assertEqual(len(got), 10000, f"seed {seed}")
        for message in got:
            number = int(message.properties["number"])
            sent, receipt = messages[number], receipts[number]
            for field in ("body", "tag", "keys", "properties"):
                self.assertEqual(getattr(message, field), sent[field], f"{number}, seed {seed}")
            self.assertEqual((message.queue, message.offset, message.message_id),
                             (receipt.queue, receipt.offset, receipt.message_id))
            self.assertLess(abs(message.stored_at_ms - message.born_at_ms), 60000)
        self.assertEqual(len({int(message.properties["number"]) for message in got}), 10000)
        green = everything(self.endpoint, self.topic, 3334, filter="grün")
        self.assertEqual({message.tag for message in green}, {"grün"})
        self.assertEqual(len(green), 3334)

    def test_a_large_message(self):
        body = random.randbytes(4 << 20)
        self.producer().send(self.topic, body)
        self.assertEqual(everything(self.endpoint, self.topic, 1)[0].body, body)

    def test_what_is_refused_leaves_the_rest_stored(self):
        producer = self.producer()
        with self.assertRaises(Refused) as refused:
            producer.send_many(self.topic, [b"a", b"", {"body": b"c", "tag": "x|y"}, b"d"], queue=0)
        self.assertEqual(refused.exception.code, "MESSAGE_BODY_EMPTY")
        outcomes = refused.exception.outcomes
        self.assertEqual(outcomes[2].code, "ILLEGAL_MESSAGE_TAG")
        self.assertEqual([outcomes[0].offset, outcomes[3].offset], [0, 1])
        self.assertEqual(producer.send(self.topic, "e", queue=0).offset, 2)
        with self.assertRaises(Refused) as refused:
            producer.send("not a topic", b"x")
        self.assertEqual(refused.exception.code, "ILLEGAL_TOPIC")
        with self.assertRaises(Refused) as refused:
            producer.send(self.topic, b"x", queue=999)
        self.assertEqual(refused.exception.code, "BAD_REQUEST")
        with self.assertRaises(DunlinError):
            producer.send(self.topic, bytes(6 << 20))
        self.assertEqual(producer.send(self.topic, b"f", queue=0).offset, 3)

    def test_more_than_the_credit_at_once(self):
        bodies = [random.randbytes(50000) for _ in range(400)]  # 20 MB, five times the credit
        self.producer().send_many(self.topic, bodies)
        got = everything(self.endpoint, self.topic, 400, credit_bytes=65536)
        self.assertEqual([message.body for message in got], bodies)

    def test_a_producer_that_comes_again_goes_on(self):
        producer_id = random.randrange(1, 1 << 64)
        for number in range(3):
            with Producer(self.endpoint, producer_id) as producer:
                self.assertEqual(producer.send(self.topic, str(number), queue=1).offset, number)

    def test_where_a_consumer_begins(self):
        producer = self.producer()
        producer.send_many(self.topic, ["0", "1", "2"], queue=0)

        def first(start, **more):
            with PullConsumer(self.endpoint, self.topic, start, queues=[0], **more) as consumer:
                message = consumer.receive(2)
                return message and message.body

        time.sleep(0.05)
        between = datetime.datetime.now()
        time.sleep(0.05)
        producer.send(self.topic, "3", queue=0)
        self.assertEqual(first("first"), b"0")
        self.assertEqual(first(2), b"2")
        self.assertEqual(first(between), b"3")
        self.assertEqual(first("committed", group=self.topic), b"0")
        with PullConsumer(self.endpoint, self.topic, group=self.topic) as consumer:
            consumer.receive(5), consumer.receive(5)
            consumer.commit()
        self.assertEqual(first("committed", group=self.topic), b"2")
        with self.assertRaises(Refused) as refused:
            first(100)
        self.assertEqual(refused.exception.code, "ILLEGAL_OFFSET")
        with PullConsumer(self.endpoint, self.topic, "last", queues=[0]) as consumer:
            self.assertIsNone(consumer.receive(0.5))
            producer.send(self.topic, "4", queue=0)
            self.assertEqual(consumer.receive(5).body, b"4")
        with self.assertRaises(Refused) as refused:
            everything(self.endpoint, "no-such-topic", 1)
        self.assertEqual(refused.exception.code, "TOPIC_NOT_FOUND")

    # Breaks.

    def test_killed_in_the_middle_of_sending_everything_is_there_once(self):
        producer = self.producer()
        batches, each, senders, broken = 50, 50, 5, []
        producer.send(self.topic, "begin")
        consumer = PullConsumer(self.endpoint, self.topic)  # reads all the while
        self.addCleanup(consumer.close)
        receipts = {}  # by body

        def send(sender):
            for batch in range(batches):
                bodies = [f"{sender}-{batch}-{number}" for number in range(each)]
                receipts.update(zip(bodies, producer.send_many(self.topic, bodies, timeout=60)))

        threads = [threading.Thread(target=send, args=[sender]) for sender in range(senders)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if len(broken) < 3 and len(receipts) > (len(broken) + 1) * 3000:
                broken.append(len(receipts))
                self.server.stop(signal.SIGKILL)
                self.server.start()
            time.sleep(0.001)
        self.assertEqual(len(broken), 3)
        self.assertEqual(len(receipts), batches * each * senders)
        stored = everything(self.endpoint, self.topic, len(receipts) + 1)
        self.assertEqual(sorted(message.body.decode() for message in stored),
                         sorted([*receipts, "begin"]))
        places = {message.body.decode(): (message.queue, message.offset) for message in stored}
        for body, receipt in receipts.items():
            self.assertEqual(places[body][0], receipt.queue)
            self.assertIn(receipt.offset, (None, places[body][1]))
        live = [consumer.receive(20) for _ in range(len(stored))]
        self.assertIsNone(consumer.receive(0.5))
        self.assertEqual({(message.queue, message.offset) for message in live},
                         set(places.values()))
        for queue in range(8):
            offsets = [message.offset for message in live if message.queue == queue]
            self.assertEqual(offsets, list(range(len(offsets))))
        lost = sum(receipt.offset is None for receipt in receipts.values())
        print(f"({len(stored)} messages, killed after {broken}, {lost} answers lost) ",
              end="", file=sys.stderr, flush=True)

    def test_an_interrupted_stream_is_taken_up_with_the_same_sequences(self):
        producer = self.producer()
        bodies = [str(number) for number in range(30000)]
        cut = threading.Event()

        def breaks():
            while not cut.wait(0.05):
                with producer._changed:
                    if producer._stream:
                        producer._break()

        breaker = threading.Thread(target=breaks)
        breaker.start()
        try:
            for at in range(0, len(bodies), 3000):
                producer.send_many(self.topic, bodies[at:at + 3000], queue=0)
        finally:
            cut.set()
            breaker.join()
        got = everything(self.endpoint, self.topic, len(bodies), queues=[0])
        self.assertEqual([message.body.decode() for message in got], bodies)

    def test_a_member_outlives_restarts(self):
        self.producer().send_many(self.topic, ["a", "b"])
        member = self.member()
        for sig in (signal.SIGTERM, signal.SIGKILL):
            held = [member.receive(40), member.receive(40)]
            self.server.stop(sig)
            self.server.start()
            again = {}
            while len(again) < 2:  # leases ended with the stream
                message = member.receive(40)
                again[message.body] = message
            self.assertFalse(member.ack(held[0]))
            self.assertTrue(member.release(*again.values()))
        self.assertTrue(member.ack(member.receive(10), member.receive(10)))
        self.assertIsNone(member.receive(3))

    def test_a_corrupt_record_is_not_delivered_but_asked_for_again(self):
        self.producer().send_many(self.topic, ["a", "b", "c"], queue=0)
        consumers = [PullConsumer(self.endpoint, self.topic), self.member()]
        self.addCleanup(consumers[0].close)
        for consumer in consumers:
            got = [consumer.receive(10)]
            with mock.patch("dunlin._records.crc32c", lambda data: 0):
                with self.assertRaises(CorruptRecord):
                    consumer.receive(10)
            if consumer is consumers[1]:
                got = []  # the lease has ended with the stream
            while len(got) < 3:
                got.append(consumer.receive(10))
            self.assertEqual([message.body for message in got], [b"a", b"b", b"c"])

    # Groups.

    def test_acknowledged_is_done(self):
        self.producer().send_many(self.topic, [str(number) for number in range(5000)])
        with GroupConsumer(self.endpoint, self.topic, self.topic, invisible=10) as member:
            got = []
            while len(got) < 5000:
                got.append(member.receive(10))
                self.assertTrue(member.ack(got[-1]))
            self.assertEqual({message.attempt for message in got}, {1})
            self.assertEqual(len({message.body for message in got}), 5000)
            self.assertEqual(member.late, 0)
        self.assertIsNone(self.member().receive(3))

    def test_two_members_share(self):
        self.producer().send_many(self.topic, [str(number) for number in range(2000)])
        members = [self.member(max_unsettled=50), self.member(max_unsettled=50)]
        got = [[], []]
        while len(got[0]) + len(got[1]) < 2000:
            for member, mine in zip(members, got):
                if message := member.receive(0.01):
                    mine.append(message)
                    member.ack(message)
        self.assertEqual({message.attempt for message in got[0] + got[1]}, {1})
        self.assertEqual(len({message.body for message in got[0] + got[1]}), 2000)
        self.assertTrue(got[0] and got[1])

    def test_retried_comes_again_as_the_next_attempt(self):
        self.producer().send(self.topic, "a")
        member = self.member()
        message = member.receive(10)
        start = time.monotonic()
        member.retry(message, delay=2)
        again = member.receive(10)
        self.assertEqual((again.body, again.attempt), (b"a", 2))
        self.assertGreater(time.monotonic() - start, 1.9)
        member.retry(again)
        self.assertEqual(member.receive(10).attempt, 3)

    def test_released_does_not_count(self):
        self.producer().send(self.topic, "a")
        member = self.member()
        member.release(member.receive(10))
        self.assertEqual(member.receive(10).attempt, 1)

    def test_not_settled_comes_again_and_the_old_lease_is_refused(self):
        self.producer().send_many(self.topic, ["a", "b"], queue=0)
        member = self.member()
        short, long = member.receive(10), member.receive(10)
        start, first = time.monotonic(), long.lease
        member.extend(long, 18)
        self.assertNotEqual(long.lease, first)
        again = member.receive(15)
        self.assertEqual((again.body, again.attempt), (b"a", 2))
        self.assertGreater(time.monotonic() - start, 9)
        with self.assertRaises(Refused) as refused:
            member.extend(short, 10)
        self.assertEqual(refused.exception.code, "INVALID_RECEIPT_HANDLE")
        member.ack(short)
        member.ack(again)
        again = member.receive(15)
        self.assertEqual((again.body, again.attempt), (b"b", 2))
        self.assertGreater(time.monotonic() - start, 17)
        self.assertEqual(member.late, 1)

    def test_what_a_member_leaves_comes_to_another(self):
        self.producer().send_many(self.topic, ["a", "b", "c"])
        with GroupConsumer(self.endpoint, self.topic, self.topic, invisible=3600) as left:
            left.ack(left.receive(10))
            left.receive(10), left.receive(10)
        start, member = time.monotonic(), self.member()
        got = [member.receive(10), member.receive(10)]
        self.assertNotIn(None, got)
        self.assertIsNone(member.receive(1))
        self.assertLess(time.monotonic() - start, 600)

    def test_a_tag_selects(self):
        self.producer().send_many(self.topic, [{"body": tag, "tag": tag} for tag in "abcabc"])
        member = self.member(filter="a || c")
        got = [member.receive(10) for _ in range(4)]
        self.assertEqual(sorted(message.tag for message in got), ["a", "a", "c", "c"])
        member.ack(*got)
        self.assertIsNone(member.receive(0.5))

    def test_a_predicate_selects(self):
        self.producer().send_many(self.topic, [
            {"body": str(price), "properties": {"price": str(price)}} for price in range(10)])
        dear = "price >= 7.5 AND NOT price = 9"
        got = everything(self.endpoint, self.topic, 1, sql=dear)
        self.assertEqual([message.body for message in got], [b"8"])
        member = self.member(sql=dear)
        self.assertEqual(member.receive(10).body, b"8")
        self.assertIsNone(member.receive(0.5))

    def test_a_predicate_that_nothing_fulfils_moves_positions(self):
        self.producer().send_many(self.topic, ["a", "b"], queue=0)
        with PullConsumer(self.endpoint, self.topic, group=self.topic, queues=[0],
                          sql="price > 1") as consumer:
            self.assertIsNone(consumer.receive(3))
            self.assertEqual(consumer.positions(), {0: 2})
            self.assertEqual(consumer.lags, {0: 0})
            consumer.commit()
        with PullConsumer(self.endpoint, self.topic, "committed", group=self.topic,
                          queues=[0]) as consumer:
            self.assertIsNone(consumer.receive(0.5))
            self.assertEqual(consumer.positions(), {0: 2})

    # Kinds of messages.

    def topic_of(self, kinds, queues=4):
        subprocess.run([DUNLINCTL, "--endpoint", self.endpoint, "topic", "create", self.topic,
                        "--kinds", kinds, "--queues", str(queues)], check=True,
                       stdout=subprocess.DEVNULL)

    def test_message_groups_have_their_queues_and_their_order(self):
        self.topic_of("FIFO")
        groups = ["123456789", "a", "ü", "b"]
        receipts = self.producer().send_many(self.topic, [
            {"body": f"{group} {number}", "message_group": group}
            for number in range(25) for group in groups])
        self.assertEqual(receipts[0].queue, 0xE3069283 % 4)
        got = everything(self.endpoint, self.topic, 100)
        for group in groups:
            of_group = [message for message in got if message.message_group == group]
            self.assertEqual([message.body.decode() for message in of_group],
                             [f"{group} {number}" for number in range(25)])
            self.assertEqual(len({message.queue for message in of_group}), 1)
        with self.assertRaises(Refused) as refused:
            self.producer().send(self.topic, "a")
        self.assertEqual(refused.exception.code, "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE")

    def test_a_group_in_order_gets_one_of_a_message_group_at_a_time(self):
        self.topic_of("FIFO")
        subprocess.run([DUNLINCTL, "--endpoint", self.endpoint, "group", "create", self.topic,
                        "--delivery-order", "IN_ORDER"], check=True, stdout=subprocess.DEVNULL)
        producer, member = self.producer(), self.member()
        for body in "abc":
            producer.send(self.topic, body, message_group="g")
        for body in (b"a", b"b", b"c"):
            message = member.receive(10)
            self.assertEqual((message.body, message.message_group), (body, "g"))
            member.ack(message)

    def test_a_delayed_message_comes_when_it_is_due(self):
        self.topic_of("DELAY")
        due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        receipt = self.producer().send(self.topic, "later", deliver_at=due)
        self.assertIsNone(receipt.offset)
        self.producer().send(self.topic, "at once",
                             deliver_at=datetime.datetime.fromtimestamp(1))  # local time
        got = everything(self.endpoint, self.topic, 2)
        self.assertEqual([message.body for message in got], [b"at once", b"later"])
        self.assertGreaterEqual(datetime.datetime.now(datetime.timezone.utc), due)
        self.assertEqual([message.deliver_at_ms for message in got],
                         [1000, round(due.timestamp() * 1000)])

    def test_what_is_urgent_comes_first(self):
        self.topic_of("PRIORITY")
        receipts = self.producer().send_many(self.topic, [
            {"body": str(priority), "priority": priority} for priority in (0, 2, 9, 1)])
        self.assertEqual([receipt.queue for receipt in receipts], [0, 2, 3, 1])
        member = self.member()
        self.assertEqual([member.receive(10).priority for _ in range(4)], [9, 2, 1, 0])

    def test_a_message_is_of_one_kind_and_chooses_its_queue_itself(self):
        self.topic_of("FIFO,DELAY,PRIORITY")
        now = datetime.datetime.now()
        for wrong in ({"message_group": "g", "priority": 1}, {"deliver_at": now, "priority": 1},
                      {"priority": -1}, {"priority": 1, "queue": 1},
                      {"message_group": "g", "queue": 1}):
            with self.assertRaises(ValueError, msg=str(wrong)):
                self.producer().send(self.topic, "a", **wrong)
        self.assertEqual(self.producer().send(self.topic, "a", deliver_at=now, queue=1).queue, 1)

    # What cannot work.

    def test_a_predicate_that_is_none_is_refused_with_its_place(self):
        self.producer().send(self.topic, "a")
        with PullConsumer(self.endpoint, self.topic, sql="price >") as consumer:
            with self.assertRaises(Refused) as refused:
                consumer.receive(10)
        self.assertEqual(refused.exception.code, "ILLEGAL_FILTER_EXPRESSION")
        self.assertIn("character 8", str(refused.exception))
        with self.assertRaises(ValueError):
            PullConsumer(self.endpoint, self.topic, filter="a", sql="a = 1")

    def test_a_wrong_lease_ends_the_attempt_to_attach(self):
        self.producer().send(self.topic, "a")
        with GroupConsumer(self.endpoint, self.topic, self.topic, invisible=0.01) as member:
            with self.assertRaises(Refused) as refused:
                member.receive(10)
        self.assertEqual(refused.exception.code, "ILLEGAL_INVISIBLE_TIME")

    def test_nobody_is_there(self):
        with Producer("127.0.0.1:1") as producer:
            with self.assertRaises(TimeoutError):
                producer.send(self.topic, "a", timeout=0.5)
        with PullConsumer("127.0.0.1:1", self.topic) as consumer:
            self.assertIsNone(consumer.receive(0.5))
        with PullConsumer(self.endpoint, self.topic, credit_bytes=1) as consumer:
            with self.assertRaises(DunlinError):
                consumer.receive(5)


if __name__ == "__main__":
    unittest.main()
