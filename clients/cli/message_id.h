// NewMessageId: an id as the SDKs make them: 34 hexadecimal digits.

#pragma once

#include <string>

namespace dunlin::cli {

// "01", 6 bytes of this host, 2 of the process, 4 of seconds since 2021-01-01 UTC, 4 of a counter.
std::string NewMessageId();

}  // namespace dunlin::cli
