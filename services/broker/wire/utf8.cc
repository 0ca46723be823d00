#include "services/broker/wire/utf8.h"

#include <cstdint>
#include <cstring>

namespace dunlin::broker {
namespace {

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the sequence that begins at `at` and is not ASCII; 0 when it is not well-formed. The
// range of the second byte is what excludes longer forms than needed, surrogates and what is beyond
// U+10FFFF (Unicode, table 3-7).
size_t SequenceLength(const unsigned char* at, size_t left) {
  const unsigned char lead = at[0];
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  if (length == 0 || left < length || at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!IsContinuation(at[i])) return 0;
  }
  return length;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  while (left > 0) {
    if (left >= sizeof(uint64_t)) {
      uint64_t eight;
      std::memcpy(&eight, at, sizeof(eight));
      if ((eight & 0x8080808080808080) == 0) {
        at += sizeof(eight);
        left -= sizeof(eight);
        continue;
      }
    }
    const size_t length = *at < 0x80 ? 1 : SequenceLength(at, left);
    if (length == 0) return false;
    at += length;
    left -= length;
  }
  return true;
}

}  // namespace dunlin::broker
