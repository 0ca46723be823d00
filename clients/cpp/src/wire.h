// Protobuf's wire format by hand: what is written and read for every message.
//
// The reader is safe on any bytes: nothing outside the view is read.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace dunlin::internal {

inline constexpr size_t kMaxVarint = 10;

inline size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

inline char* PutVarint(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

// Tag (one byte), length, bytes.
inline size_t BytesFieldSize(size_t length) { return 1 + VarintSize(length) + length; }
inline char* PutBytesField(char* to, char tag, std::string_view bytes) {
  *to++ = tag;
  to = PutVarint(to, bytes.size());
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

// Reads the varint at `at`, which moves behind it. False: there is none before `end`.
inline bool GetVarint(const char*& at, const char* end, uint64_t& value) {
  if (at != end && static_cast<unsigned char>(*at) < 0x80) {
    value = static_cast<unsigned char>(*at++);
    return true;
  }
  value = 0;
  for (int shift = 0; shift < 70 && at != end; shift += 7) {
    const auto byte = static_cast<unsigned char>(*at++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

struct WireField {
  uint32_t number = 0;
  uint64_t varint = 0;     // of a varint
  std::string_view bytes;  // of strings, bytes, messages
};

// Walks over the fields of one message.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // False at the end and at the first malformed field; ok() says which.
  bool Next(WireField& field) {
    if (at_ == end_) return false;
    uint64_t tag = 0;
    ok_ = GetVarint(at_, end_, tag) && tag <= UINT32_MAX && Value(tag & 7, field);
    field.number = static_cast<uint32_t>(tag >> 3);
    return ok_;
  }

  bool ok() const { return ok_; }

 private:
  bool Value(uint64_t type, WireField& field) {
    switch (type) {
      case 0:
        return GetVarint(at_, end_, field.varint);
      case 1:
        return Skip(8);
      case 2: {
        uint64_t length = 0;
        if (!GetVarint(at_, end_, length)) return false;
        field.bytes = {at_, static_cast<size_t>(length)};
        return Skip(length);
      }
      case 5:
        return Skip(4);
      default:
        return false;
    }
  }

  bool Skip(uint64_t length) {
    if (length > static_cast<size_t>(end_ - at_)) return false;
    at_ += length;
    return true;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace dunlin::internal
