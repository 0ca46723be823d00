#include "services/broker/admission/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace dunlin::broker {
namespace {

constexpr size_t kShownBytes = 64;

unsigned char ByteAt(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// The character that begins at `at`, which is moved behind it. REQUIRES: at < text.size().
uint32_t NextCharacter(std::string_view text, size_t& at) {
  const unsigned char lead = ByteAt(text, at++);
  if (lead < 0x80) return lead;
  uint32_t character = lead < 0xe0 ? lead & 0x1f : lead < 0xf0 ? lead & 0x0f : lead & 0x07;
  while (at < text.size() && IsContinuation(ByteAt(text, at))) {
    character = (character << 6) | (ByteAt(text, at++) & 0x3f);
  }
  return character;
}

bool IsWhitespace(uint32_t character) {
  switch (character) {
    case ' ':
    case 0x1680:
    case 0x205f:
    case 0x2028:
    case 0x2029:
    case 0x3000:
      return true;
    default:
      return (character >= 0x09 && character <= 0x0d) || (character >= 0x1c && character <= 0x1f) ||
             (character >= 0x2000 && character <= 0x200a && character != 0x2007);
  }
}

bool IsControl(uint32_t character) {
  return character < 0x20 || (character >= 0x7f && character <= 0x9f);
}

}  // namespace

bool IsBlank(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (!IsWhitespace(NextCharacter(text, at))) return false;
  }
  return true;
}

bool HasControlCharacter(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char byte = ByteAt(text, i);
    if (byte < 0x20 || byte == 0x7f) return true;
    // U+0080 to U+009F.
    if (byte == 0xc2 && i + 1 < text.size() && ByteAt(text, i + 1) < 0xa0) return true;
  }
  return false;
}

std::string Quoted(std::string_view text) {
  size_t shown = std::min(text.size(), kShownBytes);
  // Not in the middle of a character.
  while (shown < text.size() && shown > 0 && IsContinuation(ByteAt(text, shown))) --shown;
  std::string quoted("\"");
  for (size_t at = 0; at < shown;) {
    const size_t start = at;
    const uint32_t character = NextCharacter(text, at);
    if (IsControl(character)) {
      quoted += fmt::format("\\x{:02x}", character);
    } else {
      quoted.append(text.substr(start, at - start));
    }
  }
  quoted += shown < text.size() ? "\"..." : "\"";
  return quoted;
}

}  // namespace dunlin::broker
