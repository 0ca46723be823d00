"""Receives messages: of queues by offset, or as a member of a group."""

import datetime
import queue
import time

from ._records import CorruptRecord, decode
from ._stream import (PASSING, Code, Connection, DunlinError, Refused, SubscribeRequest,
                      SubscribeResponse)

_TAG, _SQL = 1, 2
_FIRST, _LAST, _COMMITTED = 1, 2, 3
_ACK, _RETRY, _EXTEND, _RELEASE = range(4)


class _Consumer(Connection):
    """Frames wait in an inbox until they are asked for; only then is their credit given back. Those
    of a broken stream are dropped: what was not taken from them comes again on the next one."""

    def __init__(self, endpoint, topic, group, filters, credit_bytes, connection):
        tags, sql = filters
        if tags is not None and sql is not None:
            raise ValueError("filter by tags or by an SQL predicate, not by both")
        super().__init__(endpoint, "Subscribe", SubscribeRequest, SubscribeResponse, **connection)
        self.topic, self._group = topic, group
        self._filter = ({"type": _TAG, "expression": "*" if tags is None else tags} if sql is None
                        else {"type": _SQL, "expression": sql})
        self._credit_bytes, self._owed = credit_bytes, 0
        self._inbox = queue.SimpleQueue()  # (stream, frame, bytes), or an exception
        self._frame = (None, None, 0, iter(()))  # with the messages of it that were not taken
        self._bindings, self._numbers = {}, 0  # queue, by binding of this stream; the last binding

    def receive(self, timeout=None):
        """The next message; None when there is none for `timeout` seconds. For one thread. After a
        CorruptRecord the same message is asked for again."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                message = self._take()
            if message:
                return message
            if not self._next_frame(deadline):
                return None

    def __iter__(self):
        return iter(self.receive, None)

    def _take(self):
        stream, frame, size, messages = self._frame
        if stream is None or stream is not self._stream:
            return None
        try:
            message = next(messages, None)
        except CorruptRecord:
            self._break()
            raise
        if message:
            self._on_taken(message)
            return message
        self._frame = (None, None, 0, iter(()))
        self._on_emptied(frame)
        self._owed += size
        if self._owed * 4 >= self._credit_bytes:
            stream.send(credit_bytes=self._owed)
            self._owed = 0
        return None

    def _next_frame(self, deadline):
        wait = None if deadline is None else max(0, deadline - time.monotonic())
        try:
            got = self._inbox.get(timeout=wait)
        except queue.Empty:
            return False
        if isinstance(got, Exception):
            if not self._thread.is_alive():
                self._inbox.put(got)  # it stays like that
            raise got
        self._frame = (*got, self._messages(*got[:2]))
        return True

    def _messages(self, stream, frame):
        for number, message in enumerate(decode(frame.records, self.topic)):
            message.stream = stream
            message.lease = frame.leases[number] if frame.leases else None
            message.attempt = frame.attempts[number] if frame.attempts else 1
            yield message

    # With _changed held.

    def _open_request(self):
        opened = {"credit_bytes": self._credit_bytes}
        if self._group:
            opened["group"] = self._resource(self._group)
        return opened

    def _attach(self, queue_number, **mode):
        if self._stream:
            self._numbers += 1
            self._bindings[self._numbers] = queue_number
            self._stream.send(attach={
                "binding": self._numbers, "topic": self._resource(self.topic),
                "filter": self._filter, **mode})

    def _on_response(self, response):
        if response.HasField("opened"):
            self._on_opened()
        for attached in response.attached:
            self._on_attached(self._bindings[attached.binding], attached)
        if response.HasField("frame"):
            self._inbox.put((self._stream, response.frame, response.ByteSize()))
        for settled in response.settled:
            self._on_settled(settled)
        for detached in response.detached:
            self._on_detached(self._bindings[detached.binding], detached)

    def _on_broken(self):
        self._bindings, self._numbers, self._owed = {}, 0, 0

    def _on_end(self):
        self._inbox.put(self._failure or DunlinError("closed"))

    def _on_attached(self, _, attached):
        self._check(attached.status)

    def _on_detached(self, _, detached):
        self._check(detached.status)

    def _check(self, status):
        """False: there is no binding. If that may pass, a new stream tries again."""
        if status.code in PASSING:
            self._break()
        elif status.code != Code["OK"]:
            self._inbox.put(Refused(status))
        return status.code == Code["OK"]

    def _on_settled(self, settled):
        pass

    def _on_taken(self, message):
        pass

    def _on_emptied(self, frame):
        pass


class PullConsumer(_Consumer):
    """Reads queues by offset, in order, alone; begins again where it was when a stream breaks."""

    def __init__(self, endpoint, topic, start="first", *, group=None, queues=None, filter=None,
                 sql=None, credit_bytes=4 << 20, **connection):
        """`start`: first, last, committed (then `group` names whose), an offset, or a datetime: the
        first message stored at or after it. `queues`: their numbers, by default all. Of the topic's
        messages come all, or those with one of the tags of `filter` (`a || b`), or those whose
        properties fulfil the predicate `sql` (docs/filters.md)."""
        super().__init__(endpoint, topic, group, (filter, sql), credit_bytes, connection)
        self._start, self._queues = start, list(queues) if queues is not None else None
        self._positions = {}  # by queue: what comes next
        self._commits = {}
        self.lags = {}  # by queue, as of its last frame
        self._thread.start()

    def commit(self):
        """Says that the group consumed everything received so far. There is no answer: a commit may
        be lost with the server, and is repeated when the stream was."""
        if not self._group:
            raise DunlinError("a commit needs a group")
        with self._changed:
            self._commits = dict(self._positions)
            for binding, number in self._bindings.items():
                self._send_commit(binding, number)

    def positions(self):
        with self._changed:
            return dict(self._positions)

    def _send_commit(self, binding, number):
        if self._stream and number in self._commits:
            self._stream.send(commit={"binding": binding, "queue_offset": self._commits[number]})

    def _on_opened(self):
        for number in [0] if self._queues is None else self._queues:
            self._attach(number, offset=self._from(number))

    def _from(self, number):
        if number in self._positions:
            return {"queue": number, "queue_offset": self._positions[number]}
        if isinstance(self._start, datetime.datetime):
            return {"queue": number, "stored_at_ms": int(self._start.timestamp() * 1000)}
        if isinstance(self._start, int):
            return {"queue": number, "queue_offset": self._start}
        starts = {"first": _FIRST, "last": _LAST, "committed": _COMMITTED}
        return {"queue": number, "start": starts[self._start]}

    def _on_attached(self, number, attached):
        if (attached.status.code == Code["ILLEGAL_OFFSET"]
                and self._positions.get(number, attached.min_offset) < attached.min_offset):
            del self._positions[number]  # retention was faster than this consumer
            self._attach(number, offset={"queue": number, "start": _FIRST})
        elif self._check(attached.status):
            self._positions.setdefault(number, attached.start_offset)
            self._send_commit(attached.binding, number)
            if self._queues is None:  # now their number is known
                self._queues = range(attached.queues)
                for other in self._queues[1:]:
                    self._attach(other, offset=self._from(other))

    def _on_detached(self, number, detached):
        del self._bindings[detached.binding]
        if detached.status.code == Code["ILLEGAL_OFFSET"]:
            self._attach(number, offset={"queue": number, "start": _FIRST})
        else:
            self._check(detached.status)

    def _on_taken(self, message):
        self._positions[message.queue] = message.offset + 1

    def _on_emptied(self, frame):
        number = self._bindings.get(frame.binding)
        if number is not None:
            self._positions[number] = max(frame.next_offset, self._positions.get(number, 0))
            self.lags[number] = frame.max_offset - frame.next_offset


class GroupConsumer(_Consumer):
    """A member of a group: each message comes to one member, with a lease. One that is not settled
    before its lease or the stream ends comes again, to any member. `filter` and `sql` are as of
    PullConsumer; all members have the same."""

    def __init__(self, endpoint, group, topic, *, filter=None, sql=None, invisible=30,
                 max_unsettled=1000, credit_bytes=4 << 20, **connection):
        super().__init__(endpoint, topic, group, (filter, sql), credit_bytes, connection)
        self._mode = {"invisible_ms": int(invisible * 1000), "max_unsettled": max_unsettled}
        self._verdicts = []  # to be sent
        self._extensions = {}  # answers, by queue and offset
        self.late = 0  # verdicts that came after the end of their lease
        self._thread.start()

    def ack(self, *messages):
        """Done. Not waited for; False: the stream of one is gone, so that it comes again."""
        return self._settle(_ACK, messages, 0)

    def retry(self, *messages, delay=0):
        """To be delivered again in `delay` seconds, which counts as a failed attempt."""
        return self._settle(_RETRY, messages, delay)

    def release(self, *messages, delay=0):
        """Given back unconsumed; the attempt does not count."""
        return self._settle(_RELEASE, messages, delay)

    def extend(self, message, seconds, timeout=10):
        """The lease begins anew and ends in `seconds`. Raises Refused when it had ended."""
        key = (message.queue, message.offset)
        with self._changed:
            self._extensions[key] = None
            try:
                if not self._settle(_EXTEND, [message], seconds):
                    raise DunlinError("the lease ended with its stream")
                self._wait_for(lambda: self._extensions[key] or self._stream is not message.stream,
                               time.monotonic() + timeout, "extend")
                settled = self._extensions[key]
            finally:
                del self._extensions[key]
        if settled is None:
            raise DunlinError("the lease ended with its stream")
        if settled.status.code != Code["OK"]:
            raise Refused(settled.status)
        message.lease = settled.lease

    def _settle(self, outcome, messages, delay):
        with self._changed:
            live = [message for message in messages if message.stream is self._stream]
            if live and not self._verdicts:
                self._stream.send_later(lambda stream=self._stream: self._settlement(stream))
            self._verdicts += [
                {"queue": message.queue, "queue_offset": message.offset, "lease": message.lease,
                 "outcome": outcome, "delay_ms": int(delay * 1000)} for message in live]
            return len(live) == len(messages)

    def _settlement(self, stream):
        """All verdicts since the last time; when a turn comes there may be many."""
        verdicts = []
        with self._changed:
            if stream is self._stream:
                verdicts, self._verdicts = self._verdicts, []
        return SubscribeRequest(settle={"binding": 1, "verdicts": verdicts})

    def _on_broken(self):
        super()._on_broken()
        self._verdicts = []

    def _on_opened(self):
        self._attach(None, group=self._mode)

    def _on_settled(self, settled):
        key = (settled.queue, settled.queue_offset)
        if key in self._extensions:
            self._extensions[key] = settled
        else:
            self.late += 1
