#include "services/broker/wire/stored_message.h"

#include <fmt/format.h>

#include "services/base/status_macros.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {

absl::StatusOr<std::string_view> StoredProperties(std::string_view payload,
                                                  uint32_t properties_offset) {
  WireField field;
  if (properties_offset < payload.size()) {
    WireReader reader(payload.substr(properties_offset));
    if (reader.Next(field) && field.number == message_field::kSystemProperties &&
        field.type == WireType::kBytes &&
        field.whole.size() == payload.size() - properties_offset) {
      return field.bytes;
    }
  }
  return absl::DataLossError(
      fmt::format("a stored message of {} bytes has no properties at its end, from byte {} on",
                  payload.size(), properties_offset));
}

absl::StatusOr<StoredMessage> ScanStored(std::string_view payload, uint32_t properties_offset) {
  ASSIGN_OR_RETURN(const std::string_view bytes, StoredProperties(payload, properties_offset));
  absl::StatusOr<StoredMessage> stored(absl::in_place);
  if (ScanProperties(bytes, *stored) != PropertyScan::kFine) {
    return absl::DataLossError(
        fmt::format("the properties of a stored message are malformed: {} bytes from byte {} on",
                    bytes.size(), properties_offset));
  }
  stored->kind = KindOf(*stored);
  return stored;
}

absl::StatusOr<std::string_view> StoredBody(std::string_view payload, uint32_t properties_offset) {
  if (properties_offset > payload.size()) {
    return absl::DataLossError(
        fmt::format("a stored message of {} bytes cannot have its properties at byte {}",
                    payload.size(), properties_offset));
  }
  std::string_view body;
  WireReader reader(payload.substr(0, properties_offset));
  WireField field;
  while (reader.Next(field)) {
    if (field.number == message_field::kBody && field.type == WireType::kBytes) body = field.bytes;
  }
  if (!reader.ok()) return absl::DataLossError("a stored message is malformed");
  return body;
}

}  // namespace dunlin::broker
