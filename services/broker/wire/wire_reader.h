// WireReader: walks the fields of one serialised protobuf message without parsing it.
//
// Safe on any bytes: nothing outside the view is read, and every loop is bounded by its length.
// Views it gives are views into the bytes it was made from.

#pragma once

#include <cstdint>
#include <string_view>

namespace dunlin::broker {

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,  // a length and so many bytes: strings, bytes, messages
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t varint = 0;     // of kVarint
  std::string_view bytes;  // of kBytes
  std::string_view whole;  // tag, length and all
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Reads the next field. False at the end and at the first malformed one; ok() says which.
  bool Next(WireField& field) {
    if (at_ == end_) return false;
    const char* const start = at_;
    if (!ReadTag(field) || !ReadValue(field)) {
      ok_ = false;
      return false;
    }
    field.whole = {start, static_cast<size_t>(at_ - start)};
    return true;
  }

  // Nothing malformed was met so far.
  bool ok() const { return ok_; }

 private:
  static constexpr int kMaxGroupDepth = 64;

  bool ReadTag(WireField& field) {
    uint64_t tag = 0;
    if (!ReadVarint(tag) || tag > UINT32_MAX) return false;
    field.number = static_cast<uint32_t>(tag >> 3);
    field.type = static_cast<WireType>(tag & 7);
    return field.number != 0;
  }

  bool ReadVarint(uint64_t& value) {
    if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) {
      value = static_cast<unsigned char>(*at_++);
      return true;
    }
    return ReadLongVarint(value);
  }

  bool ReadLongVarint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && at_ != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool ReadValue(WireField& field) {
    switch (field.type) {
      case WireType::kVarint:
        return ReadVarint(field.varint);
      case WireType::kBytes: {
        uint64_t length = 0;
        if (!ReadVarint(length)) return false;
        field.bytes = {at_, length <= Left() ? static_cast<size_t>(length) : 0};
        return Skip(length);
      }
      case WireType::kFixed64:
        return Skip(8);
      case WireType::kFixed32:
        return Skip(4);
      case WireType::kStartGroup:
        return SkipGroup(field.number);
      default:
        return false;
    }
  }

  // Everything up to the end of the group; groups within it must end in order.
  bool SkipGroup(uint32_t number) {
    uint32_t open[kMaxGroupDepth];
    int depth = 0;
    open[depth++] = number;
    while (depth > 0) {
      WireField field;
      if (!ReadTag(field)) return false;
      if (field.type == WireType::kStartGroup) {
        if (depth == kMaxGroupDepth) return false;
        open[depth++] = field.number;
      } else if (field.type == WireType::kEndGroup) {
        if (open[--depth] != field.number) return false;
      } else if (!ReadValue(field)) {
        return false;
      }
    }
    return true;
  }

  bool Skip(uint64_t length) {
    if (length > Left()) return false;
    at_ += length;
    return true;
  }

  size_t Left() const { return static_cast<size_t>(end_ - at_); }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace dunlin::broker
