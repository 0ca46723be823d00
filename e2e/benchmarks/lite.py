#!/usr/bin/env python3
"""A million lightweight topics of one parent: made, subscribed to, consumed, restarted.

    lite.py --bench=lite-1m --dunlin=PATH --dunlinctl=PATH [--count=THOUSANDS] [--quick]
            [--directory=DIR]

Each lightweight topic gets two messages, in requests of thousands. Clients that subscribe to 2000
each receive and acknowledge all of them, in the order of each lightweight topic. After a kill -9
all are there again, and the next message of each of a sample is the third. Needs the .venv of
./dev setup: what is measured is the server.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

VENV = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".venv"))
PYTHON = os.path.join(VENV, "bin", "python")
if os.path.realpath(sys.prefix) != VENV and os.path.exists(PYTHON):
    os.execv(PYTHON, [PYTHON, *sys.argv])

import grpc  # noqa: E402
from rocketmq.grpc_protocol import definition_pb2, service_pb2, service_pb2_grpc  # noqa: E402

import bench_server  # noqa: E402
from bench_server import Failure, Server, fresh, say  # noqa: E402

PER_CLIENT = 2000
PER_SEND = 2000
BATCH = 1024
# Of the server's own memory for each lightweight topic, all of them subscribed to and consumed. Less
# a piece for a million than for a hundred thousand: what is kept of the last that were used is
# bounded.
BYTES_BOUND = 1200
RESTART_BOUND_SECONDS = 15
THREADS = 4


def name_of(number):
    return "session-%08d" % number


class Client:
    def __init__(self, server, number):
        self.channel = grpc.insecure_channel(server.endpoint, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)])
        self.stub = service_pb2_grpc.MessagingServiceStub(self.channel)
        self.metadata = (("x-mq-client-id", "client-%s" % number), ("x-mq-language", "PYTHON"))

    def call(self, method, request):
        response = getattr(self.stub, method)(request, metadata=self.metadata, timeout=60)
        if response.status.code != definition_pb2.Code.OK:
            raise Failure("%s: %s" % (method, response.status))
        return response

    def send(self, numbers, body):
        request = service_pb2.SendMessageRequest()
        for number in numbers:
            message = request.messages.add(body=body)
            message.topic.name = "sessions"
            message.system_properties.message_id = "%s-%d" % (body.decode(), number)
            message.system_properties.lite_topic = name_of(number)
        return self.call("SendMessage", request)

    def subscribe(self, numbers):
        request = service_pb2.SyncLiteSubscriptionRequest(
            action=definition_pb2.LiteSubscriptionAction.COMPLETE_ADD)
        request.topic.name, request.group.name = "sessions", "agents"
        request.lite_topic_set.extend(map(name_of, numbers))
        self.call("SyncLiteSubscription", request)

    def receive(self):
        request = service_pb2.ReceiveMessageRequest(batch_size=BATCH)
        request.message_queue.topic.name, request.group.name = "sessions", "agents"
        request.message_queue.id = -1
        request.invisible_duration.seconds = 600
        request.long_polling_timeout.seconds = 5
        return [element.message for element in
                self.stub.ReceiveMessage(request, metadata=self.metadata, timeout=60)
                if element.HasField("message")]

    def acknowledge(self, messages):
        request = service_pb2.AckMessageRequest()
        request.topic.name, request.group.name = "sessions", "agents"
        for message in messages:
            request.entries.add(message_id=message.system_properties.message_id,
                                receipt_handle=message.system_properties.receipt_handle,
                                lite_topic=message.system_properties.lite_topic)
        self.call("AckMessage", request)


def at_once(work, parts):
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, parts))


def produce(server, topics):
    clients = [Client(server, "producer-%d" % i) for i in range(THREADS)]

    def send(first):
        client = clients[first // PER_SEND % THREADS]
        numbers = range(first, min(first + PER_SEND, topics))
        client.send(numbers, b"first")
        client.send(numbers, b"second")

    begun = time.monotonic()
    at_once(send, range(0, topics, PER_SEND))
    return 2 * topics / (time.monotonic() - begun)


def consume(server, topics):
    def drain(first):
        numbers = range(first, min(first + PER_CLIENT, topics))
        client = Client(server, first)
        client.subscribe(numbers)
        seen = {}
        while sum(map(len, seen.values())) < 2 * len(numbers):
            messages = client.receive()
            if not messages:
                raise Failure("client %d: nothing came" % first)
            for message in messages:
                seen.setdefault(message.system_properties.lite_topic, []).append(message.body)
            client.acknowledge(messages)
        if any(bodies != [b"first", b"second"] for bodies in seen.values()):
            raise Failure("client %d: out of order, or twice" % first)
        client.channel.close()
        return len(seen)

    begun = time.monotonic()
    if sum(at_once(drain, range(0, topics, PER_CLIENT))) != topics:
        raise Failure("not all lightweight topics were seen")
    return 2 * topics / (time.monotonic() - begun)


def lite_1m(options):
    topics = 1000 * (options.count or (100 if options.quick else 1000))
    settings = ["broker.max_receive_batch=%d" % BATCH]
    with Server(options, fresh(options), settings) as server:
        server.control("topic", "create", "sessions", "--kinds", "LITE",
                       "--lite-expiration-minutes", "1440")
        server.control("group", "create", "agents", "--lite-bind-topic", "sessions")
        idle = server.memory_mib()
        produced = produce(server, topics)
        made = server.memory_mib()
        say("%d lightweight topics made, %.0f msg/s, %.0f MiB" % (topics, produced, made))
        consumed = consume(server, topics)
        after = server.memory_mib()
        say("consumed, %.0f msg/s, %.0f MiB" % (consumed, after))
        server.kill()
        begun = time.monotonic()
        server.start()
        restart = time.monotonic() - begun
        if server.describe()["lite_topics"] != str(topics):
            raise Failure("after the restart: %s" % server.describe())
        third = Client(server, "again").send(range(0, topics, max(1, topics // 1000)), b"third")
        if any(entry.offset != 2 for entry in third.entries):
            raise Failure("an offset was given twice, or left out")
        say("started again in %.1f s, %.0f MiB" % (restart, server.memory_mib()))
        started = server.memory_mib()
    per_topic = (after - idle) * (1 << 20) / topics
    return {"bench": "lite-1m", "metric": "memory for each lightweight topic, all consumed",
            "value": round(per_topic), "unit": "bytes", "bound": BYTES_BOUND, "better": "lower",
            "ok": per_topic <= BYTES_BOUND and restart <= RESTART_BOUND_SECONDS,
            "detail": {"lite_topics": topics, "anonymous_mib_idle": round(idle),
                       "anonymous_mib_made": round(made), "anonymous_mib_consumed": round(after),
                       "anonymous_mib_restarted": round(started),
                       "produced_per_second": round(produced),
                       "consumed_per_second": round(consumed),
                       "restart_seconds": round(restart, 2),
                       "restart_bound_seconds": RESTART_BOUND_SECONDS}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bench_server.add_options(parser, ["lite-1m"])
    return bench_server.run(parser.parse_args(), lite_1m)


if __name__ == "__main__":
    sys.exit(main())
