#include "services/broker/timers/recall_handle.h"

#include "absl/strings/escaping.h"

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// version u8, length of the broker's name u8, reserved u16, topic u32, due i64, id u64, the
// broker's name, the message id, CRC-32C u32 of everything before it; base64url without padding.
// Before brokers were named the length was reserved, and 0.
constexpr uint8_t kVersion = 1;
constexpr size_t kFixed = 24;
constexpr size_t kCrc = 4;
constexpr size_t kLongestName = 255;
constexpr size_t kLongest = 64u << 10;

absl::Status Invalid(std::string_view why) {
  return PublicError(PublicCode::kBadRequest,
                     std::string("the recall handle is not one of this server: ").append(why));
}

}  // namespace

std::string Encode(const RecallHandle& handle) {
  std::string bytes(kFixed, '\0');
  char* const to = bytes.data();
  const bool has_broker = handle.broker.size() <= kLongestName;
  StoreLittle(to, kVersion);
  StoreLittle(to + 1, static_cast<uint8_t>(has_broker ? handle.broker.size() : 0));
  StoreLittle(to + 4, handle.topic.value());
  StoreLittle(to + 8, ToUnixMillis(handle.timer.due));
  StoreLittle(to + 16, handle.timer.id.value());
  if (has_broker) bytes += handle.broker;
  bytes += handle.message_id;
  const uint32_t crc = Crc32c(bytes);
  bytes.resize(bytes.size() + kCrc);
  StoreLittle(bytes.data() + bytes.size() - kCrc, crc);
  return absl::WebSafeBase64Escape(ToAbsl(bytes));
}

absl::StatusOr<RecallHandle> DecodeRecallHandle(std::string_view text) {
  std::string bytes;
  if (text.size() > kLongest || !absl::WebSafeBase64Unescape(ToAbsl(text), &bytes)) {
    return Invalid("it is no base64url text");
  }
  if (bytes.size() < kFixed + kCrc) return Invalid("it is too short");
  const char* const from = bytes.data();
  const size_t end = bytes.size() - kCrc;
  if (Crc32c({from, end}) != LoadLittle<uint32_t>(from + end)) {
    return Invalid("its check sum is wrong");
  }
  if (LoadLittle<uint8_t>(from) != kVersion) return Invalid("it is of another version");
  RecallHandle handle;
  handle.topic = TopicId(LoadLittle<uint32_t>(from + 4));
  handle.timer.due = FromUnixMillis(LoadLittle<int64_t>(from + 8));
  handle.timer.id = LogOffset(LoadLittle<uint64_t>(from + 16));
  const size_t name = LoadLittle<uint8_t>(from + 1);
  if (kFixed + name > end) return Invalid("it is too short");
  handle.broker = bytes.substr(kFixed, name);
  handle.message_id = bytes.substr(kFixed + name, end - kFixed - name);
  return handle;
}

}  // namespace dunlin::broker
