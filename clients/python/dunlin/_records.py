"""Records of the commit log (docs/formats/commit_log.md), as frames carry them."""

import array
import gzip
import struct
import sys
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ._stream import DunlinError, Payload

_HEADER = struct.Struct("<IIBBHIQIIQQII")
_KIND_MESSAGE = 1
_GZIP = 2


def _tables():
    """Of CRC-32C, for one byte and for two."""
    one = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        one.append(value)
    two = [one[one[low] & 255 ^ high] ^ one[low] >> 8 for high in range(256) for low in range(256)]
    return one, two


_ONE, _TWO = _tables()


def crc32c_in_python(data):
    view = memoryview(data)
    pairs = array.array("H", view[:len(view) & ~1].tobytes())
    if sys.byteorder == "big":
        pairs.byteswap()
    crc, table = 0xFFFFFFFF, _TWO
    for pair in pairs:
        crc = table[crc & 0xFFFF ^ pair] ^ crc >> 16
    if len(view) & 1:
        crc = _ONE[crc & 255 ^ view[-1]] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


try:
    from google_crc32c import value as _fast

    def crc32c(data):
        return _fast(bytes(data))
except ImportError:
    crc32c = crc32c_in_python


class CorruptRecord(DunlinError):
    """What came is not what was stored. Receiving it again may help."""


@dataclass
class Message:
    topic: str
    queue: int
    offset: int
    message_id: str
    body: bytes
    tag: Optional[str] = None
    keys: List[str] = field(default_factory=list)
    properties: Dict[str, str] = field(default_factory=dict)
    stored_at_ms: int = 0
    born_at_ms: Optional[int] = None
    message_group: Optional[str] = None
    deliver_at_ms: Optional[int] = None
    priority: Optional[int] = None
    attempt: int = 1
    lease: Optional[int] = None
    stream: object = field(default=None, repr=False, compare=False)


def message_id(topic_id, queue, offset):
    """Of a message that was sent without one."""
    return f"{topic_id:08X}{queue:08X}{offset:016X}"


def _milliseconds(system, name):
    return getattr(system, name).ToMilliseconds() if system.HasField(name) else None


def decode(records, topic):
    """The messages of a frame, one after the other."""
    view, at = memoryview(records), 0
    while at < len(view):
        if len(view) - at < _HEADER.size:
            raise CorruptRecord(f"{len(view) - at} bytes are left, too few for a header")
        (length, crc, kind, _, _, _, _, topic_id, queue, offset, stored_at_ms, _,
         _) = _HEADER.unpack_from(view, at)
        if not _HEADER.size <= length <= len(view) - at:
            raise CorruptRecord(f"a length of {length}, with {len(view) - at} bytes left")
        if crc32c(view[at + 8:at + length]) != crc:
            raise CorruptRecord(f"the CRC of queue {queue}, offset {offset} is wrong")
        if kind != _KIND_MESSAGE:
            raise CorruptRecord(f"queue {queue}, offset {offset} has kind {kind}")
        payload = Payload.FromString(view[at + _HEADER.size:at + length].tobytes())
        system = payload.system_properties
        packed = system.body_encoding == _GZIP
        yield Message(
            topic=topic, queue=queue, offset=offset,
            message_id=system.message_id or message_id(topic_id, queue, offset),
            body=gzip.decompress(payload.body) if packed else payload.body,
            tag=system.tag if system.HasField("tag") else None, keys=list(system.keys),
            properties=dict(payload.user_properties), stored_at_ms=stored_at_ms,
            born_at_ms=_milliseconds(system, "born_timestamp"),
            message_group=system.message_group if system.HasField("message_group") else None,
            deliver_at_ms=_milliseconds(system, "delivery_timestamp"),
            priority=system.priority if system.HasField("priority") else None)
        at += -(-length // 8) * 8
