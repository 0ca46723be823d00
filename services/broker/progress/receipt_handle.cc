#include "services/broker/progress/receipt_handle.h"

#include <array>

#include "absl/strings/escaping.h"

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// version u8, auto_renew u8, broker's mark u16, group u32, topic u32, queue u32, offset u64, lease
// u64, attempt u32, visible_at i64, CRC-32C u32 of everything before it; base64url without padding.
// Before brokers had marks those two bytes were reserved, and 0.
constexpr uint8_t kVersion = 1;
constexpr size_t kSize = 48;

absl::Status Invalid(std::string_view why) {
  return PublicError(PublicCode::kInvalidReceiptHandle,
                     std::string("the receipt handle is not one of this server: ").append(why));
}

}  // namespace

std::string Encode(const ReceiptHandle& handle) {
  std::array<char, kSize> bytes{};
  char* to = bytes.data();
  StoreLittle(to, kVersion);
  StoreLittle(to + 1, static_cast<uint8_t>(handle.auto_renew));
  StoreLittle(to + 2, handle.broker);
  StoreLittle(to + 4, handle.group.value());
  StoreLittle(to + 8, handle.queue.topic.value());
  StoreLittle(to + 12, handle.queue.queue);
  StoreLittle(to + 16, handle.offset.value());
  StoreLittle(to + 24, handle.lease_id);
  StoreLittle(to + 32, handle.attempt);
  StoreLittle(to + 36, ToUnixMillis(handle.visible_at));
  StoreLittle(to + 44, Crc32c({to, kSize - 4}));
  return absl::WebSafeBase64Escape(ToAbsl({to, kSize}));
}

absl::StatusOr<ReceiptHandle> DecodeReceiptHandle(std::string_view text) {
  std::string bytes;
  if (text.size() > 128 || !absl::WebSafeBase64Unescape(ToAbsl(text), &bytes)) {
    return Invalid("it is no base64url text");
  }
  if (bytes.size() != kSize) return Invalid("it has the wrong length");
  const char* from = bytes.data();
  if (Crc32c({from, kSize - 4}) != LoadLittle<uint32_t>(from + kSize - 4)) {
    return Invalid("its check sum is wrong");
  }
  if (LoadLittle<uint8_t>(from) != kVersion) return Invalid("it is of another version");
  ReceiptHandle handle;
  handle.auto_renew = LoadLittle<uint8_t>(from + 1) != 0;
  handle.broker = LoadLittle<BrokerMark>(from + 2);
  handle.group = GroupId(LoadLittle<uint32_t>(from + 4));
  handle.queue.topic = TopicId(LoadLittle<uint32_t>(from + 8));
  handle.queue.queue = LoadLittle<uint32_t>(from + 12);
  handle.offset = QueueOffset(LoadLittle<uint64_t>(from + 16));
  handle.lease_id = LoadLittle<uint64_t>(from + 24);
  handle.attempt = LoadLittle<uint32_t>(from + 32);
  handle.visible_at = FromUnixMillis(LoadLittle<int64_t>(from + 36));
  return handle;
}

}  // namespace dunlin::broker
