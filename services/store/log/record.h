// The frame around everything in the commit log: kinds, header, encoding.
// docs/formats/commit_log.md specifies it byte by byte; this header is its other half.

#pragma once

#include <cstdint>
#include <string_view>

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

// Numbers are on disk and never reused.
enum class RecordKind : uint8_t {
  kMessage = 1,     // a serialised apache.rocketmq.v2.Message
  kResolution = 2,  // storage.v1.Delivery: a transaction was committed, or rolled back
  kDelivery = 3,    // storage.v1.Delivery: an earlier message now stands in this queue too
  kProgress = 4,    // storage.v1.ProgressChanges
  kConfig = 5,      // storage.v1.ConfigChange
  kSnapshot = 6,    // storage.v1.SnapshotPart
  kPadding = 7,     // the rest of the segment is unused
  kProducer = 8,    // storage.v1.ProducerRun: whose the next messages are
  kRecall = 9,      // storage.v1.Recall: a parked message is not to be delivered
  kCheck = 10,      // storage.v1.TransactionChecks: producers were asked, or are to be
  // No payload: what stands in the record's queue before its queue offset is not served any more.
  kTrim = 20,
  kCompaction =
      21,  // storage.v1.Compaction: messages of the record's queue that newer ones replace
};

// Bits of RecordHeader::flags.
inline constexpr uint8_t kFlagGzip = 1 << 0;       // the body is compressed (Encoding GZIP)
inline constexpr uint8_t kFlagRelocated = 1 << 1;  // a message moved ahead of retention: takes the
                                                   // place its queue offset already has
// A message that stands in no queue before its time; in place of the queue offset the header has
// the due time, ms since 1970. A DELIVERY with it is such a message moved ahead of retention.
inline constexpr uint8_t kFlagParked = 1 << 2;
// A DELIVERY: the time of a parked message has come. A RESOLUTION: the transaction was committed.
inline constexpr uint8_t kFlagDue = 1 << 3;
// A half message: it stands in no queue before its transaction is committed; in place of the queue
// offset the header has the time of the first check. A DELIVERY with it is one moved ahead of
// retention.
inline constexpr uint8_t kFlagPrepared = 1 << 4;
// A DELIVERY: the newest message of a key in a compacted topic, moved ahead of retention.
inline constexpr uint8_t kFlagKept = 1 << 6;

// In memory as decoded; on disk little-endian at these offsets:
//   0 length u32, 4 crc u32, 8 kind u8, 9 flags u8, 10 reserved u16 (0), 12 epoch u32,
//   16 log_offset u64, 24 topic u32, 28 queue u32, 32 queue_offset u64, 40 store_time_ms i64,
//   48 unflushed u32, 52 properties_offset u32, 56 payload.
struct RecordHeader {
  uint32_t length = 0;  // header and payload, without the padding to 8 bytes
  uint32_t crc = 0;     // CRC-32C of bytes 8 .. length
  RecordKind kind = RecordKind::kPadding;
  uint8_t flags = 0;
  Epoch epoch;
  LogOffset log_offset;  // where the record itself stands: unmasks stale blocks
  QueueKey queue;        // zero for records that stand in no queue
  QueueOffset queue_offset;
  Timestamp store_time;
  // (log_offset - flushed offset when the record was made) / 8, saturating. A valid record so
  // proves that everything below log_offset - 8 * unflushed was on disk before it: a hole there is
  // damage, not a torn tail.
  uint32_t unflushed = 0;
  // Of a message: where in the payload its system_properties field begins.
  uint32_t properties_offset = 0;
};

inline constexpr uint32_t kRecordHeaderSize = 56;
inline constexpr uint32_t kRecordAlignment = 8;
// Body (4 MiB) and properties with room to spare; a larger length is never read as one.
inline constexpr uint32_t kMaxRecordLength = 64u << 20;

}  // namespace dunlin::store
