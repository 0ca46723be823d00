"""Credentials against a server that only notes how it is called, and turns everybody away."""

import datetime
import hashlib
import hmac
import re
import unittest
from concurrent import futures

import grpc

from dunlin import DunlinError, GroupConsumer, Producer, PullConsumer
from dunlin._stream import signature

SIGNED = re.compile(r"MQv2-HMAC-SHA1 Credential=(\S+), SignedHeaders=x-mq-date-time, "
                    r"Signature=([0-9a-f]{40})")
ALICE = {"access_key": "alice", "secret_key": "secret-of-alice"}


class TurnsAway(grpc.GenericRpcHandler):
    def __init__(self, code):
        self.code, self.calls = code, []

    def service(self, call):
        self.calls.append(dict(call.invocation_metadata))

        def end(_, context):
            context.abort(self.code, "go away")

        return grpc.stream_stream_rpc_method_handler(end)


class AccessTest(unittest.TestCase):
    def serve(self, code=grpc.StatusCode.UNAUTHENTICATED):
        handler = TurnsAway(code)
        server = grpc.server(futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers([handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        return handler, f"127.0.0.1:{port}"

    def test_signs_as_openssl_does(self):
        now = datetime.datetime(2026, 1, 2, 4, 4, 5,
                                tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
        # printf %s 20260102T030405Z | openssl dgst -sha1 -hmac secret-of-alice
        self.assertEqual(signature("alice", "secret-of-alice", now), [
            ("x-mq-date-time", "20260102T030405Z"),
            ("authorization", "MQv2-HMAC-SHA1 Credential=alice, SignedHeaders=x-mq-date-time, "
                              "Signature=c401b9098d04f04ca2471cdc8147d62d3a53b039")])

    def test_one_key_without_the_other_is_no_use(self):
        for keys in ({"access_key": "alice"}, {"secret_key": "secret"},
                     {"access_key": "alice", "secret_key": ""}):
            with self.assertRaisesRegex(ValueError, "both|one user"):
                Producer("127.0.0.1:1", **keys)
        for name in ("a b", "a\n", "grü", "a,b", "a=b", "a/b"):
            with self.assertRaisesRegex(ValueError, "printable"):
                Producer("127.0.0.1:1", access_key=name, secret_key="secret")
        Producer("127.0.0.1:1", access_key="Shop_1.a-b", secret_key="secret").close()

    def test_every_call_is_signed(self):
        handler, endpoint = self.serve()
        with Producer(endpoint, **ALICE) as producer, self.assertRaises(DunlinError):
            producer.send("t", b"x", timeout=20)
        for make in (lambda: PullConsumer(endpoint, "t", **ALICE),
                     lambda: GroupConsumer(endpoint, "g", "t", **ALICE)):
            with make() as consumer, self.assertRaises(DunlinError):
                consumer.receive(20)
        self.assertEqual(len(handler.calls), 3)
        for headers in handler.calls:
            access_key, digest = SIGNED.fullmatch(headers["authorization"]).groups()
            date_time = headers["x-mq-date-time"]
            self.assertEqual(access_key, "alice")
            self.assertEqual(digest, hmac.new(b"secret-of-alice", date_time.encode(),
                                              hashlib.sha1).hexdigest())
            then = datetime.datetime.strptime(date_time, "%Y%m%dT%H%M%SZ")
            age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - then
            self.assertLess(abs(age.total_seconds()), 60)

    def test_without_credentials_nothing_is(self):
        handler, endpoint = self.serve()
        with PullConsumer(endpoint, "t") as consumer, self.assertRaises(DunlinError):
            consumer.receive(20)
        self.assertFalse({"authorization", "x-mq-date-time"} & set(handler.calls[0]))

    def test_who_is_turned_away_is_told_so_and_does_not_come_again(self):
        for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            handler, endpoint = self.serve(code)
            with Producer(endpoint, **ALICE) as producer:
                for _ in range(2):
                    with self.assertRaisesRegex(DunlinError, f"{code.name}: go away"):
                        producer.send("t", b"x", timeout=20)
            with GroupConsumer(endpoint, "g", "t", **ALICE) as member:
                for _ in range(2):
                    with self.assertRaisesRegex(DunlinError, f"{code.name}: go away"):
                        member.receive(20)
            self.assertEqual(len(handler.calls), 2)


if __name__ == "__main__":
    unittest.main()
