#include "services/store/index/chunk_codec.h"

#include <algorithm>
#include <cstdint>

#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/base/crc32c.h"

namespace dunlin::store {
namespace {

// Largest log offset u64, number of entries u8; CRC-32C u32 of all before it.
constexpr size_t kHeadSize = 9;
constexpr size_t kCrcSize = 4;
// One byte of bits, a varint of at most 10 bytes, one of at most 5, a u32.
constexpr size_t kMaxEntrySize = 20;
constexpr uint64_t kRecordAlignment = 8;

// An entry is as its predecessor lets expect but for what these bits announce.
constexpr uint8_t kOtherPlace = 1;   // it does not stand right behind the one before
constexpr uint8_t kOtherLength = 2;  // than the one before
constexpr uint8_t kOtherTag = 4;     // than the one before

char* WriteVarint(uint64_t value, char* to) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

bool ReadVarint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Small numbers of either sign become small ones without.
constexpr uint64_t ZigZag(uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
constexpr uint64_t UnZigZag(uint64_t value) { return (value >> 1) ^ (0 - (value & 1)); }

uint64_t PlaceBehind(const IndexEntry& entry) {
  return entry.log_offset.value() + RoundUp(entry.length, kRecordAlignment);
}

bool ReadEntry(std::string_view& bytes, IndexEntry& entry) {
  if (bytes.empty()) return false;
  const auto bits = static_cast<uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  if (bits > (kOtherPlace | kOtherLength | kOtherTag)) return false;
  uint64_t place = PlaceBehind(entry);
  uint64_t number = 0;
  if ((bits & kOtherPlace) != 0) {
    if (!ReadVarint(bytes, number)) return false;
    place += UnZigZag(number);
  }
  entry.log_offset = LogOffset(place);
  if ((bits & kOtherLength) != 0) {
    if (!ReadVarint(bytes, number) || number > UINT32_MAX) return false;
    entry.length = static_cast<uint32_t>(number);
  }
  if ((bits & kOtherTag) != 0) {
    if (bytes.size() < 4) return false;
    entry.tag_hash = LoadLittle<uint32_t>(bytes.data());
    bytes.remove_prefix(4);
  }
  return true;
}

}  // namespace

std::string EncodeChunk(const std::vector<IndexEntry>& entries) {
  CHECK(entries.size() <= kChunkEntries);
  std::string bytes(kHeadSize + entries.size() * kMaxEntrySize + kCrcSize, '\0');
  LogOffset newest;
  IndexEntry before;
  char* to = bytes.data() + kHeadSize;
  for (const IndexEntry& entry : entries) {
    newest = std::max(newest, entry.log_offset);
    char& bits = *to++;
    if (const uint64_t distance = entry.log_offset.value() - PlaceBehind(before); distance != 0) {
      bits |= kOtherPlace;
      to = WriteVarint(ZigZag(distance), to);
    }
    if (entry.length != before.length) {
      bits |= kOtherLength;
      to = WriteVarint(entry.length, to);
    }
    if (entry.tag_hash != before.tag_hash) {
      bits |= kOtherTag;
      StoreLittle(to, entry.tag_hash);
      to += 4;
    }
    before = entry;
  }
  StoreLittle(bytes.data(), newest.value());
  bytes[8] = static_cast<char>(entries.size());
  StoreLittle(to, Crc32c({bytes.data(), static_cast<size_t>(to - bytes.data())}));
  bytes.resize(static_cast<size_t>(to - bytes.data()) + kCrcSize);
  return bytes;
}

absl::StatusOr<std::vector<IndexEntry>> DecodeChunk(std::string_view bytes) {
  const absl::Status wrong = absl::DataLossError("not a chunk of the queue index");
  if (bytes.size() < kHeadSize + kCrcSize) return wrong;
  const std::string_view sealed = bytes.substr(0, bytes.size() - kCrcSize);
  if (Crc32c(sealed) != LoadLittle<uint32_t>(sealed.data() + sealed.size())) return wrong;
  const auto count = static_cast<uint8_t>(bytes[8]);
  if (count > kChunkEntries) return wrong;
  std::vector<IndexEntry> entries;
  entries.reserve(count);
  IndexEntry entry;
  std::string_view rest = sealed.substr(kHeadSize);
  for (size_t i = 0; i < count; ++i) {
    if (!ReadEntry(rest, entry)) return wrong;
    entries.push_back(entry);
  }
  if (!rest.empty()) return wrong;
  return entries;
}

}  // namespace dunlin::store
