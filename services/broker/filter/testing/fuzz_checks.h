// What must hold for any bytes at all; a broken promise aborts. For fuzz targets and the tests that
// run them on random input.

#pragma once

#include <string_view>

namespace dunlin::broker {

// `expression` as an SQL filter: refused with the place of its error, or one that obeys the laws of
// logic.
void CheckAnySql(std::string_view expression);

// `request` as a SendMessageRequest: of the messages that are accepted, a filter sees the
// properties that a protobuf parser sees.
void CheckAnyProperties(std::string_view request);

// `bytes`: the properties offset (four bytes, little-endian), then a stored payload, perhaps a
// damaged one.
void CheckAnyFiltered(std::string_view bytes);

}  // namespace dunlin::broker
