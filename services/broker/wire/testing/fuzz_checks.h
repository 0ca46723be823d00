// What must hold for any bytes at all; a broken promise aborts. For fuzz targets and the tests that
// run them on random input.

#pragma once

#include <string_view>

namespace dunlin::broker {

// `request` as a SendMessageRequest: refused, or scanned into payloads that a protobuf parser, the
// stored scanner and a delivery read alike.
void CheckAnySend(std::string_view request);

// `bytes`: the properties offset (four bytes, little-endian), then a stored payload; damaged ones
// are refused, and what is delivered is well-formed.
void CheckAnyStored(std::string_view bytes);

}  // namespace dunlin::broker
