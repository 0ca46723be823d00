// IsUtf8: whether bytes may stand in a proto3 string field.

#pragma once

#include <string_view>

namespace dunlin::broker {

// Well-formed UTF-8: shortest forms only, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace dunlin::broker
