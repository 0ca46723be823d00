"""Client of Dunlin's streams; docs/streams.md describes what goes over the wire."""

from ._consumer import GroupConsumer, PullConsumer
from ._producer import Producer, Receipt
from ._records import CorruptRecord, Message
from ._stream import DunlinError, Refused

__all__ = ["CorruptRecord", "DunlinError", "GroupConsumer", "Message", "Producer", "PullConsumer",
           "Receipt", "Refused"]
