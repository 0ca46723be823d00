"""Sends messages, each stored once however often the stream breaks."""

import collections
import random
import threading
import time
from dataclasses import dataclass
from typing import Optional

from ._records import crc32c, message_id
from ._stream import (PASSING, Code, Connection, DunlinError, Payload, PublishRequest,
                      PublishResponse, Refused)

_FRAME_BYTES = 128 << 10
_FRAME_MESSAGES = 65536
_OVERHEAD_BYTES = 64  # of a request, beside its messages
_AGAIN = {Code[name] for name in ("TOO_MANY_REQUESTS", "PRECONDITION_FAILED",
                                  "MASTER_PERSISTENCE_TIMEOUT")}


@dataclass(frozen=True)
class Receipt:
    topic: str
    queue: int
    # None of both when the answer was lost with a stream: the message is stored all the same. Nor
    # has a delayed message any before it is due.
    offset: Optional[int]
    message_id: Optional[str]


class _Item:
    """A message between send and answer."""

    def __init__(self, sequence, data, outcomes, index):
        self.sequence, self.data = sequence, data
        self.outcomes, self.index = outcomes, index
        self.frame = None  # it is on its way in: [bytes, messages without an answer]


class _Lane:
    """A queue of a topic. It outlives streams; its binding does not."""

    def __init__(self, topic, queue):
        self.topic, self.queue = topic, queue
        self.binding = None
        self.bound = False  # on this stream
        self.refusal = None
        self.queues = self.topic_id = 0
        self.next_sequence = None  # None until the server said what it knows
        self.pending = {}  # by sequence, ascending: everything without an answer
        self.unsent = collections.deque()
        self.in_flight = 0
        self.retry_ms = None  # not None: something is to be sent again, in so long


class Producer(Connection):
    """May be used by any number of threads. Messages of one call go to one queue, in order, but for
    those whose message group or priority says which."""

    def __init__(self, endpoint, producer_id=None, **connection):
        """`producer_id`: not 0 and nobody else's, by default a random one."""
        super().__init__(endpoint, "Publish", PublishRequest, PublishResponse, **connection)
        self.producer_id = producer_id or random.SystemRandom().randrange(1, 1 << 64)
        self._lanes = {}  # by topic and queue
        self._bindings = {}
        self._turns = collections.Counter()
        self._credit = self._max_request = self._in_flight = 0  # bytes
        self._held_until = 0  # nothing is sent before
        self._thread.start()

    def send(self, topic, body, tag=None, keys=(), properties=None, *, message_group=None,
             deliver_at=None, priority=None, queue=None, timeout=30):
        """At most one of these makes the message another than a NORMAL one, which its topic must
        take. `message_group`: delivered one after the other to groups that consume in order.
        `deliver_at`: a datetime, not delivered before. `priority`: 0 or more, the higher the
        earlier. The first and the last choose the queue."""
        message = {"body": body, "tag": tag, "keys": keys, "properties": properties,
                   "message_group": message_group, "deliver_at": deliver_at, "priority": priority}
        return self.send_many(topic, [message], queue=queue, timeout=timeout)[0]

    def send_many(self, topic, messages, *, queue=None, timeout=30):
        """Sends bodies, or dicts with `body` and any other argument that makes a message in `send`;
        returns a Receipt for each. When some are refused, raises the first Refused, whose
        `outcomes` has a Receipt or a Refused for each. After a TimeoutError they may still be
        stored."""
        deadline = time.monotonic() + timeout
        messages = [message if isinstance(message, dict) else {"body": message}
                    for message in messages]
        datas = [_serialise(**message) for message in messages]
        outcomes = [None] * len(datas)
        with self._changed:
            lanes = self._choose_lanes(topic, messages, queue, deadline)
            if max(map(len, datas), default=0) + _OVERHEAD_BYTES > self._max_request:
                raise DunlinError(f"a message is larger than {self._max_request} bytes")
            for index, (lane, data) in enumerate(zip(lanes, datas)):
                item = _Item(lane.next_sequence, data, outcomes, index)
                lane.next_sequence += 1
                lane.pending[item.sequence] = item
                lane.unsent.append(item)
            for lane in dict.fromkeys(lanes):
                self._pump(lane)
            self._wait_for(lambda: None not in outcomes[-1:] + outcomes, deadline,
                           f"{len(datas)} messages to {topic}")
        refused = next((outcome for outcome in outcomes if isinstance(outcome, Refused)), None)
        if refused:
            refused.outcomes = outcomes
            raise refused
        return outcomes

    # Everything below with _changed held.

    def _choose_lanes(self, topic, messages, queue, deadline):
        """One for each message. All of them are bound before a message has a sequence."""
        chosen = [_queue_of(message) for message in messages]
        if queue is not None and any(chosen):
            raise ValueError("a message group, or a priority, chooses the queue: name none")
        queues = 1
        if queue is None:
            queues = self._lane(topic, 0, deadline).queues
        if queue is None and not all(chosen):
            queue = self._turns[topic] % queues
            self._turns[topic] += 1
        numbers = [choose(queues) if choose else queue for choose in chosen]
        lanes = {number: self._lane(topic, number, deadline) for number in dict.fromkeys(numbers)}
        return [lanes[number] for number in numbers]

    def _lane(self, topic, queue, deadline):
        lane = self._lanes.get((topic, queue))
        if lane is None:
            lane = self._lanes[topic, queue] = _Lane(topic, queue)
            self._bind(lane)
        self._wait_for(lambda: lane.next_sequence is not None or lane.refusal, deadline,
                       f"queue {queue} of {topic}")
        if lane.refusal:
            raise lane.refusal
        return lane

    def _bind(self, lane):
        if self._stream:
            lane.binding = len(self._bindings) + 1
            self._bindings[lane.binding] = lane
            first = next(iter(lane.pending), lane.next_sequence)
            self._stream.send(bind={"binding": lane.binding, "topic": self._resource(lane.topic),
                                    "queue": lane.queue, "next_sequence": first or 0})

    def _open_request(self):
        return {"producer_id": self.producer_id}

    def _on_response(self, response):
        if response.HasField("opened"):
            self._credit = response.opened.credit_bytes
            self._max_request = response.opened.max_request_bytes
            for lane in self._lanes.values():
                self._bind(lane)
        for bound in response.bound:
            self._on_bound(self._bindings[bound.binding], bound)
        for ack in response.acks:
            self._on_ack(self._bindings[ack.binding], ack)
        for error in response.errors:
            self._on_error(self._bindings[error.binding], error)
        for lane in list(self._lanes.values()):
            self._pump(lane)

    def _on_bound(self, lane, bound):
        if bound.status.code in PASSING:
            self._break()
            return
        if bound.status.code != Code["OK"]:
            lane.refusal = Refused(bound.status)
            self._lanes.pop((lane.topic, lane.queue), None)
            for sequence in list(lane.pending):
                self._answer(lane, sequence, Refused(bound.status))
            return
        lane.bound, lane.queues, lane.topic_id = True, bound.queues, bound.topic_id
        if lane.next_sequence is None:
            lane.next_sequence = bound.last_sequence + 1
        for sequence in [number for number in lane.pending if number <= bound.last_sequence]:
            self._answer(lane, sequence, Receipt(lane.topic, lane.queue, None, None))
        lane.unsent = collections.deque(lane.pending.values())

    def _on_ack(self, lane, ack):
        for number in range(ack.count):
            receipt = Receipt(lane.topic, lane.queue, None, None)
            if ack.first_offset >= 0:
                offset = ack.first_offset + number
                receipt = Receipt(lane.topic, lane.queue, offset,
                                  message_id(lane.topic_id, lane.queue, offset))
            self._answer(lane, ack.first_sequence + number, receipt)

    def _on_error(self, lane, error):
        sequences = range(error.first_sequence, error.first_sequence + error.count)
        if error.status.code not in _AGAIN:
            for sequence in sequences:
                self._answer(lane, sequence, Refused(error.status))
            return
        lane.retry_ms = max(lane.retry_ms or 0, error.retry_after_ms)
        if error.status.code == Code["TOO_MANY_REQUESTS"]:
            # The broker has too much to do, whatever the queue; _again goes on with all lanes.
            self._held_until = max(self._held_until,
                                   time.monotonic() + error.retry_after_ms / 1000)
        for sequence in sequences:
            if sequence in lane.pending:
                self._landed(lane, lane.pending[sequence])
        if (error.status.code == Code["PRECONDITION_FAILED"]
                and error.first_sequence == next(iter(lane.pending), None)):
            self._break()  # nothing of ours is missing before it: ask what the server knows

    def _answer(self, lane, sequence, outcome):
        item = lane.pending.pop(sequence, None)
        if item:
            self._landed(lane, item)
            item.outcomes[item.index] = outcome

    def _landed(self, lane, item):
        if item.frame:
            lane.in_flight -= 1
            item.frame[1] -= 1
            if item.frame[1] == 0:
                self._in_flight -= item.frame[0]
            item.frame = None

    def _on_broken(self):
        self._bindings, self._in_flight, self._held_until = {}, 0, 0
        for lane in self._lanes.values():
            lane.bound, lane.in_flight, lane.retry_ms = False, 0, None
            for item in lane.pending.values():
                item.frame = None

    def _pump(self, lane):
        """Sends what may be sent now."""
        if not self._stream:
            return
        if lane.retry_ms is not None:
            # What was on its way behind the refused one is refused too: wait for these answers.
            if lane.in_flight == 0 and lane.retry_ms >= 0:
                timer = threading.Timer(lane.retry_ms / 1000, self._again, [lane, self._stream])
                timer.daemon, lane.retry_ms = True, -1
                timer.start()
            return
        if time.monotonic() < self._held_until:
            return
        while lane.bound and lane.unsent and self._pump_frame(lane):
            pass

    def _again(self, lane, stream):
        with self._changed:
            if self._stream is stream and lane.bound:
                lane.retry_ms, lane.unsent = None, collections.deque(lane.pending.values())
                for other in list(self._lanes.values()):
                    self._pump(other)

    def _pump_frame(self, lane):
        """False: there is not enough credit left."""
        items, size = [], _OVERHEAD_BYTES
        for item in lane.unsent:
            more = len(item.data) + 6
            if items and (size + more > _FRAME_BYTES or len(items) == _FRAME_MESSAGES):
                break
            items.append(item)
            size += more
        if self._in_flight and self._in_flight + size > self._credit:
            return False
        request = PublishRequest(frame={"binding": lane.binding,
                                        "first_sequence": items[0].sequence,
                                        "messages": [item.data for item in items]})
        frame = [request.ByteSize(), len(items)]
        for item in items:
            lane.unsent.popleft()
            item.frame = frame
        lane.in_flight += len(items)
        self._in_flight += frame[0]
        self._stream.send_later(lambda: request)
        return True


def _queue_of(message):
    """How the message itself chooses among so many queues, as the server does; None: it does not."""
    group, priority = message.get("message_group"), message.get("priority")
    if sum(message.get(kind) is not None
           for kind in ("message_group", "deliver_at", "priority")) > 1:
        raise ValueError("a message has a message group, a delivery time or a priority, not two")
    if group is not None:
        return lambda queues: crc32c(group.encode()) % queues
    if priority is not None:
        if priority < 0:
            raise ValueError(f"a priority of {priority}; they begin at 0")
        return lambda queues: min(priority, queues - 1)
    return None


def _serialise(body, tag=None, keys=(), properties=None, message_group=None, deliver_at=None,
               priority=None):
    """In the order that the server takes in most cheaply, which is not that of the numbers."""
    system = Payload()
    system.system_properties.born_timestamp.GetCurrentTime()
    system.system_properties.keys.extend([keys] if isinstance(keys, str) else keys)
    if tag is not None:
        system.system_properties.tag = tag
    if message_group is not None:
        system.system_properties.message_group = message_group
    if deliver_at is not None:
        system.system_properties.delivery_timestamp.FromMilliseconds(
            round(deliver_at.timestamp() * 1000))
    if priority is not None:
        system.system_properties.priority = priority
    body = body.encode() if isinstance(body, str) else bytes(body)
    return (Payload(user_properties=properties or {}).SerializeToString()
            + Payload(body=body).SerializeToString() + system.SerializeToString())
