// WireWriter: appends protobuf fields to a string; the counterpart of WireReader.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {

// A tag (of a number below 16: one byte) and a length.
inline constexpr size_t kMaxPrefixSize = 11;

inline size_t WriteVarint(uint64_t value, char* to) {
  size_t size = 0;
  for (; value >= 0x80; value >>= 7) to[size++] = static_cast<char>(value | 0x80);
  to[size++] = static_cast<char>(value);
  return size;
}

constexpr size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// Tag and length of field `number` with `length` bytes; returns how many bytes that took.
// REQUIRES: number < 16, room for kMaxPrefixSize bytes.
inline size_t WritePrefix(uint32_t number, size_t length, char* to) {
  to[0] = static_cast<char>((number << 3) | static_cast<uint32_t>(WireType::kBytes));
  return 1 + WriteVarint(length, to + 1);
}

class WireWriter {
 public:
  explicit WireWriter(std::string& to) : to_(to) {}

  // Signed numbers as proto's int32 and int64 have them: ten bytes when negative.
  void Int(uint32_t number, int64_t value) {
    Tag(number, WireType::kVarint);
    Varint(static_cast<uint64_t>(value));
  }
  void Bytes(uint32_t number, std::string_view bytes) {
    Prefix(number, bytes.size());
    to_.append(bytes);
  }
  // What Bytes writes before the bytes.
  void Prefix(uint32_t number, size_t length) {
    Tag(number, WireType::kBytes);
    Varint(length);
  }

 private:
  void Tag(uint32_t number, WireType type) {
    Varint((uint64_t{number} << 3) | static_cast<uint64_t>(type));
  }
  void Varint(uint64_t value) {
    char bytes[10];
    to_.append(bytes, WriteVarint(value, bytes));
  }

  std::string& to_;
};

}  // namespace dunlin::broker
