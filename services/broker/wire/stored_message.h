// ScanStored: what the server needs to know of a message that is stored, as views into the log.

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/broker/wire/message_properties.h"

namespace dunlin::broker {

struct StoredMessage : MessageProperties {
  MessageKind kind = MessageKind::kNormal;
};

// The properties of a stored payload (docs/decisions/0002-stored-message-layout.md) whose
// system_properties field begins at `properties_offset`, as its record says; what is before it is
// not read. DATA_LOSS when there is no such field.
absl::StatusOr<StoredMessage> ScanStored(std::string_view payload, uint32_t properties_offset);

// The body of a stored payload. DATA_LOSS when the payload is malformed.
absl::StatusOr<std::string_view> StoredBody(std::string_view payload, uint32_t properties_offset);

// The value of the last field of `payload`: the serialised SystemProperties. DATA_LOSS as above.
absl::StatusOr<std::string_view> StoredProperties(std::string_view payload,
                                                  uint32_t properties_offset);

}  // namespace dunlin::broker
