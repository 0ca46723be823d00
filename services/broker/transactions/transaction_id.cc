#include "services/broker/transactions/transaction_id.h"

#include <array>

#include "absl/strings/escaping.h"

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// version u8, reserved u8, broker's mark u16, topic u32, half u64, hash of the message id u32,
// CRC-32C u32 of everything before it; base64url, which needs no padding at this length. Before
// brokers had marks those two bytes were reserved, and 0.
constexpr uint8_t kVersion = 1;
constexpr size_t kCrcAt = 20;
constexpr size_t kSize = 24;
constexpr size_t kTextSize = 32;

absl::Status Invalid(std::string_view why) {
  return PublicError(PublicCode::kInvalidTransactionId,
                     std::string("the transaction id is not one of this server: ").append(why));
}

}  // namespace

TransactionId MakeTransactionId(TopicId topic, LogOffset half, std::string_view message_id,
                                BrokerMark broker) {
  return {topic, half, Crc32c(message_id), broker};
}

std::string Encode(const TransactionId& id) {
  std::array<char, kSize> bytes{};
  StoreLittle(bytes.data(), kVersion);
  StoreLittle(bytes.data() + 2, id.broker);
  StoreLittle(bytes.data() + 4, id.topic.value());
  StoreLittle(bytes.data() + 8, id.half.value());
  StoreLittle(bytes.data() + 16, id.message_id_hash);
  StoreLittle(bytes.data() + kCrcAt, Crc32c({bytes.data(), kCrcAt}));
  return absl::WebSafeBase64Escape({bytes.data(), bytes.size()});
}

absl::StatusOr<TransactionId> DecodeTransactionId(std::string_view text) {
  if (text.find_first_not_of(" \t") == std::string_view::npos) {
    return PublicError(PublicCode::kInvalidTransactionId,
                       "the transaction id is blank; use the one that the send returned");
  }
  std::string bytes;
  if (text.size() != kTextSize || !absl::WebSafeBase64Unescape(ToAbsl(text), &bytes) ||
      bytes.size() != kSize) {
    return Invalid("it is no base64url text of 32 characters");
  }
  const char* const from = bytes.data();
  if (Crc32c({from, kCrcAt}) != LoadLittle<uint32_t>(from + kCrcAt)) {
    return Invalid("its check sum is wrong");
  }
  if (LoadLittle<uint8_t>(from) != kVersion) return Invalid("it is of another version");
  TransactionId id;
  id.broker = LoadLittle<BrokerMark>(from + 2);
  id.topic = TopicId(LoadLittle<uint32_t>(from + 4));
  id.half = LogOffset(LoadLittle<uint64_t>(from + 8));
  id.message_id_hash = LoadLittle<uint32_t>(from + 16);
  return id;
}

}  // namespace dunlin::broker
