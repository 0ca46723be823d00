"""The Python SDK against one server: every case prints "ok NAME" or "FAIL NAME: why".

The cases run at the same time, since most of their time is waiting. Case NAME uses the topic
PREFIX-NAME and the group of the same name. The exit status is 1 when a case failed.
"""

import argparse
import itertools
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression, Message,
                      MessageListener, Producer, PushConsumer, SimpleConsumer, TransactionChecker,
                      TransactionResolution)
from rocketmq.grpc_protocol import FilterType
from rocketmq.v5.consumer import LitePushConsumer
from rocketmq.v5.exception import BadRequestException, ClientException

import sample
from sample import expect_equal

LIMIT_SECONDS = 170
POLL_SECONDS = 5
SHORT_SECONDS = 10  # the server's smallest lease
LONG_SECONDS = 300  # outlasts the suite: a message seen twice under it is the server's fault


class Clients:
    """Makes the SDK's clients for one access point and shuts them down."""

    def __init__(self, endpoint, tls, user=()):
        self.configuration = ClientConfiguration(endpoint, Credentials(*user))
        self.tls = tls

    @contextmanager
    def producer(self, *topics):
        yield from self._running(Producer(self.configuration, topics, tls_enable=self.tls))

    @contextmanager
    def transactional_producer(self, topic, checker):
        yield from self._running(Producer(self.configuration, (topic,), checker,
                                          tls_enable=self.tls))

    @contextmanager
    def simple_consumer(self, topic, group, tags="*", sql=None):
        expression = FilterExpression(sql, FilterType.SQL) if sql else FilterExpression(tags)
        yield from self._running(SimpleConsumer(
            self.configuration, group, {topic: expression},
            await_duration=POLL_SECONDS, tls_enable=self.tls))

    @contextmanager
    def push_consumer(self, topic, group, consume):
        yield from self._running(PushConsumer(
            self.configuration, group, Listener(consume), {topic: FilterExpression()},
            consumption_thread_count=8, tls_enable=self.tls))

    @contextmanager
    def lite_push_consumer(self, topic, group, consume):
        yield from self._running(LitePushConsumer(
            self.configuration, group, topic, Listener(consume), consumption_thread_count=8,
            tls_enable=self.tls))

    @staticmethod
    def _running(client):
        client.startup()
        try:
            yield client
        finally:
            client.shutdown()


class Listener(MessageListener):
    """Turns a function that returns whether it succeeded into a listener."""

    def __init__(self, function):
        self.function = function

    def consume(self, message):
        return ConsumeResult.SUCCESS if self.function(message) else ConsumeResult.FAILURE


class Checker(TransactionChecker):
    """Answers by the body of the message."""

    def __init__(self, resolutions):
        self.resolutions = resolutions
        self.asked = 0

    def check(self, message):
        self.asked += 1
        return self.resolutions.get(message.body.decode(),
                                    TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED)


class Cases:
    def __init__(self, clients, prefix, messages):
        self.clients = clients
        self.prefix = prefix
        self.messages = messages

    def hello(self, name):
        """One message there and back."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            message_id = send(producer, name, "hello")
            message = receive_one(consumer, LONG_SECONDS, 20)
            expect_equal("message id", message_id, message.message_id)
            expect_equal("body", b"hello", message.body)
            expect_equal("delivery attempt", 1, message.delivery_attempt)
            consumer.ack(message)

    def round_trip(self, name):
        """Many messages of all sizes, each received intact and only once."""
        numbers = iter(range(self.messages))
        seen = set()
        lock = threading.Lock()

        def produce():
            while True:
                with lock:
                    i = next(numbers, None)
                if i is None:
                    return
                producer.send(sample.message(name, i))

        def consume():
            while len(seen) < self.messages:
                for message in consumer.receive(32, LONG_SECONDS):
                    i = sample.check(message)
                    with lock:
                        expect(i not in seen, f"message {i} came twice")
                        seen.add(i)
                    consumer.ack(message)

        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            at_once([produce, consume] * 4)
            expect_equal("messages after the last", [], consumer.receive(32, LONG_SECONDS))

    def tags(self, name):
        """"a || b" lets through a and b; a tag of the same hash as another is another tag."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name, "a || b") as either, \
                self.clients.simple_consumer(name, name + "-hash", "Aa") as colliding:
            for tag in ("a", "Aa", "BB", "b", "c", "ab", None):
                send(producer, name, f"tag {tag}", tag)
            expect_equal("bodies of a || b", {b"tag a", b"tag b"}, drain(either, 2))
            expect_equal("bodies of Aa", {b"tag Aa"}, drain(colliding, 1))

    def sql(self, name):
        """A predicate over properties and the tag lets through what fulfils it."""
        predicate = "price BETWEEN 10 AND 20 OR TAGS = 'vip'"
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name, sql=predicate) as consumer:
            for price in ("5", "15", "25"):
                send(producer, name, price, properties={"price": price})
            send(producer, name, "no price", "vip")
            expect_equal(f"bodies of {predicate}", {b"15", b"no price"}, drain(consumer, 2))

    def redelivery(self, name):
        """A message that is not acknowledged comes again when its lease is over."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            message_id = send(producer, name, "again")
            first = receive_one(consumer, SHORT_SECONDS, 20)
            start = time.monotonic()
            second = receive_one(consumer, LONG_SECONDS, 30)
            expect_between("seconds until it came again", 9, 20, time.monotonic() - start)
            expect_equal("message id", message_id, second.message_id)
            expect_equal("attempts", [1, 2], [first.delivery_attempt, second.delivery_attempt])
            expect_raises(BadRequestException, "the receipt of the first attempt",
                          lambda: consumer.ack(first))
            consumer.ack(second)
            expect_equal("messages after the ack", [], consumer.receive(1, SHORT_SECONDS))

    def invisible(self, name):
        """change_invisible_duration shortens and lengthens a lease."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            send(producer, name, "lease")
            message = receive_one(consumer, LONG_SECONDS, 20)
            consumer.change_invisible_duration(message, 3)
            start = time.monotonic()
            message = receive_one(consumer, SHORT_SECONDS, 20)
            expect_between("seconds after shortening", 2, 15, time.monotonic() - start)
            expect_equal("delivery attempt", 2, message.delivery_attempt)

            consumer.change_invisible_duration(message, 25)
            start = time.monotonic()
            message = receive_one(consumer, LONG_SECONDS, 40)
            expect_between("seconds after lengthening", 24, 35, time.monotonic() - start)
            expect_equal("delivery attempt", 3, message.delivery_attempt)
            consumer.ack(message)

    def push(self, name):
        """A listener works on several messages at the same time and gets each once."""
        count = 500
        seen = []
        active = []
        peak = []

        def consume(message):
            active.append(message)
            peak.append(len(active))
            time.sleep(0.02)
            active.remove(message)
            seen.append(message.body)
            return True

        with self.clients.producer(name) as producer, \
                self.clients.push_consumer(name, name, consume):
            for i in range(count):
                send(producer, name, f"push {i}")
            wait(60, lambda: len(set(seen)) == count, lambda: f"{len(seen)} of {count} arrived")
            time.sleep(2)
            expect(max(peak) > 1, "the listener was never called concurrently")
            expect_equal("deliveries", count, len(seen))

    def push_retry(self, name):
        """What a listener refuses comes again, one attempt higher."""
        attempts = []

        def consume(message):
            attempts.append(message.delivery_attempt)
            return len(attempts) == 3

        with self.clients.producer(name) as producer, \
                self.clients.push_consumer(name, name, consume):
            send(producer, name, "retry")
            wait(90, lambda: len(attempts) >= 3, lambda: f"attempts: {attempts}")
            time.sleep(10)
            expect_equal("attempts", [1, 2, 3], attempts)

    def dead_letter(self, name):
        """The group allows 2 attempts: then the message lies in the group's dead letter topic."""
        attempts = []

        def consume(message):
            attempts.append(message.delivery_attempt)
            return False

        with self.clients.producer(name) as producer, \
                self.clients.push_consumer(name, name, consume):
            send(producer, name, "dead", "t", "k", {"ключ": "значение"})
            wait(60, lambda: len(attempts) == 2, lambda: f"attempts: {attempts}")
            with self.clients.simple_consumer(f"%DLQ%{name}", name + "-graveyard") as graveyard:
                # The dead letter topic comes into being with its first message.
                # Until then the SDK fails to fetch its route, with a plain Exception.
                message = receive_one(graveyard, LONG_SECONDS, 60, Exception)
                expect_equal("body", b"dead", message.body)
                expect_equal("tag", "t", message.tag)
                expect_equal("keys", ["k"], list(message.keys))
                expect_equal("property", "значение", message.properties.get("ключ"))
                graveyard.ack(message)
            expect_equal("attempts", [1, 2], attempts)

    def fifo(self, name):
        """Messages of one group are done in order, whatever fails: by a simple consumer of the
        ordered group NAME-simple, and by a push consumer of the ordered group NAME."""
        groups, count = 6, 15
        simple_done = {f"g{group}": [] for group in range(groups)}
        push_done = {f"g{group}": [] for group in range(groups)}
        failed = set()

        def listen(message):
            group, number = message.message_group, int(message.body)
            if number % 5 == 2 and (group, number) not in failed:
                failed.add((group, number))
                return False
            push_done[group].append(number)
            return True

        def consume():
            refused = set()
            while sum(map(len, simple_done.values())) < groups * count:
                skipped = set()  # groups of this batch that wait for their first message
                for message in consumer.receive(16, LONG_SECONDS):
                    group, number = message.message_group, int(message.body)
                    if group in skipped or (number % 4 == 1 and (group, number) not in refused):
                        refused.add((group, number))
                        skipped.add(group)
                        consumer.change_invisible_duration(message, 1)
                        continue
                    simple_done[group].append(number)
                    consumer.ack(message)

        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name + "-simple") as consumer, \
                self.clients.push_consumer(name, name, listen):
            for number in range(count):
                for group in range(groups):
                    message = Message()
                    message.topic = name
                    message.body = str(number).encode()
                    message.message_group = f"g{group}"
                    producer.send(message)
            consume()
            wait(90, lambda: sum(map(len, push_done.values())) >= groups * count,
                 lambda: f"the push consumer is at {push_done}")
        for group in simple_done:
            expect_equal(f"simple {group}", list(range(count)), simple_done[group])
            expect_equal(f"push {group}", list(range(count)), push_done[group])

    def errors(self, name):
        """Bad sends are refused with the exception an application would catch."""
        with self.clients.producer(name) as producer:
            expect_raises(Exception, "unknown topic",
                          lambda: send(producer, f"{self.prefix}-absent", "x"))
            expect_raises(BadRequestException, "control character in a tag",
                          lambda: send(producer, name, "x", "a\u0001b"))
            expect_raises(ClientException, "bar in a tag", lambda: send(producer, name, "x", "a|b"))
            expect_raises(ClientException, "empty body", lambda: send(producer, name, ""))
            expect_raises(ClientException, "body over 4 MiB",
                          lambda: send(producer, name, "x" * ((4 << 20) + 1)))
            send(producer, name, "the producer still works")

    def delay(self, name):
        """A delayed message comes when it is due; one that is recalled before never comes."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            def delayed(body, seconds):
                message = Message()
                message.topic = name
                message.body = body.encode()
                message.delivery_timestamp = int(time.time() + seconds)  # of this SDK: seconds
                return producer.send(message)

            wrong = delayed("wrong", 6)
            start = time.time()
            sent = delayed("right", 7)
            producer.recall_message(name, wrong.recall_handle)
            message = receive_one(consumer, LONG_SECONDS, 20)
            expect_between("seconds until delivery", 5.9, 9, time.time() - start)
            expect_equal("message id", sent.message_id, message.message_id)
            expect_equal("body", b"right", message.body)
            # This SDK raises nothing for MESSAGE_NOT_FOUND.
            late = producer.recall_message(name, sent.recall_handle)
            expect(not late, f"a recall that is late: was accepted, {late}")
            expect_raises(ClientException, "a recall handle that is none",
                          lambda: producer.recall_message(name, "none"))
            expect_raises(BadRequestException, "a delay of 25 hours",
                          lambda: delayed("far", 25 * 3600))
            consumer.ack(message)
            expect_equal("messages after the last", [], consumer.receive(32, LONG_SECONDS))

    def priority(self, name):
        """What is most urgent comes first, and says how urgent it is."""
        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name) as consumer, \
                self.clients.simple_consumer(name, name + "-probe") as probe:
            for priority in (1, 3, 2):
                message = Message()
                message.topic = name
                message.body = str(priority).encode()
                message.priority = priority
                producer.send(message)
            for _ in range(3):  # until all are there
                receive_one(probe, LONG_SECONDS, 20)
            messages = consumer.receive(32, LONG_SECONDS)
            for message in messages:
                consumer.ack(message)
            expect_equal("bodies and priorities", [(b"3", 3), (b"2", 2), (b"1", 1)],
                         [(message.body, message.priority) for message in messages])

    def transaction(self, name):
        """What is committed is received, what is rolled back never; what is left open is asked."""
        checker = Checker({"checked, committed": TransactionResolution.COMMIT,
                           "checked, rolled back": TransactionResolution.ROLLBACK})
        with self.clients.transactional_producer(name, checker) as producer, \
                self.clients.simple_consumer(name, name) as consumer:
            def prepare(body):
                message = Message()
                message.topic = name
                message.body = body.encode()
                transaction = producer.begin_transaction()
                producer.send(message, transaction)
                return transaction

            committed = prepare("committed")
            rolled_back = prepare("rolled back")
            prepare("checked, committed")
            prepare("checked, rolled back")
            committed.commit()
            rolled_back.rollback()
            expect_raises(ClientException, "a message without a transaction",
                          lambda: send(producer, name, "normal"))
            bodies = []
            for _ in range(2):
                message = receive_one(consumer, LONG_SECONDS, 60)
                bodies.append(message.body.decode())
                consumer.ack(message)
            expect_equal("received", ["committed", "checked, committed"], bodies)
            expect_equal("messages after the last", [], consumer.receive(32, LONG_SECONDS))
            expect(checker.asked >= 2, f"the server asked {checker.asked} times")
    def lite(self, name):
        """A consumer gets the messages of the lightweight topics it subscribes to, each in its
        order; one of the exclusive group NAME-one goes to the last that subscribed to it."""
        count = 5
        seen, lost, got = {}, {}, {}
        failed = set()

        def listener(done):
            def listen(message):
                topic, body = message.lite_topic, message.body.decode()
                if body == "1" and topic not in failed:
                    failed.add(topic)
                    return False
                done.setdefault(topic, []).append(body)
                return True
            return listen

        def arrived(done, count):
            wait(60, lambda: sum(map(len, done.values())) >= count,
                 lambda: f"of {count} lite messages {done}")

        with self.clients.producer(name) as producer, \
                self.clients.lite_push_consumer(name, name, listener(seen)) as consumer:
            def send_lite(lite_topic, body):
                message = Message()
                message.topic = name
                message.body = body.encode()
                message.lite_topic = lite_topic
                producer.send(message)

            consumer.subscribe_lite("a")
            consumer.subscribe_lite("b")
            send_lite("c", "0")
            for number in range(count):
                send_lite("a", str(number))
                send_lite("b", str(number))
            arrived(seen, 2 * count)
            expect_raises(Exception, "a name that is none", lambda: consumer.subscribe_lite("a$b"))
            consumer.unsubscribe_lite("b")
            send_lite("b", "late")
            consumer.subscribe_lite("c")
            arrived(seen, 2 * count + 1)
            with self.clients.lite_push_consumer(name, name + "-one", listener(lost)) as first, \
                    self.clients.lite_push_consumer(name, name + "-one", listener(got)) as second:
                # Of a longer name this SDK subscribes to each letter, until its set goes out whole.
                first.subscribe_lite("o")
                second.subscribe_lite("o")
                send_lite("o", "0")
                arrived(got, 1)
        numbers = list(map(str, range(count)))
        expect_equal("messages", {"a": numbers, "b": numbers, "c": ["0"]}, seen)
        expect_equal("messages of an exclusive one", ({}, {"o": ["0"]}), (lost, got))

    def restart(self, name):
        """The server is killed and started again under running clients.

        Asks for it on standard output with the line "restart" and waits for a line on standard
        input. Every acknowledged message must arrive at a push and at a simple consumer.
        """
        sent, pushed, received = set(), set(), set()
        done = threading.Event()

        def produce():
            for i in itertools.count():
                if done.wait(0.01):
                    return
                try:
                    send(producer, name, str(i))
                    sent.add(i)
                except Exception:  # pylint: disable=broad-except  # the server is away
                    time.sleep(0.5)

        def consume():
            while not (done.is_set() and received >= sent):
                try:
                    for message in simple.receive(32, SHORT_SECONDS):
                        received.add(int(message.body))
                        simple.ack(message)
                except Exception:  # pylint: disable=broad-except  # the server is away
                    time.sleep(0.5)

        def listen(message):
            pushed.add(int(message.body))
            return True

        with self.clients.producer(name) as producer, \
                self.clients.simple_consumer(name, name + "-simple") as simple, \
                self.clients.push_consumer(name, name, listen):
            for work in (produce, consume):
                threading.Thread(target=work, daemon=True).start()
            try:
                wait(30, lambda: len(sent) > 100, lambda: f"only {len(sent)} sent before")
                say("restart")
                expect(sys.stdin.readline(), "nobody restarted the server")
                before = len(sent)
                wait(60, lambda: len(sent) > before + 100, lambda: "no sends after the restart")
            finally:
                done.set()
            for who, got in (("push", pushed), ("simple", received)):
                wait(60, lambda got=got: got >= sent,
                     lambda who=who, got=got: f"{who} consumer misses {sorted(sent - got)[:9]}")


def send(producer, topic, body, tag=None, key=None, properties=None):
    message = Message()
    message.topic = topic
    message.body = body.encode()
    if tag is not None:
        message.tag = tag
    if key is not None:
        message.keys = key
    for key, value in (properties or {}).items():
        message.add_property(key, value)
    return producer.send(message).message_id


def receive_one(consumer, lease_seconds, seconds, passing=()):
    """Waits for one message; `passing` are exceptions that will pass by waiting."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            messages = consumer.receive(1, lease_seconds)
            if messages:
                return messages[0]
        except passing:
            time.sleep(1)
    raise AssertionError(f"no message within {seconds} s")


def drain(consumer, count):
    """Receives and acknowledges until `count` came, and then what comes beyond."""
    bodies = set()
    empty = 0
    while empty < (4 if len(bodies) < count else 1):
        messages = consumer.receive(32, LONG_SECONDS)
        empty += not messages
        for message in messages:
            bodies.add(message.body)
            consumer.ack(message)
    return bodies


def wait(seconds, holds, otherwise):
    start = time.monotonic()
    while not holds():
        expect(time.monotonic() - start < seconds, otherwise())
        time.sleep(0.05)


def at_once(functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result()


def expect(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


def expect_between(what, low, high, actual):
    expect(low <= actual <= high, f"{what}: expected {low} to {high}, got {actual:.1f}")


def expect_raises(exception, what, action):
    try:
        action()
    except exception:
        return
    raise AssertionError(f"{what}: was accepted")


def report(name, case):
    try:
        case()
        say(f"ok {name}")
        return True
    except Exception as error:  # pylint: disable=broad-except  # a case may fail in any way
        traceback.print_exc()
        say(f"FAIL {name}: {type(error).__name__}: {error}")
        return False


def say(line):
    """One line in one piece: print() writes its end separately, and cases end at the same time."""
    sys.stdout.write(line.replace("\n", " ") + "\n")
    sys.stdout.flush()


def main():
    names = [name.replace("_", "-") for name in vars(Cases) if not name.startswith("_")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, metavar="HOST:PORT")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--tls", choices=("on", "off"), default="off",
                        help="on: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names the authority")
    parser.add_argument("--access-key", default="", help="name of the user who signs")
    parser.add_argument("--secret-key", default="", help="and its secret")
    parser.add_argument("--cases", default=",".join(names))
    options = parser.parse_args()

    user = (options.access_key, options.secret_key) if options.access_key else ()
    clients = Clients(options.endpoint, options.tls == "on", user)
    cases = Cases(clients, options.prefix, options.messages)
    results = {}

    def run(name):
        case = getattr(cases, name.replace("-", "_"))
        results[name] = report(name, lambda: case(f"{options.prefix}-{name}"))

    threads = [threading.Thread(target=run, args=(name,), daemon=True)
               for name in options.cases.split(",")]
    limit = time.monotonic() + LIMIT_SECONDS
    for thread in threads:
        thread.start()
    for name, thread in zip(options.cases.split(","), threads):
        thread.join(max(0, limit - time.monotonic()))
        if name not in results:
            say(f"FAIL {name}: still running after {LIMIT_SECONDS} s")
    failed = len(results) < len(threads) or not all(results.values())
    # The SDK keeps threads of its own; do not wait for them.
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()
