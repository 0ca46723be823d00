"""What producers and consumers share: the messages of the protocol, and one stream at a time to the
server, opened again whenever it breaks."""

import datetime
import hashlib
import hmac
import itertools
import os
import queue
import re
import socket
import threading
import time
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _pool():
    """A pool of its own: other packages of the process may bring their own apache.rocketmq.v2."""
    path = Path(__file__).with_name("streams.binpb")
    if not path.exists():
        raise ImportError(f"{path} is missing; clients/python/generate.py makes it")
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()


def _message(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


Payload = _message("apache.rocketmq.v2.Message")
PublishRequest = _message("dunlin.broker.v1.PublishRequest")
PublishResponse = _message("dunlin.broker.v1.PublishResponse")
SubscribeRequest = _message("dunlin.broker.v1.SubscribeRequest")
SubscribeResponse = _message("dunlin.broker.v1.SubscribeResponse")
Code = {value.name: value.number
        for value in _POOL.FindEnumTypeByName("apache.rocketmq.v2.Code").values}
_CODE_NAMES = {number: name for name, number in Code.items()}
# With these the server is in trouble, not the request.
PASSING = {Code[name] for name in (
    "TOO_MANY_REQUESTS", "REQUEST_TIMEOUT", "INTERNAL_ERROR", "INTERNAL_SERVER_ERROR",
    "HA_NOT_AVAILABLE", "MASTER_PERSISTENCE_TIMEOUT", "SLAVE_PERSISTENCE_TIMEOUT")}

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.min_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000)]
# Ends of a stream after which the next one would end in the same way.
_FINAL = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED,
          grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_numbers = itertools.count(1)


def signature(access_key, secret_key, now):
    """The headers that sign a call at a time, as the SDKs of RocketMQ do."""
    date_time = now.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hmac.new(secret_key.encode(), date_time.encode(), hashlib.sha1).hexdigest()
    return [("x-mq-date-time", date_time),
            ("authorization", f"MQv2-HMAC-SHA1 Credential={access_key}, "
                              f"SignedHeaders=x-mq-date-time, Signature={digest}")]


class DunlinError(Exception):
    """Something cannot be done; the text says what."""


class Refused(DunlinError):
    """The server said no: `code` is the name of a code of apache.rocketmq.v2."""

    def __init__(self, status):
        self.code = _CODE_NAMES.get(status.code, str(status.code))
        super().__init__(f"{self.code}: {status.message}")


class Stream:
    """One call. Requests wait in a queue that gRPC empties; answers are iterated over."""

    def __init__(self, channel, method, request, response, metadata):
        self._request, self._queue = request, queue.SimpleQueue()
        call = channel.stream_stream(f"/dunlin.broker.v1.StreamService/{method}",
                                     request_serializer=request.SerializeToString,
                                     response_deserializer=response.FromString)
        self._call = call((make() for make in iter(self._queue.get, None)), metadata=metadata)

    def send(self, **request):
        self.send_later(lambda: self._request(**request))

    def send_later(self, make):
        """Sends what `make` returns when its turn has come."""
        self._queue.put(make)

    def finish(self):
        """Nothing more will be sent; the server ends the stream when it did everything."""
        self._queue.put(None)

    def cancel(self):
        self.finish()
        self._call.cancel()

    def __iter__(self):
        return iter(self._call)


class Connection:
    """A thread that keeps one stream open. Everything below is guarded by `_changed`, which is
    notified at every answer; methods with `_on_` are called with it held."""

    def __init__(self, endpoint, method, request, response, *, client_id=None, namespace="",
                 credentials=None, access_key=None, secret_key=None):
        """`credentials`: those of gRPC, for TLS. `access_key` and `secret_key`: of a user of the
        broker, when it asks who calls (docs/access.md); both or neither."""
        if bool(access_key) != bool(secret_key):
            raise ValueError("give access_key and secret_key of one user, or neither")
        if access_key and not re.fullmatch(r"[!-+\-.0-<>-~]+", access_key):
            raise ValueError("an access_key is printable ASCII without , = and /")
        self._changed = threading.Condition()
        self._stream = None  # the one that the server has opened
        self._failure = None  # why there will be no other one
        self._closed = False
        self._namespace = namespace
        client_id = client_id or f"python@{socket.gethostname()}@{os.getpid()}@{next(_numbers)}"
        self._metadata = [("x-mq-client-id", client_id), ("x-mq-namespace", namespace)]
        self._keys = (access_key, secret_key)
        self._method = (method, request, response)
        self._channel = (grpc.secure_channel(endpoint, credentials, options=_OPTIONS) if credentials
                         else grpc.insecure_channel(endpoint, options=_OPTIONS))
        self._thread = threading.Thread(target=self._run, name="dunlin", daemon=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the stream after what was asked for last has been done."""
        with self._changed:
            self._closed = True
            if self._stream:
                self._stream.finish()
            self._changed.notify_all()
        self._thread.join(5)
        self._channel.close()
        self._thread.join()

    def _headers(self):
        if not self._keys[0]:
            return self._metadata
        return self._metadata + signature(*self._keys, datetime.datetime.now(datetime.timezone.utc))

    def _resource(self, name):
        return {"resource_namespace": self._namespace, "name": name}

    def _run(self):
        delay = 0.05
        while not self._closed and not self._failure:
            stream = Stream(self._channel, *self._method, self._headers())
            stream.send(open=self._open_request())
            opened = False
            try:
                for response in stream:
                    with self._changed:
                        if response.HasField("opened"):
                            self._stream, opened = stream, True
                            if self._closed:
                                stream.finish()
                        if self._stream is stream:
                            self._on_response(response)
                        self._changed.notify_all()
            except grpc.RpcError as error:
                if error.code() in _FINAL and not self._closed:
                    self._failure = DunlinError(f"{error.code().name}: {error.details()}")
            except Exception as error:  # of this client: whoever waits has to know
                self._failure = error
            stream.cancel()
            with self._changed:
                self._stream = None
                self._on_broken()
                delay = 0.05 if opened else min(2 * delay, 1)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed, delay)
        self._on_end()

    def _on_end(self):
        """There will be no other stream."""

    def _break(self):
        """Begins anew: the next stream will agree with the server on how things stand."""
        if self._stream:
            self._stream.cancel()
            self._stream = None

    def _wait_for(self, holds, deadline, what):
        """With `_changed` held."""
        def over():
            return self._closed or self._failure or holds()

        if not self._changed.wait_for(over, max(0, deadline - time.monotonic())):
            raise TimeoutError(f"no answer in time: {what}")
        if not holds():
            raise self._failure or DunlinError("closed")
