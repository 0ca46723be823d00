// What admission asks of texts that clients send, and how it shows them in its answers. Texts are
// UTF-8, as the wire format has made sure.

#pragma once

#include <string>
#include <string_view>

namespace dunlin::broker {

// Whitespace of Unicode only (no-break spaces count as text), or nothing at all.
bool IsBlank(std::string_view text);

// A control character: U+0000 to U+001F, U+007F to U+009F.
bool HasControlCharacter(std::string_view text);

// `text` in quotes for an error message: control characters as \xNN, at most 64 bytes of it.
std::string Quoted(std::string_view text);

}  // namespace dunlin::broker
