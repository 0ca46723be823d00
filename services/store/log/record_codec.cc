#include "services/store/log/record_codec.h"

#include <fmt/format.h>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"

namespace dunlin::store {
namespace {

// Where the CRC begins: behind the length and itself.
constexpr size_t kCovered = 8;

absl::Status Wrong(const Expected& expected, std::string what) {
  return absl::DataLossError(
      fmt::format("no valid record at log offset {}: {}", expected.log_offset.value(), what));
}

void EncodeFields(const RecordHeader& header, char* to) {
  StoreLittle(to, header.length);
  StoreLittle(to + 8, static_cast<uint8_t>(header.kind));
  StoreLittle(to + 9, header.flags);
  StoreLittle(to + 10, uint16_t{0});
  StoreLittle(to + 12, header.epoch.value());
  StoreLittle(to + 16, header.log_offset.value());
  StoreLittle(to + 24, header.queue.topic.value());
  StoreLittle(to + 28, header.queue.queue);
  StoreLittle(to + 32, header.queue_offset.value());
  StoreLittle(to + 40, ToUnixMillis(header.store_time));
  StoreLittle(to + 48, header.unflushed);
  StoreLittle(to + 52, header.properties_offset);
}

enum class Crc { kIsChecked, kIsBelieved };

template <Crc kCrc>
absl::StatusOr<RecordHeader> Check(std::string_view bytes, const Expected& expected) {
  if (bytes.size() < kRecordHeaderSize) return Wrong(expected, "too few bytes for a header");
  const char* from = bytes.data();
  RecordHeader header;
  header.length = LoadLittle<uint32_t>(from);
  if (header.length < kRecordHeaderSize || header.length > bytes.size() ||
      header.length > kMaxRecordLength) {
    return Wrong(expected, fmt::format("a length of {}", header.length));
  }
  header.crc = LoadLittle<uint32_t>(from + 4);
  header.log_offset = LogOffset(LoadLittle<uint64_t>(from + 16));
  if (header.log_offset != expected.log_offset) {
    return Wrong(expected, fmt::format("it says it stands at {}", header.log_offset.value()));
  }
  header.epoch = Epoch(LoadLittle<uint32_t>(from + 12));
  if (expected.epoch.has_value() && header.epoch != *expected.epoch) {
    return Wrong(expected, fmt::format("it is of epoch {}, not {}", header.epoch.value(),
                                       expected.epoch->value()));
  }
  if constexpr (kCrc == Crc::kIsChecked) {
    const uint32_t crc = Crc32c({from + kCovered, header.length - kCovered});
    if (crc != header.crc) {
      return Wrong(expected,
                   fmt::format("its CRC is {:08x}, its bytes have {:08x}", header.crc, crc));
    }
  }
  header.kind = static_cast<RecordKind>(LoadLittle<uint8_t>(from + 8));
  header.flags = LoadLittle<uint8_t>(from + 9);
  header.queue.topic = TopicId(LoadLittle<uint32_t>(from + 24));
  header.queue.queue = LoadLittle<uint32_t>(from + 28);
  header.queue_offset = QueueOffset(LoadLittle<uint64_t>(from + 32));
  header.store_time = FromUnixMillis(LoadLittle<int64_t>(from + 40));
  header.unflushed = LoadLittle<uint32_t>(from + 48);
  header.properties_offset = LoadLittle<uint32_t>(from + 52);
  return header;
}

}  // namespace

uint64_t RecordSpace(uint64_t payload_size) {
  return RoundUp(kRecordHeaderSize + payload_size, kRecordAlignment);
}

void EncodeHeaderBeforePayload(const RecordHeader& header, char* to) {
  EncodeFields(header, to);
  StoreLittle(to + 4, Crc32c({to + kCovered, header.length - kCovered}));
}

void EncodeHeader(const RecordHeader& header, uint32_t payload_crc, char* to) {
  EncodeFields(header, to);
  const uint32_t header_crc = Crc32c({to + kCovered, kRecordHeaderSize - kCovered});
  const size_t payload_size = header.length - kRecordHeaderSize;
  StoreLittle(to + 4,
              payload_size == 0 ? header_crc : ConcatCrc32c(header_crc, payload_crc, payload_size));
}

bool MayBeRecord(std::string_view bytes, LogOffset log_offset) {
  return bytes.size() >= kRecordHeaderSize &&
         LoadLittle<uint64_t>(bytes.data() + 16) == log_offset.value() &&
         LoadLittle<uint32_t>(bytes.data()) >= kRecordHeaderSize;
}

absl::StatusOr<RecordHeader> CheckRecord(std::string_view bytes, const Expected& expected) {
  return Check<Crc::kIsChecked>(bytes, expected);
}

absl::StatusOr<RecordHeader> CheckHeader(std::string_view bytes, const Expected& expected) {
  return Check<Crc::kIsBelieved>(bytes, expected);
}

}  // namespace dunlin::store
