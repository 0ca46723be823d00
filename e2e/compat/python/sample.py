"""Message number i of the round trip, and the check that it came back as it was sent.

Everything but the random body follows from i, so a receiver can tell what it should have got.
The body's SHA-256 travels in a property.
"""

import hashlib
import os

from rocketmq import Message

LARGEST_BODY_BYTES = 4 << 20
MOST_PROPERTIES = 128
TAGS = ("plain", "étiquette", "标签")


def message(topic, i):
    result = Message()
    result.topic = topic
    result.body = os.urandom(body_bytes(i))
    result.tag = TAGS[i % len(TAGS)]
    for key in keys(i):
        result.keys = key  # the SDK's setter adds one key to a set
    for key, value in properties(i, sha256(result.body)).items():
        result.add_property(key, value)
    return result


def check(received):
    """Returns which message this is; raises when any part of it is not what was sent."""
    i = int(received.properties["index"])
    expect_equal(f"body size of {i}", body_bytes(i), len(received.body))
    expect_equal(f"properties of {i}", properties(i, sha256(received.body)),
                 dict(received.properties))
    expect_equal(f"tag of {i}", TAGS[i % len(TAGS)], received.tag)
    expect_equal(f"keys of {i}", set(keys(i)), set(received.keys))
    return i


def body_bytes(i):
    """Mostly small, with a tail: 1 in 10 is some KiB, 1 in 100 over 128 KiB, 1 in 1000 4 MiB."""
    if i % 1000 == 500:
        return LARGEST_BODY_BYTES
    if i % 100 == 50:
        return (128 << 10) + i
    if i % 10 == 5:
        return 4096 + i % 4096
    return 1 + i * 7919 % 1024


def keys(i):
    return [f"order-{i}", f"订单-{i}", f"part-{i % 10}"]


def properties(i, digest):
    result = {"index": str(i), "sha256": digest, "text": f"Grüße, 消息 🐦 {i}", "ключ": "значение"}
    if i % 500 == 7:
        for n in range(len(result), MOST_PROPERTIES):
            result[f"extra-{n}"] = f"value-{i}-{n}"
    return result


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def expect_equal(what, expected, actual):
    if expected != actual:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")
