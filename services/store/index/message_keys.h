// MessageKeys: what the indexes need of a stored message, without a protobuf parse.

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"

namespace dunlin::store {

// Views into the payload.
struct MessageKeys {
  std::string_view tag;
  std::string_view message_id;
  absl::InlinedVector<std::string_view, 4> keys;
};

// `payload`: of a MESSAGE record, a serialised apache.rocketmq.v2.Message whose last field, at
// `properties_offset`, is its system_properties. DATA_LOSS when it is not.
absl::StatusOr<MessageKeys> ReadMessageKeys(std::string_view payload, uint32_t properties_offset);

}  // namespace dunlin::store
