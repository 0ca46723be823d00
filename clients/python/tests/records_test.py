"""Records on bytes alone: what the format says is decoded, what does not fit is noticed."""

import gzip
import random
import struct
import unittest

from dunlin import CorruptRecord, _records
from dunlin._records import crc32c, crc32c_in_python, decode
from dunlin._stream import Payload


def record(body=b"body", queue=3, offset=7, kind=1, system=None):
    payload = Payload(body=body, system_properties=system).SerializeToString()
    rest = struct.pack("<BBHIQIIQQII", kind, 0, 0, 1, 4096, 5, queue, offset, 1700000000000, 0, 0)
    rest += payload
    whole = struct.pack("<II", len(rest) + 8, crc32c(rest)) + rest
    return whole + bytes(-len(whole) % 8)


# The frame of docs/streams.md: what a server sent.
FROM_A_SERVER = """
    53 00 00 00 68 0f 6c 08 01 00 00 00 01 00 00 00 20 ec 99 00 00 00 00 00 3f 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 89 de 20 ff a1 01 00 00 09 00 00 00 13 00 00 00 0a 00 12 06 0a 01 61 12
    01 31 22 07 67 72 c3 bc c3 9f 65 1a 06 0a 01 74 12 01 6b 00 00 00 00 00 41 00 00 00 0b e5 be 9c
    01 00 00 00 01 00 00 00 88 ef 99 00 00 00 00 00 3f 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
    7e e0 20 ff a1 01 00 00 09 00 00 00 07 00 00 00 0a 00 22 03 74 77 6f 1a 00 00 00 00 00 00 00 00
"""


class RecordsTest(unittest.TestCase):
    def test_a_frame_of_a_server(self):
        one, two = decode(bytes.fromhex(FROM_A_SERVER), "hello")
        self.assertEqual((one.body.decode(), one.tag, one.keys, one.properties),
                         ("grüße", "t", ["k"], {"a": "1"}))
        self.assertEqual((one.queue, one.offset, one.message_id, one.stored_at_ms),
                         (0, 0, "0000003F000000000000000000000000", 0x1A1FF20DE89))
        self.assertEqual((two.body, two.offset, two.tag, two.keys), (b"two", 1, None, []))

    def test_crc_32c_has_its_check_values(self):
        self.assertEqual(crc32c_in_python(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c_in_python(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c_in_python(b""), 0)
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_records_one_behind_the_other(self):
        bodies = [bytes(range(size)) for size in range(1, 40)]
        got = list(decode(b"".join(record(body, offset=number)
                                   for number, body in enumerate(bodies)), "topic"))
        self.assertEqual([message.body for message in got], bodies)
        self.assertEqual([message.offset for message in got], list(range(39)))
        self.assertEqual(got[1].message_id, "00000005" "00000003" "0000000000000001")
        self.assertEqual(got[0].stored_at_ms, 1700000000000)

    def test_a_packed_body_is_unpacked(self):
        packed = gzip.compress(b"much" * 1000)
        got = list(decode(record(packed, system={"body_encoding": 2}), "topic"))
        self.assertEqual(got[0].body, b"much" * 1000)

    def test_what_a_message_is_besides_normal_is_shown(self):
        got = next(decode(record(system={
            "message_group": "g", "priority": 0,
            "delivery_timestamp": {"seconds": 7, "nanos": 8000000}}), "topic"))
        self.assertEqual((got.message_group, got.priority, got.deliver_at_ms), ("g", 0, 7008))
        got = next(decode(record(), "topic"))
        self.assertEqual((got.message_group, got.priority, got.deliver_at_ms), (None,) * 3)

    def test_every_flipped_bit_is_noticed(self):
        whole = record(b"\x00\xffbody")
        length = struct.unpack_from("<I", whole)[0]
        for bit in range(8 * length):
            wrong = bytearray(whole)
            wrong[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(CorruptRecord, msg=f"bit {bit}"):
                list(decode(bytes(wrong), "topic"))

    def test_a_record_that_is_cut_off_is_noticed(self):
        whole = record() + record(offset=8)
        length = struct.unpack_from("<I", whole)[0]
        ends = [*range(1, length), *range(len(record()) + 1, len(record()) + length)]
        for end in ends:
            with self.assertRaises(CorruptRecord, msg=f"{end} bytes"):
                list(decode(whole[:end], "topic"))

    def test_another_kind_of_record_is_noticed(self):
        with self.assertRaises(CorruptRecord):
            list(decode(record(kind=5), "topic"))

    def test_both_ways_to_a_crc_agree(self):
        seed = random.randrange(1 << 32)
        rest = random.Random(seed)
        for size in (0, 1, 2, 3, 255, 256, 257):
            data = rest.randbytes(size)
            slow = 0xFFFFFFFF
            for byte in data:
                slow = _records._ONE[(slow ^ byte) & 255] ^ slow >> 8
            self.assertEqual(crc32c_in_python(data), slow ^ 0xFFFFFFFF, f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
