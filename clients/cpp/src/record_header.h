// The header of a record of the commit log (docs/formats/commit_log.md), as it comes in frames.

#pragma once

#include <cstdint>
#include <cstring>

namespace dunlin::internal {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

inline constexpr uint32_t kRecordHeaderSize = 56;
inline constexpr uint32_t kRecordAlignment = 8;
inline constexpr uint32_t kRecordCrcBegin = 8;  // of what the CRC covers
inline constexpr uint8_t kRecordOfMessage = 1;
inline constexpr uint8_t kRecordCompressed = 1;

template <typename Integer>
Integer LoadLittleEndian(const char* at) {
  Integer value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

inline uint32_t RecordLength(const char* record) { return LoadLittleEndian<uint32_t>(record); }
inline uint32_t RecordCrc(const char* record) { return LoadLittleEndian<uint32_t>(record + 4); }
inline uint8_t RecordKind(const char* record) { return static_cast<uint8_t>(record[8]); }
inline uint8_t RecordFlags(const char* record) { return static_cast<uint8_t>(record[9]); }
inline uint32_t RecordQueue(const char* record) { return LoadLittleEndian<uint32_t>(record + 28); }
inline uint64_t RecordOffset(const char* record) { return LoadLittleEndian<uint64_t>(record + 32); }
inline int64_t RecordStoreTimeMs(const char* record) {
  return LoadLittleEndian<int64_t>(record + 40);
}
inline uint32_t RecordPropertiesOffset(const char* record) {
  return LoadLittleEndian<uint32_t>(record + 52);
}

}  // namespace dunlin::internal
